"""How far a run under policies is, and what is known of it."""

from collections.abc import Callable

import numpy as np

from tokenarium.backend.cache.ledger import Ledger
from tokenarium.backend.cache.request import CacheRequest
from tokenarium.backend.cache.result import CacheResult
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.text import Tokens, decode_each
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.progress import ProgressReporter


class CacheProgress(ProgressReporter):
    """Reports steps of policies, and what is known of all of them."""

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
        super().__init__(emit, cancel, lambda: self.result(finished=False), lambda: ledger.nbytes)
        self.request, self.loaded, self.tokens = request, loaded, tokens
        self.budget, self.ledger = budget, ledger
        self._notes = tokens.notes + notes

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
