"""The result of a speculative run, every quantity defined where it is declared.

T tokens of the prompt, S new tokens, R rounds, N nodes, K rules, A alternatives. Nodes of a round
follow one another, parents first, its root the first of them; the token that ends a round, bonus or
replacement, is its last node.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.runs.read_text import role_quantity, text_quantity, turn_quantity
from tokenarium.backend.runs.result import Result, quantity
from tokenarium.backend.speculation.node_schema import NODE, REASONS, STATUSES

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]


@dataclass(frozen=True)
class SpeculationResult(Result):
    """A text continued by drafting and verifying, with every tree."""

    schema_version: ClassVar[int] = 4

    drafter: str = quantity("drafter", "", "", "slug as asked", "Which method drafted.")
    rule: str = quantity("acceptance rule", "", "", "slug as asked", "Which rule accepted.")
    draw: str = quantity(
        "how children are drawn",
        "",
        "",
        "deterministic, iid or without_replacement, as the drafter declares",
        "What decides which rules keep the target's distribution.",
    )
    promise: str = quantity(
        "what the rule promises",
        "",
        "",
        "lossless: the output has the target's distribution; relaxed: it may differ",
        "Whether the text is distributed as that of the target alone.",
    )
    prompt_ids: Integers = quantity(
        "token id", "T", "", "the tokenizer's number", "Which vocabulary entries the prompt is."
    )
    prompt_text: tuple[str, ...] = quantity(
        "prompt token", "T", "", "the token decoded alone", "The piece of text of this token."
    )
    prompt: str | None = text_quantity(since=2)
    turn: Integers | None = turn_quantity(since=2)
    turn_role: tuple[str, ...] | None = role_quantity(since=2)
    token_ids: Integers = quantity(
        "new token", "S", "", "the tokenizer's number", "What was added to the prompt."
    )
    token_text: tuple[str, ...] = quantity(
        "new token", "S", "", "the token decoded alone", "The piece of text of this token."
    )
    text: str = quantity("new text", "", "", "all new tokens decoded", "What the run wrote.")
    token_node: Integers = quantity(
        "node of a token", "S", "", "index into the nodes", "Which node became this token."
    )
    ended: str = quantity(
        "why it ended", "", "", "end of text, length, or a string to stop at", "What stopped it."
    )
    rounds: NDArray[Any] = quantity(
        "rounds",
        "R",
        "",
        "width: most nodes of a level; depth: deepest level; drafted, verified: nodes beside the "
        "root; accepted_len: accepted nodes, the token that follows not counted; new_tokens: both, "
        "without what was cut; kv_tokens: text in the target's cache; first_node: its root; "
        "draft_ms, verify_ms, other_ms (acceptance, caches), explain_ms (what is computed for "
        "these records only, not part of decoding)",
        "What each verification cost and gave.",
    )
    node_columns: NDArray[Any] = quantity(
        "nodes",
        "N",
        "",
        "id, parent (a node; -1 for a root), round, depth, sibling_rank (by q), draw_order, "
        "token_id, source, status; q_raw and p_raw: the draft's and the target's probability after "
        "the parent (at temperature 0 those of temperature 1); q_used and p_used: what they are at "
        "its turn, earlier siblings having failed; "
        "accept_prob and the number u it is compared with (accepted if u < accept_prob); p_reach: "
        "probability that it is tested, given the tree; p_accept_path: that it is accepted; "
        "logq_path: sum of ln q; est_value: what the drafter expected; target_rank: 0 for the "
        "target's first choice; after the node itself: target_argmax, target_entropy and "
        "draft_entropy (nats), kl_nats = KL(target || draft), tv_overlap = sum of min(p, q), "
        "u_next: the number that draws what follows",
        "Every drafted token, its probabilities and its outcome.",
    )
    sources: tuple[str, ...] = quantity(
        "sources", "", "", "as drafters name them", "Where drafted tokens came from."
    )
    target_top_ids: Integers = quantity(
        "the target's first choices", "N,A", "", "most likely first; -1 where not known", "What "
        "the target would say after a node."
    )  # fmt: skip
    target_top: Floats = quantity(
        "their probabilities", "N,A", "", "after all processors", "How sure the target is."
    )
    draft_top_ids: Integers = quantity(
        "the draft's first choices", "N,A", "", "most likely first; -1 where it has none",
        "What the draft expects after a node."
    )  # fmt: skip
    draft_top: Floats = quantity(
        "their probabilities", "N,A", "", "after all processors", "How sure the draft is."
    )
    choice_text: dict[str, str] = quantity(
        "texts of choices", "", "", "token id to the token decoded alone", "What they spell."
    )
    rules: tuple[str, ...] = quantity(
        "rules judged", "K", "", "slugs", "By which rules the same trees were evaluated too."
    )
    judged_accept: NDArray[np.float64] = quantity(
        "acceptance under another rule",
        "N,K",
        "",
        "probability to accept at its turn, earlier siblings having failed; NaN for a root",
        "What another rule would have made of the same token.",
    )
    judged_next: Integers = quantity(
        "what follows under another rule",
        "N,K",
        "",
        "token drawn with u_next where every child fails or there is none; -1 where not verified",
        "What another rule would have put in their place.",
    )
    prefill_ms: float = quantity(
        "time to read the prompt", "", "ms", "target and, where it reads, draft", "Until it begins."
    )
    exit_agreement: Floats | None = quantity(
        "agreement of exits",
        "R,L",
        "",
        "share of the latest tokens that a layer's state, normed and unembedded, puts first; NaN "
        "where it was not tried",
        "How often the first layers alone would have said the text, as known in each round.",
        since=3,
    )
    second_prob: Floats | None = quantity(
        "probability in a second reading",
        "N",
        "",
        "the target's probability of a drafted token after its parent, once it has read the draft "
        "and the rule's text after it; NaN where nothing was read twice",
        "What the target would say in its place when asked to correct the draft.",
        since=4,
    )
    second_overlap: Floats | None = quantity(
        "overlap of both readings",
        "N",
        "",
        "sum of min(p, p') over the tokens after a node, p' of the second reading; NaN where there "
        "is none",
        "How much of what the target says it says again when asked to correct the draft.",
        since=4,
    )
    second_top_ids: Integers | None = quantity(
        "first choices in a second reading",
        "N,A",
        "",
        "most likely first; -1 where nothing was read twice",
        "What the target would say after a node when asked to correct the draft.",
        since=4,
    )
    second_top: Floats | None = quantity(
        "their probabilities",
        "N,A",
        "",
        "after temperature and penalty",
        "How sure the target is in its second reading.",
        since=4,
    )
    plain_ids: Integers = quantity(
        "plain new token", "n", "", "autoregressive decoding; empty where not asked",
        "What the target writes alone."
    )  # fmt: skip
    plain_text: str = quantity(
        "plain text", "", "", "plain new tokens decoded", "What the target writes alone."
    )
    plain_step_ms: Floats = quantity(
        "plain time per token",
        "n",
        "ms",
        "wall time of each token without drafts, in the same run; the prompt not included",
        "What it costs without drafts.",
    )
    processors: dict[str, float] = quantity(
        "processors", "", "", "as asked", "What was done to logits, of target and draft alike."
    )
    audit: dict[str, Any] = quantity(
        "audit",
        "",
        "",
        "verdict and, per check, its own verdict, evidence and numbers",
        "Whether this run can be what the target alone would say.",
    )
    notes: tuple[str, ...] = quantity(
        "notes", "", "", "sentences", "What was done otherwise than one might expect."
    )

    @property
    def accepted_in_text(self) -> Integers:
        """[R] accepted guesses of each round that are in the text: none after its end."""
        rounds = self.rounds
        accepted: Integers = np.minimum(rounds["accepted_len"], rounds["new_tokens"])
        return accepted

    @property
    def nodes(self) -> NDArray[Any]:
        """[N] ``node_columns`` with words: text, source, draw_mode, status and reason."""
        columns = self.node_columns
        words = {
            "text": [self.choice_text.get(str(key), "") for key in columns["token_id"]],
            "source": [self.sources[place] for place in columns["source"]],
            "draw_mode": [self.draw] * len(columns),
            "status": [STATUSES[place] for place in columns["status"]],
            "reason": [REASONS[STATUSES[place]] for place in columns["status"]],
        }
        kinds = [
            *((name, columns.dtype[name]) for name in NODE.names or () if name not in words),
            *((name, np.array(texts or [""]).dtype) for name, texts in words.items()),
        ]
        found = np.zeros(len(columns), kinds)
        for name, _ in kinds:
            found[name] = words[name] if name in words else columns[name]
        return found

    @property
    def tokens_per_target_call(self) -> float:
        """New tokens per verification, bonus and replacement tokens counted."""
        return len(self.token_ids) / len(self.rounds) if len(self.rounds) else float("nan")

    @property
    def tokens_per_s(self) -> float:
        """New tokens per second of drafting, verifying and bookkeeping, without the prompt."""
        spent = sum(
            float(self.rounds[name].sum()) for name in ("draft_ms", "verify_ms", "other_ms")
        )
        return len(self.token_ids) / spent * 1e3 if spent else float("nan")

    @property
    def plain_tokens_per_s(self) -> float:
        """The same of autoregressive decoding in this run; NaN where it was not asked."""
        spent = float(self.plain_step_ms.sum())
        return len(self.plain_ids) / spent * 1e3 if spent else float("nan")
