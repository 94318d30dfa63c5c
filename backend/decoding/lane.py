"""One strategy's course through a run: what it is handed, and what it does with it."""

from collections.abc import Mapping, Sequence

from tokenarium.backend.decoding.branch import Branch
from tokenarium.backend.decoding.journal import Action
from tokenarium.backend.decoding.lane_text import LaneText
from tokenarium.backend.decoding.next_token import NextToken
from tokenarium.backend.decoding.records import TokenRecord, record
from tokenarium.backend.decoding.second import Second


class Lane(LaneText):
    """A text that one strategy writes, and the branches it tries on the way.

    A branch is tokens read after the text, or after another branch, over its shared prefix; its
    tokens become part of the text with ``keep``.
    """

    @property
    def second(self) -> Second:
        """The small model that reads the same text."""
        assert self._second is not None, "the strategy does not declare a small model"
        return self._second

    @property
    def small_spent(self) -> tuple[int, int, float]:
        """Passes of the small model, or the drafter's, tokens read in them, and seconds."""
        spent = self.stepper.beside if self._second is None else self._second.counters
        return spent.passes, spent.token_steps, spent.seconds

    def fork(
        self, tokens: Sequence[int], parent: Branch | None = None, reason: str = ""
    ) -> list[Branch]:
        """Try tokens after the text, or after a branch, each as a new branch; one pass reads them.

        Returns: the branches, in the order of the tokens.
        """
        return self._read([(parent, token) for token in tokens], dict.fromkeys(tokens, reason))

    def grow(self, tokens: Mapping[Branch, int]) -> None:
        """Continue branches by a token each; one pass reads them."""
        pairs = list(tokens.items())
        found = self._tried(pairs)
        for (branch, _), (made, node, now) in zip(pairs, found, strict=True):
            branch.records.append(made)
            branch.nodes.append(node)
            branch.now = now
            self._tried_row("look_ahead", branch)

    def advance(self, pairs: Sequence[tuple[Branch, int]]) -> list[Branch]:
        """Continue branches by tokens, in one pass; one that gets several goes on as new branches.

        Returns: for each pair the branch that ends with its token.
        """
        uses = [branch for branch, _ in pairs]
        alone = {branch: token for branch, token in pairs if uses.count(branch) == 1}
        if len(alone) == len(pairs):
            self.grow(alone)
            return uses
        return self._read(list(pairs), {})

    def keep(
        self,
        branch: Branch,
        count: int | None = None,
        *,
        score: float = float("nan"),
        reason: str = "",
    ) -> None:
        """Make the tokens of a branch part of the text; every other branch is left.

        Args:
            branch: one that is still there.
            count: how many of its tokens from the text on; None for all.
            score: of the branch.
            reason: why it is kept.
        """
        records, nodes = branch.records[:count], branch.nodes[:count]
        whole = len(records) == len(branch.records)
        kept = self._append(records, self._owners(branch), score, reason)
        self.stepper.keep(nodes[:kept])
        self._now = branch.now if whole and kept == len(records) else None

    def _owners(self, branch: Branch) -> list[Branch]:
        """Return, of every token of a branch, the branch whose own it is."""
        owners: list[Branch] = []
        number, count = branch.number, len(branch.records)
        while number:
            one = self.branches[number - 1]
            owners = [one] * (count - one.own) + owners
            count, number = one.own, one.parent
        return owners

    def drop(self, branch: Branch, reason: str = "") -> None:
        """Write down that a branch is left."""
        self.event("drop", reason, score=branch.score, branch=branch)

    def _read(
        self, pairs: Sequence[tuple[Branch | None, int]], reasons: Mapping[int, str]
    ) -> list[Branch]:
        """Read each token as a new branch, all in one pass."""
        made = []
        for (parent, token), (own, node, now) in zip(pairs, self._tried(pairs), strict=True):
            above = [] if parent is None else parent.records
            branch = Branch(
                number=len(self.branches) + 1,
                parent=0 if parent is None else parent.number,
                start=self.step + len(above),
                records=[*above, own],
                nodes=[*([] if parent is None else parent.nodes), node],
                own=len(above),
                now=now,
            )
            self.branches.append(branch)
            self._tried_row("branch", branch, reasons.get(token, ""))
            made.append(branch)
        return made

    def _tried(
        self, pairs: Sequence[tuple[Branch | None, int]]
    ) -> list[tuple[TokenRecord, int, NextToken]]:
        """Read a token after each branch; return its record, its node and what follows it."""
        before = [self.now if branch is None else branch.now for branch, _ in pairs]
        tokens = [token for _, token in pairs]
        parents = [-1 if branch is None else branch.nodes[-1] for branch, _ in pairs]
        records = [record(now, token) for now, token in zip(before, tokens, strict=True)]
        nodes, logits = self.stepper.try_tokens(tokens, parents)
        after = [
            self.next_token(row, [*now.path, token])
            for row, now, token in zip(logits, before, tokens, strict=True)
        ]
        return list(zip(records, nodes, after, strict=True))

    def _tried_row(self, action: Action, branch: Branch, reason: str = "") -> None:
        made = branch.records[-1]
        self.journal.add(
            branch.end - 1,
            action,
            branch=branch.number,
            parent=branch.parent,
            token=made.token,
            probability=made.probability,
            rank=made.rank,
            reason=reason,
            before=made.before,
            after=(branch.now.entropy_nats, branch.now.varentropy_nats2),
            spent=self.spent_in_all,
        )
