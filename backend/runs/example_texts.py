"""Texts and conversations of the shipped examples."""

from tokenarium.backend.runs.message import Message

LIGHTHOUSE = (
    "The old lighthouse keeper climbed the stairs every evening, and every evening he counted "
    "them. There were one hundred and twelve steps, and he knew the sound of each. At the top "
    "he lit the lamp, opened the small window to the west, and listened to the sea. Ships "
    "passed far away, without a name and without a voice, and he wished them a good night all "
    "the same. Then he sat down beside the warm glass, opened his book, and read until the "
    "morning came."
)
RED_CAP = (
    "Once upon a time there was a little girl who lived with her mother in a small house near "
    "the woods. One day her mother said to her, take this basket of bread and butter to your "
    "grandmother, who is ill in bed. The little girl put on her red cap, took the basket in "
    "her hand, and set out along the photograph to her grandmother's house. The sun was "
    "shining, the birds were singing in the trees, and the little girl was very happy."
)
GEESE = (
    "Seven grey geese flew over the frozen lake, and the miller's youngest daughter counted "
    "their feathers while the kettle sang beside a broken violin. Nobody in the village knew "
    "why the geese had come so early that year. Seven grey geese flew over the frozen lake, "
    "and the miller's youngest daughter counted their feathers while the kettle sang beside a "
    "broken violin. Nobody in the village knew why the geese had come so early that year."
)
OCEAN = (
    "Oceanographers study the photosynthesis of seaweed and the electrolysis of seawater. Seaweed "
    "grows by photosynthesis; electrolysis of seawater gives hydrogen and chlorine. The "
    "oceanographers measured photosynthesis in seaweed again, and wrote of the electrolysis."
)
ONCE = "Once upon a time there was a little girl who"
SHORE = (
    Message(role="system", content="You answer in one short sentence."),
    Message(role="user", content="Why does the sea look blue?"),
    Message(
        role="assistant",
        content="Because water takes the red out of the sunlight that falls into it.",
    ),
    Message(role="user", content="And why is it green near the shore?"),
    Message(role="assistant", content="Near the shore"),
)
AGAIN = f"{LIGHTHOUSE}\n\n{LIGHTHOUSE[: LIGHTHOUSE.index(',')]}"
"""The text, and its beginning once more."""
