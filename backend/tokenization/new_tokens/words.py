"""Words of a text, as the native tokens that spell each of them."""

from tokenarium.backend.tokenization.segmentation import Reading
from tokenarium.backend.tokenization.word_groups import Pieces, word_groups


def words_of(reading: Reading) -> list[Pieces]:
    """Return the native tokens of each word; together they are all of the text.

    Raises:
        ValueError: if the tokenizer changes the text, or that is one word only.
    """
    found = word_groups(reading) if reading.spelled else []
    if len(found) < 2:
        raise ValueError(
            f"new tokens need a tokenizer that changes nothing and a text of several words, and "
            f"{reading.vocabulary.title} has none such here: choose another model, such as "
            "smollm2-135m-instruct, or give a text of several words"
        )
    return found
