"""One policy's course through a run: choose a token, read it, write down what happened."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.full_model import FullModelReference, divergence
from tokenarium.backend.cache.ledger import Ledger, choices
from tokenarium.backend.cache.null_model.kept import null_kept
from tokenarium.backend.cache.null_model.scores import NullModelScores
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.prompt_parts import lengths_of_parts, told_of_parts
from tokenarium.backend.cache.request import CacheRequest
from tokenarium.backend.cache.result import CacheResult
from tokenarium.backend.cache.shared_passes import SharedPasses
from tokenarium.backend.models.generating import end_of_text, wait
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.text import Tokens, decode_each
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.progress import ProgressReporter


@dataclass(frozen=True)
class PreparedRun:
    """What is known when the first policy begins."""

    request: CacheRequest
    loaded: LoadedModel
    tokens: Tokens
    """Of the prompt."""
    notes: tuple[str, ...]
    """About the run, beside those of the prompt."""
    budget: int
    """Entries per head."""
    ledger: Ledger


class CacheProgress(ProgressReporter):
    """Reports steps of policies, and what is known of all of them."""

    def __init__(
        self, run: PreparedRun, emit: Callable[[Event], None], cancel: CancelToken
    ) -> None:
        super().__init__(
            emit, cancel, lambda: self.result(finished=False), lambda: run.ledger.nbytes
        )
        self.request, self.loaded, self.tokens = run.request, run.loaded, run.tokens
        self.budget, self.ledger = run.budget, run.ledger
        self._notes = run.tokens.notes + run.notes
        self.shared_passes = SharedPasses()
        """What the model computed for one policy as it does for others."""

    def report_step(self, doing: str, number: int, step: int = 0) -> None:
        """Report a step of policy ``number``."""
        steps = self.ledger.steps
        total = len(self.request.policies) * steps
        self.report(doing, number * steps + step, total, partial=step > 0)

    def result(self, finished: bool) -> CacheResult:
        """Return what is known so far."""
        chosen = [spec.policy for spec in self.request.policies]
        ids = [[int(key) for key in row[row >= 0]] for row in self.ledger.token_ids]
        return self.ledger.result(
            finished,
            policies=tuple(policy.recipe_slug for policy in chosen),
            titles=tuple(policy.recipe_title for policy in chosen),
            labels=tuple(policy.recipe_label for policy in chosen),
            budget_tokens=self.budget,
            prompt_ids=np.asarray(self.tokens.ids, np.int32),
            prompt_text=self.tokens.text,
            prompt=self.tokens.source,
            **self.tokens.turns(),
            token_text=tuple(decode_each(self.loaded, row) for row in ids),
            text=tuple(
                str(self.loaded.tokenizer.decode(row, skip_special_tokens=True)) for row in ids
            ),
            general_notes=self._notes,
        )


class Generation:
    """One policy's course: choose a token, read it, write down what happened."""

    def __init__(
        self,
        number: int,
        policy: Policy,
        progress: CacheProgress,
        oracle: FullModelReference | None,
        given: list[int],
    ) -> None:
        self.number, self.progress, self.oracle, self.given = number, progress, oracle, given
        self.ledger, self.loaded = progress.ledger, progress.loaded
        self.ids: list[int] = []
        self.waiting: list[Tensor] = []  # logits the full model has not been compared with
        check, seed = progress.cancel.check, progress.request.seed
        self.chunk = progress.request.prompt_chunk
        self.sequence = CachedSequence(
            self.loaded,
            policy,
            progress.budget,
            seed,
            check,
            prompt_chunk=self.chunk,
            shared_passes=progress.shared_passes,
        )
        parts = lengths_of_parts(len(progress.tokens.ids), self.chunk)
        told = progress.request.noise and len(parts) == 1
        self.noise = NullModelScores(self.sequence, seed) if told else None
        if oracle is not None:
            oracle.begin(self.ledger.evicted_at[number])

    def run(self) -> None:
        """Read the prompt and go on until the end."""
        numbers, number = self.ledger.numbers, self.number
        _reset_peak(self.loaded.device)
        logits, took = self._read(self.progress.tokens.ids, 0)
        numbers["prefill_ms"][number] = took
        self.ledger.notes[number] += self.sequence.policy.found(self.sequence.shared)
        parts, most = self.sequence.parts, self.sequence.most_bytes
        self.ledger.notes[number] += told_of_parts(parts, self.chunk, most)
        peak = _peak(self.loaded.device)
        stops = set() if self.given else end_of_text(self.loaded)
        for step in range(self.ledger.steps):
            token = self.given[step] if self.given else int(logits.argmax())
            self.ids.append(token)
            self.ledger.token_ids[number, step] = token
            self.waiting.append(logits)
            last = token in stops or step + 1 == self.ledger.steps
            together = 1 if self.oracle is None else self.oracle.together
            if last or len(self.waiting) >= together or step == 0:
                self._compare()
            self.progress.report_step(f"{self.sequence.policy.title}: token", number, step + 1)
            if last:
                break
            _reset_peak(self.loaded.device)
            logits, took = self._read([token], step + 1)
            numbers["step_ms"][number, step + 1] = took
            peak = max(peak, _peak(self.loaded.device))
        numbers["peak_bytes"][number] = peak
        if self.given:
            for name in ("surprisal_nats", "full_surprisal_nats"):
                mean = numbers[name][number].astype(np.float64).mean()
                numbers[name.replace("surprisal_nats", "perplexity")][number] = np.exp(mean)
        if self.noise is not None:
            self.progress.report_step(
                f"{self.sequence.policy.title}: noise", number, self.ledger.steps
            )
            seed, wanted = self.progress.request.seed, self.ledger.wants_noise
            for kept in null_kept(self.sequence, self.sequence.step, seed, wanted):
                self.ledger.add_null_kept(number, kept.step, kept.layer, kept.share)
        if self.oracle is not None:
            self.ledger.need(number, self.oracle.missed.most, self.oracle.missed.most_step)

    def _read(self, ids: list[int], step: int) -> tuple[Tensor, float]:
        """Read tokens; return the logits [V] and the milliseconds that it takes alone."""
        self.sequence.keep_scores = self.ledger.wants_scores(step)
        wait(self.loaded.device)
        start = time.perf_counter()
        logits = self.sequence.read(ids)
        wait(self.loaded.device)
        took = (time.perf_counter() - start) * 1e3 + self.sequence.spared_ms
        made = choices(self.sequence)
        noise = self.noise.expected(made) if self.noise else [None] * len(made)
        self.ledger.took(self.number, step, self.sequence, made, noise)
        if self.oracle is not None:
            for layer, read in self.ledger.read_by(self.sequence).items():
                self.oracle.missed.read[step, layer] = read
        return logits.float(), took

    def _compare(self) -> None:
        """Let the full model read what the policy has read since the last time."""
        numbers, number = self.ledger.numbers, self.number
        stop = len(self.ids)
        start = stop - len(self.waiting)
        policy = torch.stack(self.waiting)
        self.waiting = []
        if self.oracle is None:
            at = torch.tensor(self.ids[start:], device=policy.device)[:, None]
            surprisal = -policy.log_softmax(-1).gather(1, at)[:, 0]
            numbers["surprisal_nats"][number, start:stop] = surprisal.cpu().numpy()
            return
        # Row s compares what follows token s - 1; row 0 what follows the prompt.
        full = [self.oracle.first[None]] if start == 0 else []
        first = max(start, 1)
        if stop > first:
            full.append(self.oracle.read(self.ids[first - 1 : stop - 1]))
            layers = list(self.oracle.attending)
            missed = self.oracle.missed
            numbers["lost_mass"][number, first:stop, layers] = missed.lost_mass[:, layers].T
            numbers["topk_overlap"][number, first:stop, layers] = missed.topk_overlap[:, layers].T
        measured = divergence(torch.cat(full), policy, self.ids[start:])
        for name, values in measured.items():
            numbers[name][number, start:stop] = values
        other = np.flatnonzero(numbers["top1_agree"][number, :stop] == 0)
        if len(other):
            self.ledger.first_divergence[number] = other[0]


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> float:
    return float(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else float("nan")
