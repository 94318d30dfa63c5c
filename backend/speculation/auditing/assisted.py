"""The audit of transformers' assisted generation, with a result of the shape of our own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor
from transformers import GenerationConfig

from tokenarium.backend.models.generating import end_of_text
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.text import decode_each
from tokenarium.backend.speculation.auditing.assisted_result import as_result
from tokenarium.backend.speculation.auditing.assisted_rounds import (
    AssistedRound,
    record_rounds,
    seeded,
)
from tokenarium.backend.speculation.auditing.audit import Audit, Check
from tokenarium.backend.speculation.auditing.counts import check_counts
from tokenarium.backend.speculation.auditing.draft_checks import (
    DraftedChildren,
    check_draft_probs,
    check_drafted_tokens,
)
from tokenarium.backend.speculation.auditing.identity import check_identity, not_greedy
from tokenarium.backend.speculation.auditing.plain_reader import PlainReader, processed
from tokenarium.backend.speculation.auditing.sampling import check_sampling
from tokenarium.backend.speculation.autoregressive import StoppingCriteria, generate_autoregressive
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.reader import TreeReader
from tokenarium.backend.speculation.result import SpeculationResult
from tokenarium.backend.speculation.rule import Rule
from tokenarium.backend.speculation.tree import Draw

ACCEPTANCE = "acceptance"
BESIDE = 8
"""Drafted tokens beside the text at whose place distributions are computed anew, a pass each."""


@dataclass(frozen=True)
class Assistance:
    """How transformers is asked to generate.

    Args:
        target: the model whose distribution is wanted.
        draft: the assistant; None is prompt lookup.
        processors: passed as transformers' own settings.
        max_new_tokens: tokens.
        draft_len: most tokens drafted at once; None is transformers' default for an assistant, and
            10 for prompt lookup.
    """

    target: LoadedModel
    draft: LoadedModel | None
    processors: Processors
    max_new_tokens: int = 64
    draft_len: int | None = None

    def generate(self, prompt: Sequence[int], seed: int) -> list[int]:
        """Return the new tokens."""
        ids = torch.tensor([list(prompt)], device=self.target.device)
        options: dict[str, Any] = (
            {"prompt_lookup_num_tokens": self.draft_len or 10}
            if self.draft is None
            else {"assistant_model": self.draft.model}
        )
        with seeded(self.target.device, seed):
            generate: Any = self.target.model.generate
            found = generate(
                ids,
                attention_mask=torch.ones_like(ids),
                generation_config=self.settings(),
                **options,
            )
        new: list[int] = found[0, len(prompt) :].tolist()
        return new

    def watched(self, prompt: Sequence[int], seed: int) -> tuple[list[int], list[AssistedRound]]:
        """Return the new tokens, and the rounds that made them."""
        with record_rounds(self.target, self.draft_len) as rounds:
            return self.generate(prompt, seed), rounds

    def settings(self) -> GenerationConfig:
        """Return everything that decides what is generated, nothing left to a model's defaults."""
        asked, ends = self.processors, sorted(end_of_text(self.target))
        drawn = {
            "do_sample": True,
            "temperature": asked.temperature,
            "top_k": asked.top_k,
            "top_p": asked.top_p,
            "min_p": asked.min_p,
        }
        return GenerationConfig(
            max_new_tokens=self.max_new_tokens,
            repetition_penalty=asked.repetition_penalty,
            eos_token_id=ends or None,
            pad_token_id=ends[0] if ends else 0,
            **({"do_sample": False} if asked.greedy else drawn),
        )

    @property
    def rule(self) -> Rule:
        """What transformers accepts by."""
        if self.processors.greedy:
            return Rule.registry.find("greedy")()
        return Rule.registry.find(
            "sample_and_match" if self.draft is None else "speculative_sampling"
        )()

    @property
    def draw(self) -> Draw:
        """How transformers chooses the tokens it drafts."""
        chosen = self.draft is None or self.processors.greedy
        return "deterministic" if chosen else "iid"


