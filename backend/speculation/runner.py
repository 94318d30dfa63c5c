"""The run of kind ``speculate``: speculative decoding, and autoregressive decoding beside it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tokenarium.backend.cost.fits import past_context, refuse_unless_free
from tokenarium.backend.cost.run_memory import bytes_of_speculation
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.rotary_crossing import refuse_crossing
from tokenarium.backend.models.text import Tokens, decode_each, tokenise
from tokenarium.backend.observe import recording
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.progress import ProgressReporter
from tokenarium.backend.speculation.auditing.assisted import Assistance, audit_assisted
from tokenarium.backend.speculation.auditing.plain_reader import CancelCheck
from tokenarium.backend.speculation.auditing.run import audit
from tokenarium.backend.speculation.autoregressive import (
    Reason,
    StoppingCriteria,
    generate_autoregressive,
)
from tokenarium.backend.speculation.engine import Speculator
from tokenarium.backend.speculation.matrix import valid_rules
from tokenarium.backend.speculation.reader import TreeReader
from tokenarium.backend.speculation.request import SpeculateRequest
from tokenarium.backend.speculation.result import SpeculationResult
from tokenarium.backend.speculation.run_log import RunLog
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
        self.notes = _beyond_context(loaded, length, most, "model")
        if draft is not None:
            self.notes += _beyond_context(draft, length, most, "draft_model")
        for model in (loaded, draft):
            if model is not None:
                refuse_crossing(
                    model,
                    max(length - 1, 1),
                    length + most,
                    "shorten the prompt or lower max_new_tokens",
                )
        _refuse_unless_fits(request, loaded, draft, length)
        self.stopping = StoppingCriteria(loaded, most, request.stop)
        self.speculator = Speculator.of_models(
            loaded,
            draft,
            self.drafter,
            self.rule,
            request.processors,
            tokens.ids,
            draft_len=request.draft_len,
            tree_budget=request.tree_budget,
            max_new_tokens=most,
            seed=request.seed,
            shared=self._shared_vocabulary(),
            check=cancel.check,
        )
        chain_only = self.speculator.target.chain_only
        if chain_only and self.drafter.branches:
            self.notes += (
                f"{loaded.name} cannot verify a tree ({chain_only}): of every node's "
                "children only the first is verified",
            )
        others = valid_rules(type(self.drafter), request.temperature)
        own = type(self.rule)
        rules = tuple(
            self.speculator.rule if rule is own else rule().of_model(loaded)
            for rule in others
            if rule is own or not rule.reads_model
        )
        self.rules = rules
        self.log = RunLog(rules)
        self.new: list[int] = []
        self.ended: Reason = ""
        self.plain: list[int] = []
        self.plain_ms: NDArray[np.float32] = np.zeros(0, np.float32)
        self.prefill_ms = float("nan")
        self.progress = ProgressReporter(emit, cancel, lambda: self._result(judged=False))

    def _shared_vocabulary(self) -> SharedVocabulary | None:
        if self.draft is None:
            return None
        request, shared = self.request, compare(self.loaded, self.draft)
        if request.vocabularies == "equal" and shared.agreement != "equal":
            raise ValueError(
                f"draft_model={request.draft_model!r} and model={request.model!r} do not have "
                f"the same tokens ({shared.reason}): choose another draft model, or "
                "vocabularies='intersection'"
            )
        return shared

    def finished(self) -> SpeculationResult:
        """Decode autoregressively where asked, then speculate, then audit."""
        request, most = self.request, self.stopping.max_new_tokens
        if request.plain:
            self._report("decoding autoregressively", 0)
            room = len(self.tokens.ids) + most + 1
            self.plain, self.plain_ms = generate_autoregressive(
                TreeReader(self.loaded, room, self.cancel.check),
                self.tokens.ids,
                request.processors,
                self.stopping,
                np.random.default_rng([request.seed, 3]),
                lambda done: self._report("decoding autoregressively", done),
            )
        started = time.perf_counter()
        self.speculator.begin()
        self.prefill_ms = (time.perf_counter() - started) * 1e3
        while not self.ended:
            round_ = self.speculator.round(most - len(self.new))
            kept, self.ended = self.stopping.cut(self.new, round_.tokens)
            self.new += round_.tokens[:kept]
            self.log.add(round_, kept)
            done = most * request.plain + len(self.new)
            self._report("drafting and verifying", done, partial=True)
        self.cancel.check()
        self._report("auditing", most * (1 + request.plain))
        result = self._result()
        found = audit(result, request, self.loaded, self.draft, self.cancel.check)
        return replace(result, audit=found.as_dict())

    def assisted(self) -> SpeculationResult:
        """Let transformers' assisted generation draft and verify, and audit what it did."""
        request, tokens = self.request, self.tokens
        self._report("generating with transformers", 0)
        assistance = Assistance(
            self.loaded,
            self.draft,
            request.processors,
            self.stopping.max_new_tokens,
            request.draft_len,
        )
        with recording(CancelCheck(self.cancel.check)):
            # What it prepares the first time would count as time of the run.
            replace(assistance, max_new_tokens=2).generate(tokens.ids, request.seed)
            found = audit_assisted(assistance, tokens.ids, seed=request.seed)
        self.cancel.check()
        return replace(
            found,
            drafter=request.drafter.slug,
            prompt_text=tokens.text,
            prompt=tokens.source,
            **tokens.turns(),
            notes=found.notes + tokens.notes + self.notes,
        )

    def _report(self, doing: str, done: int, partial: bool = False) -> None:
        total = self.stopping.max_new_tokens * (1 + self.request.plain)
        self.progress.report(doing, done, total, partial=partial)

    def _result(self, *, judged: bool = True) -> SpeculationResult:
        loaded, request = self.loaded, self.request
        arrays: dict[str, Any] = self.log.arrays(judged=judged)
        named = ("target_top_ids", "draft_top_ids", "second_top_ids", "judged_next")
        tops = [arrays[name] for name in named if name in arrays]
        alone = np.asarray(self.plain, np.int32)
        shown = np.concatenate([arrays["node_columns"]["token_id"], alone, *map(np.ravel, tops)])
        known = [int(key) for key in np.unique(shown) if key >= 0]
        texts = decode_each(loaded, known)
        text, plain_text = (
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
            prompt=self.tokens.source,
            **self.tokens.turns(),
            token_ids=np.asarray(self.new, np.int32),
            token_text=decode_each(loaded, self.new),
            text=text,
            ended=self.ended,
            sources=tuple(self.log.sources),
            choice_text={str(key): text for key, text in zip(known, texts, strict=True)},
            rules=tuple(rule.slug for rule in self.rules),
            prefill_ms=self.prefill_ms,
            exit_agreement=self.drafter.agreement(self.speculator.state, len(self.log)),
            plain_ids=np.asarray(self.plain, np.int32),
            plain_text=plain_text,
            plain_step_ms=self.plain_ms,
            processors=vars(request.processors),
            audit={},
            notes=self.tokens.notes + self.notes,
            **arrays,
        )


def _beyond_context(loaded: LoadedModel, prompt: int, most: int, field: str) -> tuple[str, ...]:
    """Refuse more tokens than a model has positions; say what it was not trained for."""
    tokens = prompt + most
    return past_context(
        loaded,
        tokens,
        f"max_new_tokens={most} after a prompt of {prompt} tokens is above the {loaded.context} "
        f"learned positions of {field}={loaded.name!r}: shorten either by "
        f"{tokens - loaded.context}, or choose a model with rotary positions",
        f"that {loaded.name}",
    )


def _refuse_unless_fits(
    request: SpeculateRequest, loaded: LoadedModel, draft: LoadedModel | None, prompt: int
) -> None:
    """Refuse a run that would not fit into what is free now, beside the models."""
    configs = [model.model.config for model in (loaded, draft) if model is not None]
    refuse_unless_free(
        loaded.device,
        bytes_of_speculation(request, configs, loaded.dtype, loaded.device, prompt),
        f"{prompt} tokens, max_new_tokens={request.max_new_tokens} and tree_budget="
        f"{request.tree_budget}",
        "the models",
        ["shorten the prompt", "lower either number"],
    )
