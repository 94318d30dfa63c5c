"""The text of a lane: what a strategy takes, gives, takes back, and writes into the journal."""

from collections.abc import Callable, Collection, Sequence
from time import perf_counter
from typing import Self

import numpy as np
from torch import Tensor

from tokenarium.backend.decoding.allowed import Allowed, Vocabulary
from tokenarium.backend.decoding.branch import Branch
from tokenarium.backend.decoding.calibration import NOTHING, Calibration
from tokenarium.backend.decoding.changed_logits import Change, ChangedLogits
from tokenarium.backend.decoding.constraint import Constraint
from tokenarium.backend.decoding.drawing import Drawing
from tokenarium.backend.decoding.journal import Action, Journal
from tokenarium.backend.decoding.next_token import NextToken
from tokenarium.backend.decoding.pipeline import Pipeline
from tokenarium.backend.decoding.records import TokenRecord, record, soft_record
from tokenarium.backend.decoding.second import Second
from tokenarium.backend.decoding.stepper import Stepper
from tokenarium.backend.decoding.stopping import Stopping
from tokenarium.backend.speculation.autoregressive import Reason
from tokenarium.backend.speculation.distribution import sample_one


def _nothing_follows(constraint: Constraint) -> Allowed:
    return Allowed(constraint, Vocabulary({}, (), 0))


