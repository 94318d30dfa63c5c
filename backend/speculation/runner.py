"""Continue a prompt by drafting and verifying, and plainly beside it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.text import Tokens, decode_each, tokenise
from tokenarium.backend.observe import recording
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.progress import ProgressReporter
from tokenarium.backend.speculation.auditing.assisted import Assistance, audit_assisted
from tokenarium.backend.speculation.auditing.reading import Checking
from tokenarium.backend.speculation.auditing.run import audit
from tokenarium.backend.speculation.autoregressive import decode_plainly
from tokenarium.backend.speculation.drafting import Drafting
from tokenarium.backend.speculation.engine import Speculator
from tokenarium.backend.speculation.journal import Journal
from tokenarium.backend.speculation.matrix import valid_rules
from tokenarium.backend.speculation.needs import past_context, refuse_unless_fits
from tokenarium.backend.speculation.reader import TreeReader
from tokenarium.backend.speculation.request import SpeculateRequest
from tokenarium.backend.speculation.result import SpeculationResult
from tokenarium.backend.speculation.stopping import Reason, Stopping
from tokenarium.backend.speculation.vocabulary import SharedVocabulary, compare


@torch.inference_mode()
def speculate(
    request: SpeculateRequest,
    loaded: LoadedModel,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
    beside: Mapping[str, LoadedModel] | None = None,
) -> SpeculationResult:
    """Continue a prompt with a drafter and a rule, recording every tree.

    Args:
        limit: most tokens of the prompt; what happens to a longer one is the request's choice.
        emit: receives progress and, a few times a second, the unfinished result.
        cancel: checked in every layer.
        beside: the draft model, where the drafter reads with one.
    Raises: ValueError where the prompt or the draft model does not fit the target; Cancelled.
    """
    cancel.check()
    tokens = tokenise(loaded, request, limit)
    draft = (beside or {}).get(request.draft_model)
    run = _Run(request, loaded, draft, tokens, emit, cancel)
    return run.assisted() if request.engine == "transformers" else run.finished()


class _Run:
    """One run, from the prompt to its result."""

    def __init__(
        self,
        request: SpeculateRequest,
        loaded: LoadedModel,
        draft: LoadedModel | None,
        tokens: Tokens,
        emit: Callable[[Event], None],
        cancel: CancelToken,
    ) -> None:
        self.request, self.loaded, self.draft, self.tokens = request, loaded, draft, tokens
        self.cancel = cancel
        self.drafter, self.rule = request.drafter.drafter, request.rule.rule
        length, most = len(tokens.ids), request.max_new_tokens
        self.notes = past_context(loaded, length, most, "model")
        if draft is not None:
            self.notes += past_context(draft, length, most, "draft_model")
        refuse_unless_fits(request, loaded, draft, length)
        self.stopping = Stopping(loaded, most, request.stop)
        self.target = TreeReader(loaded, self._room(), cancel.check)
        if self.target.chain_only and self.drafter.branches:
            self.notes += (
                f"{loaded.name} cannot verify a tree ({self.target.chain_only}): of every node's "
                "children only the first is verified",
            )
        self.drafting = self._drafting()
        rules = tuple(rule() for rule in valid_rules(type(self.drafter), request.temperature))
        self.rules = rules
        self.journal = Journal(self.rule, rules, self.drafting)
        self.new: list[int] = []
        self.ended: Reason = ""
        self.plain: list[int] = []
        self.plain_ms: NDArray[np.float32] = np.zeros(0, np.float32)
        self.prefill_ms = float("nan")
        self.progress = ProgressReporter(emit, cancel, self._result)

    def _room(self) -> int:
        return len(self.tokens.ids) + self.stopping.most + self.request.tree_budget + 1

    def _drafting(self) -> Drafting:
        request, loaded, draft, reader = self.request, self.loaded, self.draft, None
        shared: SharedVocabulary | None = None
        if self.drafter.reads == "target_layers":
            layers = self.drafter.layers(len(loaded.layers))
            reader = TreeReader(loaded, self._room(), self.cancel.check, layers)
        elif draft is not None:
            shared = compare(loaded, draft)
            if request.vocabularies == "equal" and shared.agreement != "equal":
                raise ValueError(
                    f"draft_model={request.draft_model!r} and model={request.model!r} do not have "
                    f"the same tokens ({shared.reason}): choose another draft model, or "
                    "vocabularies='intersection'"
                )
            reader = TreeReader(draft, self._room(), self.cancel.check)
        head: torch.nn.Linear = loaded.model.get_output_embeddings()
        return Drafting(
            ids=list(self.tokens.ids),
            vocabulary=int(head.weight.shape[0]),
            draft_len=request.draft_len,
            tree_budget=request.tree_budget,
            processors=request.processors,
            random=np.random.default_rng([request.seed, 1]),
            reader=reader,
            shared=shared,
        )

    def finished(self) -> SpeculationResult:
        """Decode plainly where asked, then speculate, then audit."""
        request, most = self.request, self.stopping.most
        if request.plain:
            self._report("decoding plainly", 0)
            self.plain, self.plain_ms = decode_plainly(
                TreeReader(self.loaded, self._room(), self.cancel.check),
                self.tokens.ids,
                request.processors,
                self.stopping,
                np.random.default_rng([request.seed, 3]),
                lambda done: self._report("decoding plainly", done),
            )
        started = time.perf_counter()
        speculator = Speculator(
            self.target,
            self.drafter,
            self.drafting,
            self.rule,
            np.random.default_rng([request.seed, 2]),
        )
        speculator.begin()
        self.prefill_ms = (time.perf_counter() - started) * 1e3
        while not self.ended:
            round_ = speculator.round(most - len(self.new))
            kept, self.ended = self.stopping.cut(self.new, round_.tokens)
            self.new += round_.tokens[:kept]
            self.journal.write(round_, kept)
            done = most * request.plain + len(self.new)
            self._report("drafting and verifying", done, partial=True)
        self.cancel.check()
        self._report("auditing", most * (1 + request.plain))
        result = self._result()
        found = audit(result, request, self.loaded, self.draft, self.cancel.check)
        return replace(result, audit=found.as_dict())

    def assisted(self) -> SpeculationResult:
        """Let transformers draft and verify, and audit what it did."""
        request, tokens = self.request, self.tokens
        self._report("generating with transformers", 0)
        assistance = Assistance(
            self.loaded, self.draft, request.processors, self.stopping.most, request.draft_len
        )
        with recording(Checking(self.cancel.check)):
            # What it prepares the first time would count as time.
            replace(assistance, max_new_tokens=2).generate(tokens.ids, request.seed)
            found = audit_assisted(assistance, tokens.ids, seed=request.seed)
        self.cancel.check()
        return replace(
            found,
            drafter=request.drafter.slug,
            prompt_text=tokens.text,
            notes=found.notes + tokens.notes + self.notes,
        )

    def _report(self, doing: str, done: int, partial: bool = False) -> None:
        total = self.stopping.most * (1 + self.request.plain)
        self.progress.report(doing, done, total, partial=partial)

    def _result(self) -> SpeculationResult:
        loaded, request, arrays = self.loaded, self.request, self.journal.arrays()
        tops = (arrays["target_top_ids"], arrays["draft_top_ids"], arrays["judged_next"])
        alone = np.asarray(self.plain, np.int32)
        shown = np.concatenate([arrays["node_columns"]["token_id"], alone, *map(np.ravel, tops)])
        known = [int(key) for key in np.unique(shown) if key >= 0]
        texts = decode_each(loaded, known)
        said, plain = (
            str(loaded.tokenizer.decode(ids, skip_special_tokens=True))
            for ids in (self.new, self.plain)
        )
        return SpeculationResult(
            drafter=request.drafter.slug,
            rule=request.rule.slug,
            draw=self.drafter.draw,
            promise=self.rule.promise,
            prompt_ids=np.asarray(self.tokens.ids, np.int32),
            prompt_text=self.tokens.text,
            token_ids=np.asarray(self.new, np.int32),
            token_text=decode_each(loaded, self.new),
            text=said,
            ended=self.ended,
            sources=tuple(self.journal.sources),
            choice_text={str(key): text for key, text in zip(known, texts, strict=True)},
            rules=tuple(rule.slug for rule in self.rules),
            prefill_ms=self.prefill_ms,
            plain_ids=np.asarray(self.plain, np.int32),
            plain_text=plain,
            plain_step_ms=self.plain_ms,
            processors=vars(request.processors),
            audit={},
            notes=self.tokens.notes + self.notes,
            **arrays,
        )
