"""Follow a chain of keys through a text."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from tokenarium.backend.benchmark.task import Exercise, Task

if TYPE_CHECKING:
    from tokenarium.backend.models.loaded import LoadedModel

ROOMS = (
    "kitchen", "cellar", "attic", "stable", "chapel", "tower", "hall", "study", "pantry",
    "nursery", "gallery", "dairy", "armoury", "laundry", "parlour", "bakehouse", "porch", "office",
)  # fmt: skip


class NeedleThreading(Task):
    """Each sentence names where one room leads; the question is where a walk ends."""

    slug: ClassVar[str] = "needle_threading"
    title: ClassVar[str] = "Needle threading"
    explanation: ClassVar[str] = (
        "Hides links of a chain, each leading to the next, and asks where the chain ends."
    )
    source: ClassVar[str] = "Roberts et al., 2024, arXiv:2411.05000"
    differs: ClassVar[str] = "keys are rooms in sentences, not random identifiers in a list"

    steps: int = Field(2, ge=1, le=8, description="Links from the first room to the last.")
    other_chains: int = Field(
        1, ge=0, le=8, description="Further chains of as many links, about which nothing is asked."
    )

    def exercise(
        self, loaded: "LoadedModel", length: int, depth: float, seed: int, chat: bool = False
    ) -> Exercise:
        """Hide the first link at a depth, and all others anywhere."""
        from tokenarium.backend.benchmark.conversation import Question
        from tokenarium.backend.benchmark.haystack import encode

        draw = np.random.default_rng(seed)
        rooms = self._rooms(draw)
        links = [
            encode(loaded, f" From the {chain[step]} one enters the {chain[step + 1]}.")
            for chain in rooms
            for step in range(self.steps)
        ]
        depths = [depth, *draw.random(len(links) - 1).tolist()]
        first = rooms[0][0]
        answers = [f" {room}" for chain in rooms for room in reversed(chain)]
        needles = list(zip(depths, links, strict=True))
        chance = 1 / sum(len(chain) for chain in rooms)
        return Question(
            text=f" From the {first} go on through every door; the last room is the",
            turn=f" Going on from the {first} through every door, which room is the last one?",
            begun="The last room is the",
        ).exercise(loaded, length, needles, seed, answers, chance, chat=chat)

    def _rooms(self, draw: np.random.Generator) -> list[list[str]]:
        """Return the rooms of each chain; where they run out, they are numbered wings."""
        chains, size = self.other_chains + 1, self.steps + 1
        wings = -(-chains * size // len(ROOMS))
        names = [
            room if wing == 0 else f"{room} of wing {wing + 1}"
            for wing in range(wings)
            for room in draw.permutation(ROOMS).tolist()
        ]
        return [names[chain * size : (chain + 1) * size] for chain in range(chains)]
