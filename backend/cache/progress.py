"""Tells how far a run under policies is, and what is known of it."""

import time
from collections.abc import Callable

import numpy as np

from tokenarium.backend.cache.ledger import Ledger
from tokenarium.backend.cache.request import CacheRequest
from tokenarium.backend.cache.result import CacheResult
from tokenarium.backend.cost.work import PARTIAL_BYTES
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.text import Tokens, decode_each
from tokenarium.backend.runs.events import CancelToken, Event, Partial, Progress

PARTIAL_SECONDS = 0.3
PARTIAL_SHARE = 0.1
"""Partial results come at most this often, and take at most this share of the time."""


class ProgressReporter:
    """Tells how far the run is, and stops it where it was cancelled."""

    def __init__(
        self,
        request: CacheRequest,
        loaded: LoadedModel,
        tokens: Tokens,
        notes: tuple[str, ...],
        budget: int,
        ledger: Ledger,
        emit: Callable[[Event], None],
        cancel: CancelToken,
    ) -> None:
        self.request, self.loaded, self.tokens = request, loaded, tokens
        self.budget, self.ledger, self.cancel = budget, ledger, cancel
        self._notes, self._emit = tokens.notes + notes, emit
        self._next = time.monotonic() + PARTIAL_SECONDS

    def tell(self, doing: str, number: int, step: int = 0) -> None:
        """Say what is being done: a step of a policy."""
        self.cancel.check()
        steps = self.ledger.steps
        self._emit(Progress(doing, number * steps + step, len(self.request.policies) * steps))
        start = time.monotonic()
        # Each is a copy: a large result is told by progress alone.
        if step and start >= self._next and self.ledger.nbytes <= PARTIAL_BYTES:
            self._emit(Partial(self.result(finished=False)))
            now = time.monotonic()
            self._next = now + max(PARTIAL_SECONDS, (now - start) / PARTIAL_SHARE)

    def result(self, finished: bool) -> CacheResult:
        """Return what is known so far."""
        chosen = [spec.policy for spec in self.request.policies]
        ids = [[int(key) for key in row[row >= 0]] for row in self.ledger.token_ids]
        return self.ledger.result(
            finished,
            policies=tuple(policy.slug for policy in chosen),
            titles=tuple(policy.title for policy in chosen),
            labels=tuple(policy.label for policy in chosen),
            budget_tokens=self.budget,
            prompt_ids=np.asarray(self.tokens.ids, np.int32),
            prompt_text=self.tokens.text,
            token_text=tuple(decode_each(self.loaded, row) for row in ids),
            text=tuple(
                str(self.loaded.tokenizer.decode(row, skip_special_tokens=True)) for row in ids
            ),
            general_notes=self._notes,
        )