class LaneText:
    """A text that one strategy writes, without the branches it tries.

    Args:
        stepper: has read the prompt, nothing after it.
        pipeline: what is done to every distribution before a token is drawn.
        stopping: when the text ends.
        ends: tokens after which a model stops.
        seed: of everything drawn; equal steps of equal seeds draw by equal numbers.
        report: called after every new token.
        spell: ids to text.
        calibration: how unsure the model is where plain decoding writes.
        allowed: which tokens may follow under the request's constraint; None without one.
        allowing: the same for another constraint.
        encode: text to ids, as it stands in the middle of a text.
        small: over a small model that reads the same text; None without one.
        right: whether new tokens answer the prompt; None where no answer is known.
    """

    def __init__(
        self,
        stepper: Stepper,
        pipeline: Pipeline,
        stopping: Stopping,
        ends: Collection[int] = (),
        seed: int = 0,
        report: Callable[[Self], None] = lambda _: None,
        spell: Callable[[Sequence[int]], str] = lambda _: "",
        calibration: Calibration = NOTHING,
        allowed: Allowed | None = None,
        allowing: Callable[[Constraint], Allowed] = _nothing_follows,
        encode: Callable[[str], list[int]] = lambda _: [],
        small: Stepper | None = None,
        right: Callable[[Sequence[int]], bool] | None = None,
    ) -> None:
        self.stepper, self.pipeline, self.ends, self.spell = stepper, pipeline, set(ends), spell
        self.calibration, self.allowed = calibration, allowed
        self.encode, self.right = encode, right
        self._allowing, self._under = allowing, dict[Constraint, Allowed]()
        self.drawings: list[Drawing] = []
        """What the strategy draws beside its text."""
        self.lines: dict[str, float] = {}
        """Thresholds in force, in nats, by what happens there."""
        self._stopping = stopping
        self._report: Callable[[], None] = lambda: report(self)
        self.journal = Journal()
        self.random = np.random.default_rng([seed, 1])
        """For whatever is drawn beside the tokens of the text."""
        self._uniforms = np.random.default_rng([seed, 0]).random(stopping.max_new_tokens + 1)
        self.new: list[int] = []
        """The new tokens; -1 where an embedding was read in place of one."""
        self.records: list[TokenRecord] = []
        self.spent: list[tuple[int, int, int, float]] = []
        """Of each: its branch, passes, tokens read and seconds until then."""
        self.branches: list[Branch] = []
        """Every branch there was."""
        self.ended: Reason = ""
        """Why the text is over; empty while it is not."""
        self._unread: list[int] = []
        self._now: NextToken | None = None
        self._begun = perf_counter()
        self._counted = stepper.counters
        self._second = None if small is None else Second(small, lambda: self.new, stepper.prompt)

    @property
    def step(self) -> int:
        """New tokens so far."""
        return len(self.new)

    def line(self, name: str, nats: float) -> float:
        """Return a threshold on the entropy, and note it: the page draws it."""
        self.lines[name] = nats
        return nats

    def under(self, constraint: Constraint) -> Allowed:
        """Return which tokens may follow under a constraint; asked again, the same one."""
        if constraint not in self._under:
            self._under[constraint] = self._allowing(constraint)
        return self._under[constraint]

    @property
    def room(self) -> int:
        """New tokens that may still follow."""
        return self._stopping.max_new_tokens - self.step

    @property
    def now(self) -> NextToken:
        """What follows the text; reads, in one pass, what was taken since."""
        if self._unread:
            self.stepper.feed(self._unread)
            self._unread = []
        if self._now is None:
            self._now = self.next_token(self.stepper.logits, list(self.stepper.ids))
        return self._now

    def add_step(self, name: str, change: Change) -> None:
        """Change the model's logits from here on, before every other step; the page shows it."""
        self.pipeline = ChangedLogits.before(self.pipeline, name, change)
        self._now = None

    def next_token(self, logits: Tensor, path: Sequence[int]) -> NextToken:
        """Return what follows a path, by logits [V] and this lane's pipeline."""
        return NextToken(logits, path, self.pipeline)

    @property
    def uniform(self) -> float:
        """The number in [0, 1) that the token of this step is drawn by; equal for equal seeds."""
        return float(self._uniforms[self.step])

    def drawn(self) -> int:
        """Return the token that sampling draws at this step; equal seeds draw by equal numbers."""
        return self._drawn(self.now, self.uniform)

    def drawn_after(self, branch: Branch) -> int:
        """Draw a token after a branch."""
        return self._drawn(branch.now, float(self.random.random()))

    def drawn_at(self, now: NextToken, ahead: int | None) -> int:
        """Draw a token, by the number of the step that is ``ahead`` of this one, or another."""
        own = self.random.random() if ahead is None else self._uniforms[self.step + ahead]
        return self._drawn(now, float(own))

    def _drawn(self, now: NextToken, uniform: float) -> int:
        return now.best if self.pipeline.temperature == 0 else sample_one(now.final, uniform)

    def take(
        self,
        token: int,
        *,
        score: float = float("nan"),
        reason: str = "",
        by: NextToken | None = None,
    ) -> None:
        """Make a token part of the text.

        Args:
            token: of the vocabulary.
            score: of the strategy.
            reason: why.
            by: who chose it, where it was the small model; the text is then not read for it.
        """
        self._append([record(self.now if by is None else by, token)], [], score, reason)
        self._unread.append(token)

    def give(self, tokens: Sequence[int], reason: str = "given") -> None:
        """Begin the text with tokens that nobody chose; one pass reads them."""
        if not tokens:
            return
        path = [*self.now.path]
        self.stepper.feed(tokens)
        made = []
        for token, logits in zip(tokens, self.stepper.logits_before(len(tokens)), strict=True):
            made.append(record(self.next_token(logits, list(path)), token))
            path.append(token)
        kept = self._append(made, [], float("nan"), reason)
        self.stepper.rewind(len(tokens) - kept)

    def take_embedding(
        self,
        embedding: Tensor,
        *,
        score: float = float("nan"),
        reason: str = "a mixture of embeddings is read",
    ) -> None:
        """Read an embedding [hidden] as the next step of the text, in place of a token."""
        self._append([soft_record(self.now)], [], score, reason)
        if not self.ended:
            self.stepper.feed([-1], embedding[None])

    def event(
        self,
        action: Action,
        reason: str = "",
        *,
        token: int = -1,
        score: float = float("nan"),
        branch: Branch | None = None,
    ) -> None:
        """Write down that something was done, at this step and, maybe, with a token."""
        now = self.now if branch is None else branch.now
        known = token >= 0
        self.journal.add(
            self.step if branch is None else branch.end,
            action,
            branch=0 if branch is None else branch.number,
            parent=-1 if branch is None else branch.parent,
            token=token,
            probability=now.probability(token) if known else float("nan"),
            rank=now.rank(token) if known else -1,
            score=score,
            reason=reason,
            before=(now.entropy_nats, now.varentropy_nats2),
            spent=self.spent_in_all,
        )

    def consider(
        self,
        tokens: Sequence[int],
        scores: Sequence[float] | None = None,
        reason: str = "",
        branch: Branch | None = None,
    ) -> None:
        """Write down which tokens were weighed at this step, with the strategy's scores."""
        values = [float("nan")] * len(tokens) if scores is None else scores
        for token, score in zip(tokens, values, strict=True):
            self.event("consider", reason, token=token, score=score, branch=branch)

    def roll_back(self, count: int, reason: str = "") -> list[int]:
        """Take the newest tokens back out of the text, and return them."""
        assert 0 < count <= self.step, "only what was written is taken back"
        taken = self.new[-count:]
        for place in range(count):
            made = self.records[-1 - place]
            self.journal.add(
                self.step - 1 - place,
                "roll_back",
                token=made.token,
                probability=made.probability,
                rank=made.rank,
                reason=reason,
                before=made.before,
                spent=self.spent_in_all,
            )
        unread = min(count, len(self._unread))
        del self._unread[len(self._unread) - unread :]
        self.stepper.rewind(count - unread)
        for kept in (self.new, self.records, self.spent):
            del kept[-count:]
        self._now = None
        self.ended = ""
        return taken

    def stop(self, reason: str) -> None:
        """End the text here."""
        self.event("stop", reason)
        self.ended = "stop"

    @property
    def spent_in_all(self) -> tuple[int, int]:
        """Forward passes since the prompt, and tokens read in them."""
        return self._counted.passes, self._counted.token_steps

    def _append(
        self, records: Sequence[TokenRecord], owners: Sequence[Branch], score: float, reason: str
    ) -> int:
        """Add tokens to the text, and return how many of them it still takes."""
        assert not self.ended, "the text is over"
        tokens = [made.token for made in records]
        kept, self.ended = self._stopping.cut(self.new, tokens)
        for place, made in enumerate(records[:kept]):
            owner = owners[place] if owners else None
            number = 0
            if owner is not None:
                owner.kept, number = owner.kept + 1, owner.number
            self.journal.add(
                self.step,
                "take",
                branch=number,
                parent=-1 if owner is None else owner.parent,
                token=made.token,
                probability=made.probability,
                score=score,
                rank=made.rank,
                reason=reason,
                before=made.before,
                spent=self.spent_in_all,
            )
            self.new.append(made.token)
            self.records.append(made)
            self.spent.append((number, *self.spent_in_all, perf_counter() - self._begun))
        self._now = None
        self._report()
        return kept
