"""Magic words: a few control tokens, found by search, after which the model says what is wanted."""

from math import ceil
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenarium.backend.decoding.lane import Lane

Words = tuple[int, ...]
PER_PASS = 64
"""Candidates that one pass reads."""
MOST_WANTED = 8
"""Tokens of the wanted text that count."""


class MagicWords(Strategy):
    """Control tokens u are put after the prompt x so that y becomes the likeliest: ln p(y | x u).

    Greedy: u grows to the left, each time by the token of a pool that raises ln p(y) most. Then, as
    long as y is not what greedy decoding writes, tokens of u are swapped one at a time, and the
    best swap stays. Pools are the tokens of the largest gradient of ln p(y) by the one-hot token.
    """

    slug = "magic_words"
    title = "Magic words"
    explanation = (
        "Searches for a few tokens after which the model's likeliest next token is a wanted one, "
        "puts them after the prompt, and goes on greedily, which shows how far a prompt can steer."
    )
    paper = (
        "Bhargava et al., 2023, arXiv:2310.04444; swaps by gradient: Zou et al., 2023, "
        "arXiv:2307.15043"
    )
    differs = (
        "control tokens stand after the prompt, where the paper puts them before it; pools and "
        "swaps are few, and it ends as soon as the wanted text is reached"
    )
    branches = True
    watches = ("gradients",)
    neutral: ClassVar[dict[str, Any]] = {"words": 0}
    published: ClassVar[dict[str, Any]] = {"pool": 128, "swaps": 768, "iterations": 34}

    wanted: str = Field(
        "",
        max_length=200,
        description="What the model shall say next; empty takes the token of the rank below.",
    )
    rank: int = Field(
        10,
        ge=1,
        le=1_000_000,
        description="Which token is wanted, by its rank after the prompt; 1 is the likeliest.",
    )
    words: int = Field(3, ge=0, le=10, description="Most control tokens; 0 for none.")
    pool: int = Field(
        64, ge=1, le=1_000_000, description="Tokens that are tried at a place, by gradient."
    )
    swaps: int = Field(64, ge=1, le=4096, description="Swaps that one iteration tries.")
    iterations: int = Field(4, ge=0, le=200, description="Iterations of swaps.")

    def most_passes(self, new_tokens: int) -> int:
        """Every pool and every batch of swaps is read, each after a pass for the gradient."""
        grown = self.words * (1 + ceil(self.pool / PER_PASS))
        swapped = self.iterations * (1 + ceil(self.swaps / PER_PASS)) if self.words else 0
        return new_tokens + grown + swapped + 2

    def most_token_steps(self, new_tokens: int) -> int:
        """Of candidates, their words and the wanted text."""
        tried = self.words * self.pool + self.iterations * self.swaps
        return new_tokens + (tried + self.words + self.iterations + 2) * (self.words + MOST_WANTED)

    def most_rereads(self, new_tokens: int) -> int:  # noqa: ARG002
        """One gradient for every word and for every iteration of swaps."""
        return self.words + self.iterations if self.words else 0

    def decode(self, lane: "Lane") -> None:
        """Search, put the words after the prompt, and go on greedily."""
        if self.words and lane.room > self.words and not lane.ended:
            self._search(lane)
        while not lane.ended:
            lane.take(lane.now.best)

    def _search(self, lane: "Lane") -> None:
        wanted = self._wanted(lane)
        found: list[tuple[float, bool]] = [self.evaluated(lane, [()], wanted)[()]]
        tried = [0]
        best: Words = ()
        for turn in range(self.words + self.iterations):
            if found[-1][1]:  # it is what greedy decoding writes
                break
            candidates = self._grown if turn < self.words else self._swapped
            scores = self.evaluated(lane, candidates(lane, best, wanted), wanted)
            best = max(scores, key=lambda words: scores[words][0])
            found.append(scores[best])
            tried.append(tried[-1] + len(scores))
            said = f"ln p of the wanted text after {lane.spell(best)!r}"
            lane.consider(best[:1], [scores[best][0]], said)
        self._say(lane, wanted, best, found, tried)
        lane.give(best, "control token")

    def _grown(self, lane: "Lane", best: Words, wanted: "Sequence[int]") -> list[Words]:
        """Return the words with a token more at their left; the likeliest stands in for it."""
        pool = self._pools(lane, (lane.now.best, *best), wanted)[0]
        return [(token, *best) for token in pool]

    def _swapped(self, lane: "Lane", best: Words, wanted: "Sequence[int]") -> list[Words]:
        """Return the words, and others with one token in another's place."""
        pools, found = self._pools(lane, best, wanted), {best: None}
        for _ in range(self.swaps):
            place = int(lane.random.integers(len(best)))
            token = pools[place][int(lane.random.integers(len(pools[place])))]
            found[(*best[:place], token, *best[place + 1 :])] = None
        return [*found]

    def _wanted(self, lane: "Lane") -> list[int]:
        """Return the tokens that shall follow."""
        if self.wanted and (ids := lane.encode(self.wanted)):
            return ids[:MOST_WANTED]
        order = lane.now.logits.sort(descending=True, stable=True).indices
        return [int(order[min(self.rank, len(order)) - 1])]

    def evaluated(
        self, lane: "Lane", candidates: "Sequence[Words]", wanted: "Sequence[int]"
    ) -> dict[Words, tuple[float, bool]]:
        """Return of each candidate ln p of the wanted tokens, and whether each is the likeliest."""
        import torch

        stepper, first = lane.stepper, lane.now.logits
        found: dict[Words, tuple[float, bool]] = {}
        for begin in range(0, len(candidates), PER_PASS):
            batch = candidates[begin : begin + PER_PASS]
            texts = [(*words, *wanted[:-1]) for words in batch]
            ids = [token for text in texts for token in text]
            parents: list[int] = []
            for text in texts:
                begun = len(parents)
                parents += [-1, *range(begun, begun + len(text) - 1)][: len(text)]
            logits = stepper.try_tokens(ids, parents)[1] if ids else first[None][:0]
            stepper.rewind(0)  # candidates leave the cache
            place = 0
            for words, text in zip(batch, texts, strict=True):
                own = logits[place : place + len(text)]
                place += len(text)
                rows = torch.cat([first[None].to(own), own])[len(words) :].float()
                log_probs = torch.log_softmax(rows, -1)
                total = sum(float(row[token]) for row, token in zip(log_probs, wanted, strict=True))
                found[words] = total, rows.argmax(-1).tolist() == list(wanted)
        return found

    def _pools(self, lane: "Lane", words: Words, wanted: "Sequence[int]") -> list[list[int]]:
        """Return for each place the tokens that would raise ln p(wanted) most, by its gradient."""
        import torch

        _, slope = lane.stepper.slope(words, wanted)
        size = len(lane.now.logits)
        if self.pool >= size:
            return [[*range(size)]] * len(words)
        gains = torch.cat(
            [slope.float() @ lane.stepper.embed(range(low, min(size, low + 8192))).float().T
             for low in range(0, size, 8192)], -1
        )  # fmt: skip
        return gains.topk(self.pool, -1).indices.tolist()

    def _say(
        self,
        lane: "Lane",
        wanted: list[int],
        best: Words,
        found: "Sequence[tuple[float, bool]]",
        tried: "Sequence[int]",
    ) -> None:
        """Write down and draw how far it came, and whether the words survive being typed."""
        from tokenarium.backend.decoding.drawing import Drawing, Series

        reached = "reached" if found[-1][1] else "not reached"
        count = "1 word" if len(best) == 1 else f"{len(best)} words"
        typed = "" if lane.encode(lane.spell(best)) == [*best] else "; typed, they would be others"
        words = f"{reached} with {count}, ln p {found[-1][0]:.2f}{typed}"
        rank = lane.now.rank(wanted[0]) + 1
        start = f"{lane.spell(wanted)!r} was rank {rank}, ln p {found[0][0]:.2f}"
        lane.event("switch", f"{start}: {words}", score=found[-1][0])
        curve = Series("best words so far", [*map(float, tried)], [value for value, _ in found])
        title = f"ln p of {lane.spell(wanted)!r}"
        lane.drawings.append(Drawing(title, "candidates tried", "ln p", (curve,)))
