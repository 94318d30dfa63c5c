"""Neutral sentences without numbers or names, written for this project, as filler of tasks."""

from collections.abc import Iterator

import numpy as np

PEOPLE = (
    "farmer", "teacher", "sailor", "baker", "doctor", "gardener", "painter", "shepherd",
    "carpenter", "traveller", "neighbour", "clerk", "fisherman", "weaver", "captain", "student",
)  # fmt: skip
PLACES = (
    "garden", "river", "market", "old mill", "harbour", "church", "valley", "orchard",
    "bridge", "village", "library", "station", "meadow", "castle", "forest", "workshop",
)  # fmt: skip
THINGS = (
    "letter", "basket", "lamp", "table", "book", "coat", "clock", "ladder",
    "picture", "blanket", "kettle", "chair", "bell", "boat", "mirror", "box of apples",
)  # fmt: skip
QUALITIES = (
    "quiet", "cold", "bright", "narrow", "gentle", "heavy", "plain", "simple",
    "distant", "warm", "grey", "pleasant", "dusty", "tall", "small", "familiar",
)  # fmt: skip
TIMES = (
    "In the morning", "After supper", "Before the rain came", "Towards evening",
    "On the following day", "When the wind had dropped", "Late in the autumn", "At noon",
    "For a long while", "As usual", "Some time afterwards", "While the others slept",
)  # fmt: skip
FRAMES = (
    "The {person} walked slowly to the {place} and sat down for a while.",
    "{time} the {person} carried a {quality} {thing} across the {place}.",
    "There was a {quality} {thing} near the door, and nobody had moved it.",
    "The road beside the {place} was {quality}, and few people went that way.",
    "{time} it was {quality} in the {place}, and the {person} was glad of it.",
    "The {person} spoke to the {other} about the {thing} and then went home.",
    "Nothing was said about the {thing}, though the {person} had thought of it often.",
    "Beyond the {place} one could see a {quality} light between the trees.",
    "{time} the {person} and the {other} repaired the {thing} together.",
    "The {other} asked whether the {place} was far, and the {person} shook his head.",
    "A {quality} {thing} stood in the middle of the room, covered with a cloth.",
    "It was a {quality} day, and the {place} was full of people.",
    "The {person} had left the {thing} in the {place} and had to go back for it.",
    "{time} the {person} opened the window and looked out towards the {place}.",
    "They shared some bread in the {place} and talked of {quality} things.",
    "The {thing} belonged to the {other}, who had bought it in the {place}.",
    "No one in the {place} remembered a more {quality} winter than the last.",
    "{time} a cart went past the {place}, and the {person} waited until it was gone.",
    "The {person} hung the {thing} on the wall, where the light was {quality}.",
    "On the way to the {place} the {other} told a long and {quality} story.",
)


def sentences(seed: int) -> Iterator[str]:
    """Yield sentences without end, each with a space before it; no frame follows itself."""
    draw = np.random.default_rng(seed)
    before = -1
    while True:
        step = int(draw.integers(1, len(FRAMES)))
        before = (before + step) % len(FRAMES) if before >= 0 else step
        person, other = draw.choice(PEOPLE, 2, replace=False)
        yield " " + FRAMES[before].format(
            person=person,
            other=other,
            place=draw.choice(PLACES),
            thing=draw.choice(THINGS),
            quality=draw.choice(QUALITIES),
            time=draw.choice(TIMES),
        )
