"""Audit a text that somebody else generated: read it once, and judge every token."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tokenarium.backend.models.generating import end_of_text
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.text import decode_each
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.progress import ProgressReporter
from tokenarium.backend.speculation.auditing.audit import Audit, Check
from tokenarium.backend.speculation.auditing.identity import GAP_TOLERANCE
from tokenarium.backend.text_audit.measured import Measured, joined, measured
from tokenarium.backend.text_audit.reading import rows_of
from tokenarium.backend.text_audit.request import AuditRequest
from tokenarium.backend.text_audit.result import AuditResult
from tokenarium.backend.text_audit.sampled import FACTORS, SampledTest, SampledTester, rank_shares
from tokenarium.backend.text_audit.segmentation import Followed, follow_text
from tokenarium.backend.text_audit.tokens import GivenTokens, tokens_given
from tokenarium.backend.text_audit.verdict import (
    CUT,
    Judged,
    check_given,
    judge_greedy,
    judge_sampled,
)

Doubles = NDArray[np.float64]


@torch.inference_mode()
def audit_text(
    request: AuditRequest,
    loaded: LoadedModel,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
) -> AuditResult:
    """Judge whether a model can have written a text.

    Args:
        request: prompt, text, and how its tokens are said to have been chosen.
        loaded: the model named.
        limit: most tokens of prompt and text together.
        emit: receives progress.
        cancel: checked in every layer.
    Raises: ValueError where ids are outside the vocabulary, the text cannot be cut, log
        probabilities do not fit the tokens, or both are over the limit; Cancelled.
    """
    cancel.check()
    return _Audit(request, loaded, tokens_given(loaded, request, limit), emit, cancel).result()


class _Audit:
    """One audit, from tokens to its result."""

    def __init__(
        self,
        request: AuditRequest,
        loaded: LoadedModel,
        tokens: GivenTokens,
        emit: Callable[[Event], None],
        cancel: CancelToken,
    ) -> None:
        self.request, self.loaded, self.tokens = request, loaded, tokens
        self.processors = request.sampling.processors
        self.progress, self.cancel = ProgressReporter(emit, cancel), cancel
        formats = [loaded.dtype]
        if request.generated_in is not None:
            formats.append(getattr(torch, request.generated_in))
        usual = GAP_TOLERANCE[torch.float32]
        self.tolerance = max(GAP_TOLERANCE.get(each, usual) for each in formats)
        self.notes = tokens.notes
        self.test: SampledTest | None = None
        self.shares: Doubles = np.full(0, np.nan)

    def result(self) -> AuditResult:
        """Read, judge and return."""
        if not self.processors.greedy:
            ids: tuple[int, ...] = self.tokens.generated
            found, judged = self._sampled(ids)
        else:
            ids, found, judged = self._greedy()
        given, checks = self._log_probabilities(ids, found)
        self._note_the_end(ids)
        return self._filled(ids, found, judged, (*judged.checks, *checks), given)

    def _greedy(self) -> tuple[tuple[int, ...], Measured, Judged]:
        request, prompt = self.request, self.tokens.prompt
        if request.token_ids:
            found = joined([measured(rows) for rows in self._rows(request.token_ids)])
            return request.token_ids, found, judge_greedy(found, self.tolerance)
        self.progress.report("reading the text", 0, 1)
        followed = follow_text(
            self.loaded, prompt, self.tokens.generated, request.continuation, self.processors,
            self.tolerance, self.cancel.check,
        )  # fmt: skip
        judged = judge_greedy(followed.found, self.tolerance)
        return followed.ids, followed.found, _cut_aware(judged, followed)

    def _sampled(self, ids: Sequence[int]) -> tuple[Measured, Judged]:
        tester, parts = SampledTester(self.request.seed), list[Measured]()
        for rows in self._rows(ids):
            parts.append(measured(rows))
            tester.add(rows, np.isfinite(parts[-1].logprob))
        found = joined(parts)
        counted = np.isfinite(found.logprob)
        own = np.exp(found.logprob)
        self.shares = rank_shares(found.likelier, own, self.request.seed)
        scores = (found.logprob + found.entropy)[counted]
        self.test = tester.found(scores, self.shares[counted])
        judged = judge_sampled(found, self.tolerance, self.test)
        if judged.verdict == "wrong" and not self.request.token_ids:
            judged = _unsure(judged, "other tokens that spell it may have been drawn")
        return found, judged

    def _rows(self, ids: Sequence[int]) -> Any:
        prompt = self.tokens.prompt
        for rows in rows_of(self.loaded, prompt, ids, self.processors, self.cancel.check):
            self.progress.report("judging tokens", rows.start, len(ids))
            yield rows

    def _log_probabilities(
        self, ids: Sequence[int], found: Measured
    ) -> tuple[Doubles, tuple[Check, ...]]:
        given = self.request.logprobs
        if not given:
            return np.full(len(ids), np.nan), ()
        if len(given) != len(ids):
            raise ValueError(
                f"logprobs has {len(given)} numbers, but the text is {len(ids)} tokens of "
                f"{self.loaded.name}: give token_ids, or leave logprobs out"
            )
        told = np.asarray(given, np.float64)
        check, _ = check_given(found, told, self.tolerance)
        return told, (check,)

    def _note_the_end(self, ids: Sequence[int]) -> None:
        ends = end_of_text(self.loaded)
        at = next((at for at, key in enumerate(ids[:-1]) if key in ends), None)
        if at is not None:
            self.notes += (
                f"generated token {at} ends a text of this model, and {len(ids) - at - 1} follow",
            )

    def _filled(
        self,
        ids: Sequence[int],
        found: Measured,
        judged: Judged,
        checks: tuple[Check, ...],
        given: Doubles,
    ) -> AuditResult:
        loaded, test, greedy = self.loaded, self.test, self.processors.greedy
        own = found.raw_logprob if greedy else found.logprob
        factors = FACTORS if test else ()
        behind = found.gap if greedy else found.outside
        return AuditResult(
            verdict=judged.verdict,
            position=judged.position,
            gap_nats=judged.gap,
            power=test.power if test else float("nan"),
            p_value=test.p_value if test else float("nan"),
            tolerance_nats=self.tolerance,
            ties=int(((behind > 0) & (behind <= self.tolerance)).sum()),
            tokens_from="ids" if self.request.token_ids else "text",
            prompt_ids=np.asarray(self.tokens.prompt, np.int32),
            prompt_text=decode_each(loaded, self.tokens.prompt),
            token_ids=np.asarray(ids, np.int32),
            token_text=decode_each(loaded, ids),
            text=str(loaded.tokenizer.decode(list(ids))),
            best_ids=found.best.astype(np.int32),
            best_text=decode_each(loaded, found.best.tolist()),
            gap=found.gap.astype(np.float32),
            rank=found.rank.astype(np.int32),
            logprob=own.astype(np.float32),
            entropy_nats=found.entropy.astype(np.float32),
            rank_share=(np.full(len(ids), np.nan) if greedy else self.shares).astype(np.float32),
            given_logprob=given.astype(np.float32),
            temperature_factor=np.asarray(factors, np.float32),
            factor_power=(test.factor_power if test else np.zeros(0)).astype(np.float32),
            factor_distance=(test.factor_distance if test else np.zeros(0)).astype(np.float32),
            processors=vars(self.processors),
            audit=Audit(checks).as_dict(),
            notes=self.notes,
        )


def _cut_aware(judged: Judged, followed: Followed) -> Judged:
    """Return the verdict on a text whose tokens were not given."""
    if followed.recut:
        said = (
            f"{followed.recut} times the model's own tokens spell the text where the tokenizer's "
            "are not the likeliest: those were judged."
        )
        note = Check(CUT, "passed", said, {"cut_anew": float(followed.recut)})
        judged = Judged(judged.verdict, judged.position, judged.gap, (*judged.checks, note))
    if judged.verdict == "wrong" and followed.open:
        return _unsure(judged, "other tokens that spell it were as likely")
    return judged


def _unsure(judged: Judged, why: str) -> Judged:
    said = f"Only text was given, and {why}: give token_ids for a verdict."
    check = Check(CUT, "not applicable", said)
    return Judged("ambiguous", judged.position, judged.gap, (*judged.checks, check))
