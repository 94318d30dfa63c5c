"""What opens at numbers of how far each rule is from the target's distribution: of no run."""

from tokenarium.backend import biases
from tokenarium.ui.why.answer import Answer, AnswerNumber

_CELL = "list(found[{0}].by_draw.values())[{1}]"
_EVERY = "Every draw of the guesses is gone through, exactly."
BIASES = {
    "mean": AnswerNumber("mean distance from the target", _EVERY, f"{_CELL}.mean"),
    "largest": AnswerNumber("largest distance from the target", _EVERY, f"{_CELL}.largest"),
    "pairs": AnswerNumber(
        "pairs of distributions", "Drawn at random.", 'found[0].by_draw["iid"].pairs'
    ),
    "vocabulary": AnswerNumber(
        "tokens of a distribution", "Of each of them.", 'found[0].by_draw["iid"].vocabulary'
    ),
    "children": AnswerNumber("guesses", "Beside each other.", 'found[0].by_draw["iid"].children'),
}


def of_biases() -> Answer:
    """Return the exact bias of every rule, by how guesses are drawn."""
    lines = ("from tokenarium.backend import biases", "", "found = biases()")
    return Answer(BIASES, lambda: {"found": biases()}, lines)
