"""One policy's part of a result: what it generated, kept, read and scored, step by step."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.cache.decision_quantities import NEVER

if TYPE_CHECKING:
    from tokenarium.backend.cache.result import CacheResult

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]


@dataclass(frozen=True)
class Scores:
    """What a policy made of one head's entries when it last chose."""

    step: int
    threshold: float
    """Highest score that was dropped."""
    positions: Integers
    """Entries near the threshold, ascending."""
    near: Floats
    """Their scores, exactly."""
    edges: Floats
    """[65] where the parts of the text begin and end, in tokens."""
    pooled: Floats
    """[64] mean score in each part; NaN where nothing was held."""
    noise_near: Floats
    """What the entries near the threshold would score if attention said nothing."""
    noise_pooled: Floats
    """[64] the same, mean over the entries of each part."""


@dataclass(frozen=True)
class Searched:
    """What a search of one head looked at: n ranges of tokens."""

    step: int
    level: Integers
    """[n] 0 for the coarsest."""
    first: Integers
    """[n] where each begins."""
    stop: Integers
    """[n] the position after its last."""
    opened: NDArray[np.bool_]
    """[n] whether the search went on inside; of the last level, whether it is read."""
    scores: Floats
    """[n] what it was judged by."""


@dataclass(frozen=True)
class PolicyRun:
    """One policy's part of a result; nothing is copied."""

    result: "CacheResult"
    number: int

    @property
    def policy(self) -> str:
        """Slug."""
        return self.result.policies[self.number]

    @property
    def label(self) -> str:
        """What is really done."""
        return self.result.labels[self.number]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done otherwise than one might expect."""
        return self.result.notes[self.number]

    @property
    def text(self) -> str:
        """The generated text."""
        return self.result.text[self.number]

    @property
    def steps(self) -> int:
        """Tokens generated; the last of them was not read."""
        return int((self.result.token_ids[self.number] >= 0).sum())

    @property
    def token_ids(self) -> Integers:
        """[steps] generated tokens."""
        return self.result.token_ids[self.number, : self.steps]

    @property
    def cache_bytes(self) -> NDArray[np.int64]:
        """[steps] bytes really held after each step."""
        return self.result.cache_bytes[self.number, : self.steps]

    @property
    def state_bytes(self) -> NDArray[np.int64]:
        """[steps] bytes of what the policy remembers apart from entries."""
        return self.result.state_bytes[self.number, : self.steps]

    @property
    def step_ms(self) -> Floats:
        """[steps] wall time; NaN for step 0."""
        return self.result.step_ms[self.number, : self.steps]

    @property
    def prefill_ms(self) -> float:
        """Wall time of reading the prompt."""
        return float(self.result.prefill_ms[self.number])

    @property
    def kl_nats(self) -> Floats:
        """[steps] divergence from the full cache."""
        return self.result.kl_nats[self.number, : self.steps]

    @property
    def top1_agree(self) -> Floats:
        """[steps] whether the full model would have said the same."""
        return self.result.top1_agree[self.number, : self.steps]

    def kept(self, step: int, layer: int, head: int) -> Integers:
        """Return the ascending original positions that a KV head held after a step.

        None are where the layer has no such head.
        """
        gone = self.result.evicted_at[self.number, layer, head]
        read = len(self.result.prompt_ids) + step
        held = (gone[:read] == NEVER) | (gone[:read] > step)
        return np.flatnonzero(held).astype(np.int32)

    def merged(self, step: int, layer: int, head: int) -> dict[int, int]:
        """Return, by position, the entry that each token was a part of after a step.

        An entry that became a part of another one took its own parts along.
        """
        at = self.result.merged_at
        if at is None:
            return {}
        own = (at[:, 0] == self.number) & (at[:, 2] == layer) & (at[:, 3] == head)
        rows = at[own & (at[:, 1] <= step)]
        direct = dict(zip(rows[:, 4].tolist(), rows[:, 5].tolist(), strict=True))
        found = {}
        for position, into in direct.items():
            while into in direct:
                into = direct[into]
            found[position] = into
        return found

    def selected(self, step: int, layer: int, head: int) -> Integers | None:
        """Return the ascending positions that a step read; None where all was read, or
        nothing was recorded."""
        at = self.result.selected_at
        rows = np.flatnonzero((at == (self.number, step, layer)).all(1))
        if not len(rows):
            return None
        read = np.unpackbits(self.result.selected_bits[rows[0], head])
        return np.flatnonzero(read).astype(np.int32)

    def searched(self, step: int, layer: int, head: int) -> Searched | None:
        """Return the latest recorded search up to a step; None where there is none."""
        at, scores = self.result.search_at, self.result.search_scores
        if at is None or scores is None:
            return None
        rows = np.flatnonzero((at[:, [0, 2, 3]] == (self.number, layer, head)).all(1))
        rows = rows[at[rows, 1] <= step]
        if not len(rows):
            return None
        rows = rows[at[rows, 1] == at[rows, 1].max()]
        own = at[rows]
        opened = own[:, 7].astype(np.bool_)
        return Searched(int(own[0, 1]), own[:, 4], own[:, 5], own[:, 6], opened, scores[rows])

    def clusters(self, layer: int, head: int) -> Integers | None:
        """Return [T] the number of each prompt token's cluster, 0 for none; None if unknown."""
        at, clusters = self.result.cluster_at, self.result.clusters
        if at is None or clusters is None:
            return None
        rows = np.flatnonzero((at == (self.number, layer, head)).all(1))
        return clusters[rows[0]] if len(rows) else None

    @property
    def likeness(self) -> tuple[tuple[int, int, float, float], ...]:
        """Lower layer, upper layer, and mean cosine of keys and of values, of neighbours; empty
        where the policy compares none."""
        at, cosines = self.result.neighbours, self.result.likeness
        if at is None or cosines is None:
            return ()
        rows = np.flatnonzero(at[:, 0] == self.number)
        return tuple((*at[row, 1:].tolist(), *cosines[row].tolist()) for row in rows)

    def score(self, step: int, layer: int, head: int) -> Scores | None:
        """Return the scores of the latest recorded choice up to a step; None where there is none.

        They are exact near the threshold, and pooled elsewhere.
        """
        of = self.result.score_at
        chosen = (of[:, 0] == self.number) & (of[:, 2] == layer) & (of[:, 3] == head)
        rows = np.flatnonzero(chosen & (of[:, 1] <= step))
        if not len(rows):
            return None
        row = rows[np.argmax(of[rows, 1])]
        there = self.result.score_positions[row] >= 0
        last = self.result.evicted_at.shape[-1]
        pooled = self.result.score_pooled[row]
        return Scores(
            step=int(of[row, 1]),
            threshold=float(self.result.score_threshold[row]),
            positions=self.result.score_positions[row][there],
            near=self.result.score_near[row][there],
            edges=np.linspace(0, last, len(pooled) + 1, dtype=np.float32),
            pooled=pooled,
            noise_near=self.result.noise_near[row][there],
            noise_pooled=self.result.noise_pooled[row],
        )

    def kept_by_noise(self, step: int, layer: int) -> Floats | None:
        """Return [T + step] how likely noise alone keeps each token; None where not recorded.

        What was read after the latest step recorded counts as held.
        """
        result, at = self.result, self.result.noise_at
        if result.windows is not None and result.windows[layer]:
            return None  # noise is told of layers that see everything
        budgets = result.layer_budgets[self.number]
        alike = (at[:, 2] < 0) | (budgets[at[:, 2]] == budgets[layer])
        rows = np.flatnonzero((at[:, 0] == self.number) & (at[:, 1] <= step) & alike)
        if not len(rows) or budgets[layer] < 0:
            return None
        row, prompt = rows[np.argmax(at[rows, 1])], len(result.prompt_ids)
        held = np.ones(prompt + step, np.float32)
        recorded = prompt + int(at[row, 1])
        held[:recorded] = result.noise_kept[row, :recorded] / np.float32(255)
        return held

    def noise_share(self, step: int, layer: int, head: int) -> float | None:
        """Return the share of what a head holds that noise alone would hold; None if unknown."""
        likely = self.kept_by_noise(step, layer)
        held = self.kept(step, layer, head)
        return None if likely is None or not len(held) else float(likely[held].mean())

    @property
    def evicted(self) -> Integers:
        """[n, 4] every drop by step: step, layer, KV head, position."""
        layer, head, position = np.nonzero(self.result.evicted_at[self.number] >= 0)
        step = self.result.evicted_at[self.number][layer, head, position]
        rows = np.stack((step, layer, head, position), 1).astype(np.int32)
        return rows[np.argsort(step, kind="stable")]

    @property
    def needed_later(self) -> tuple[tuple[int, int, int, int, float], ...]:
        """Step, layer, KV head, position and weight of what was missed most, most first."""
        result, number = self.result, self.number
        return tuple(
            (int(step), int(layer), int(head), int(position), float(weight))
            for step, layer, head, position, weight in zip(
                result.needed_step[number],
                result.needed_layer[number],
                result.needed_head[number],
                result.needed_position[number],
                result.needed_weight[number],
                strict=True,
            )
            if step >= 0
        )