def audit_assisted(
    assistance: Assistance, prompt: Sequence[int], *, seed: int = 0, samples: int = 0
) -> SpeculationResult:
    """Generate with transformers' assisted generation, and audit what it did.

    Args:
        assistance: models and settings.
        prompt: tokens.
        seed: of torch's random numbers.
        samples: continuations of two tokens to test the output's distribution with; 0 tests none.
    Returns: the run in the shape of our own, its audit inside. The random numbers that tokens
        were tested with stay inside transformers: ``u`` is NaN.
    Raises:
        ValueError: if this version of transformers is not known.
    """
    tokens, rounds = assistance.watched(prompt, seed)
    plain, plain_ms = _autoregressive(assistance, prompt, seed)
    result = as_result(assistance.target, assistance.rule, assistance.processors, prompt, rounds)
    alone = dict(zip(map(str, plain), decode_each(assistance.target, plain), strict=True))
    result = replace(
        result,
        choice_text=result.choice_text | alone,
        draw=assistance.draw,
        drafter="prompt lookup" if assistance.draft is None else "assistant model",
        plain_ids=np.asarray(plain, np.int32),
        plain_text=str(assistance.target.tokenizer.decode(plain, skip_special_tokens=True)),
        plain_step_ms=plain_ms,
    )
    checks = [
        _identity(assistance, prompt, tokens, plain),
        *_draft_checks(assistance, [*prompt, *tokens], rounds, seed),
        _acceptance(rounds),
        check_counts(result.rounds, result.node_columns, result.token_ids, result.token_node),
    ]
    if samples:
        checks.append(_sampled(assistance, prompt, samples, seed))
    return replace(result, audit=Audit(tuple(checks)).as_dict())


def _autoregressive(
    assistance: Assistance, prompt: Sequence[int], seed: int
) -> tuple[list[int], Any]:
    target, most = assistance.target, assistance.max_new_tokens
    reader = TreeReader(target, len(prompt) + most)
    return generate_autoregressive(
        reader,
        list(prompt),
        assistance.processors,
        StoppingCriteria(target, most),
        np.random.default_rng(seed),
    )


def _identity(
    assistance: Assistance, prompt: Sequence[int], tokens: list[int], plain: list[int]
) -> Check:
    if not assistance.processors.greedy:
        return not_greedy()
    logits = processed(PlainReader(assistance.target), assistance.processors)
    return check_identity(prompt, tokens, plain, logits, assistance.target.dtype)


def _draft_checks(
    assistance: Assistance, text: list[int], rounds: Sequence[AssistedRound], seed: int
) -> tuple[Check, Check]:
    drafted = [place for round_ in rounds for place in _drafted(round_)]
    draft = assistance.draft or assistance.target
    reader = PlainReader(draft, text)
    in_text = [place for place in drafted if reader.knows(place.before)]
    others = [place for place in drafted if not reader.knows(place.before)]
    checked = [*in_text, *others[:BESIDE]]
    processors = assistance.processors
    return (
        check_draft_probs(checked, lambda place: reader(place.before), processors, draft.dtype),
        check_drafted_tokens(drafted, _reported, assistance.draw, seed),
    )


def _drafted(round_: AssistedRound) -> list[DraftedChildren]:
    scores, ids = round_.draft_scores, round_.drafted
    rows = [None] * len(ids) if scores is None else list(torch.softmax(scores, -1))
    return [
        DraftedChildren(
            (*round_.before, *ids[:at]),
            (token,),
            (float("nan") if probs is None else float(probs[token]),),
            probs,
        )
        for at, (token, probs) in enumerate(zip(ids, rows, strict=True))
    ]


def _reported(place: DraftedChildren) -> Tensor:
    assert place.probs is not None
    return place.probs


def _acceptance(rounds: Sequence[AssistedRound]) -> Check:
    drafted, tried, accepted = 0, 0, 0
    for round_ in rounds:
        stays = round_.accepted
        drafted += len(round_.drafted)
        tried += min(stays + 1, len(round_.drafted)) if not round_.cropped else stays
        accepted += stays
    evidence = (
        f"transformers {transformers.__version__} tested {tried} of {drafted} drafted tokens and "
        f"accepted {accepted}; where draft and target are the same model, every one should be."
    )
    numbers = {"drafted": float(drafted), "tested": float(tried), "accepted": float(accepted)}
    return Check(ACCEPTANCE, "not applicable", evidence, numbers)


def _sampled(assistance: Assistance, prompt: Sequence[int], samples: int, seed: int) -> Check:
    short = replace(assistance, max_new_tokens=3)  # 3, so that two tokens can be drafted
    reader, asked = PlainReader(assistance.target), assistance.processors

    def probs(ids: Sequence[int]) -> Tensor:
        return asked.probs(reader(ids)[None], [ids])[0]

    ends = end_of_text(assistance.target)
    return check_sampling(
        lambda at: short.generate(prompt, at), probs, prompt, samples=samples, ends=ends, seed=seed
    )
