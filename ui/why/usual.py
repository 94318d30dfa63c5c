"""What opens at a number of what heads usually do: of a measurement over texts, and of no run."""

from dataclasses import dataclass

from tokenarium.backend import (
    MEASURED,
    MEASURES,
    HeadCorpus,
    Lab,
    UserError,
    measure_definition,
    measure_title,
    usual_heads,
)
from tokenarium.ui.why.number import Source, source

OF = "heads:"
"""Before a model's fingerprint, where numbers of a run have its id."""
MADE = "A measurement comes with the application, or is made by: python app.py heads MODEL"
_PRESS = "press one on the page"


@dataclass(frozen=True)
class UsualNumber:
    """A number of a measurement; ``{0}`` in ``expression`` is the first index."""

    title: str
    """Before it stands the measure's own, where it is of one head."""
    meaning: str
    expression: str
    """Python in which ``corpus`` is the measurement."""
    indices: int = 0
    axes: str = ""
    unit: str = ""


def _of_head(title: str, meaning: str, field: str, first: str = "") -> UsualNumber:
    expression = f"corpus.{field}[{first}{{0}}, {{1}}, {{2}}]"
    axes = f"[{'quantile, ' if first else ''}measure, layer, head]"
    return UsualNumber(title, meaning, expression, 3, axes)


NUMBERS = {
    "mean": _of_head("mean over texts", "Of the texts in which it has a value.", "mean"),
    "deviation": _of_head(
        "standard deviation over texts", "Divided by n - 1, of the texts with a value.", "deviation"
    ),
    "low": _of_head("5 % quantile", "One text in twenty is below.", "quantiles", "0, "),
    "median": _of_head("median", "Half of the texts are below.", "quantiles", "1, "),
    "high": _of_head("95 % quantile", "One text in twenty is above.", "quantiles", "2, "),
    "count": _of_head("n", "Texts in which it has a value.", "count"),
    "layers": UsualNumber("layers", "Of the model that was measured.", "corpus.mean.shape[1]"),
    "heads": UsualNumber(
        "query heads", "Of every layer of the model that was measured.", "corpus.mean.shape[2]"
    ),
    "texts": UsualNumber(
        "texts", "That the heads were measured over.", "len(corpus.about.texts)", unit="texts"
    ),
    "shortest": UsualNumber(
        "shortest text", "Of those measured over.", "min(corpus.about.tokens)", unit="tokens"
    ),
    "longest": UsualNumber(
        "longest text", "Of those measured over.", "max(corpus.about.tokens)", unit="tokens"
    ),
}
"""By name, what a page marks."""


def of_head(name: str, place: tuple[int, int, int]) -> Source:
    """Return the source of a head's number: the measure's number, layer and head."""
    return source(name, *place)


def measurement(corpus: HeadCorpus) -> str:
    """Return what stands for a measurement where other numbers have the id of their run."""
    return OF + corpus.about.fingerprint


def explained_usual(lab: Lab, fingerprint: str, written: str) -> dict[str, str]:
    """Return what a number of a measurement is, with the same parts as ``explained``.

    Args:
        lab: where measurements are looked for.
        fingerprint: of the model.
        written: ``Source.written()`` as the browser sends it; only names that are declared here and
            whole numbers are taken from it.

    Raises:
        UserError: if there is no such measurement, number or place.
    """
    corpus = usual_heads(lab.settings, fingerprint)
    if corpus is None:
        raise UserError(f"model={fingerprint[:20]!r} is not measured here: {MADE}")
    name, *told = written[:200].split(" ")
    number = NUMBERS.get(name)
    if number is None or len(told) != number.indices or not all(map(str.isdecimal, told)):
        raise UserError(f"number={written[:60]!r} is none of this measurement: {_PRESS}")
    places = [int(place) for place in told]
    for place, count in zip(places, corpus.mean.shape, strict=False):
        if place >= count:
            raise UserError(f"index={place} is none of {name}: choose from 0 to {count - 1}")
    expression = number.expression.format(*places)
    names = {"__builtins__": {"len": len, "min": min, "max": max}, "corpus": corpus}
    # A line of ours with whole numbers in it; nothing else of the browser's is in it.
    value = eval(expression, names)  # noqa: S307
    measure = MEASURED[places[0]] if places else ""
    return {
        "title": f"{measure_title(measure)}, {number.title}" if measure else number.title,
        "meaning": number.meaning,
        "of": measure_definition(measure) if measure else "",
        "formula": "",
        "axes": number.axes,
        "unit": number.unit,
        "paper": MEASURES[measure].source if measure else "",
        "slice": expression.replace("corpus.", ""),
        "value": str(value),
        "python": _python(fingerprint, expression),
        "note": MADE,
    }


def _python(fingerprint: str, expression: str) -> str:
    return "\n".join(
        (
            "from tokenarium import Settings",
            "from tokenarium.backend import usual_heads",
            "",
            f'corpus = usual_heads(Settings(), "{fingerprint}")',
            f"print({expression})",
        )
    )
