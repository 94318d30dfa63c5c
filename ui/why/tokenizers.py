"""What opens at numbers that the Tokens page has from tokenizers, not from runs."""

from collections.abc import Mapping, Sequence

from tokenarium.backend import (
    Epoch,
    Lab,
    Mixture,
    Point,
    SizeCurve,
    TurkishCount,
    TurkishWords,
)
from tokenarium.ui.figures.vocabulary_size import spread
from tokenarium.ui.why.answer import Answer
from tokenarium.ui.why.tokenizer_numbers import (
    CURVES,
    EPOCHS,
    GROWTH,
    LANGUAGES,
    MIXTURE,
    STEPS,
    TURKISH,
)

OURS = "given/"
"""How the names of tokenizers begin that a visitor gave or trained."""
_LAB = ("from tokenarium import Lab", "", "lab = Lab()")
_FILES = ("from pathlib import Path", *_LAB)
_TRAINED = "text.txt is the text that you trained on: save it beside these lines."


def of_languages(lab: Lab, names: Sequence[str], against: str, rate: float) -> Answer:
    """Return the table over languages as an answer; it is made again when a number is pressed."""

    def values() -> dict[str, object]:
        found = [lab.tokenizers.premiums(name, against) for name in names]
        kept = [lab.tokenizers.kv_bytes_per_token(name) for name in names]
        return {"found": found, "kept": kept, "rate": rate}

    lines = (
        *_LAB,
        f"names = {list(names)!r}",
        f"found = [lab.tokenizers.premiums(name, {against!r}) for name in names]",
        "kept = [lab.tokenizers.kv_bytes_per_token(name) for name in names]",
        f"rate = {rate!r}",
    )
    return Answer(LANGUAGES, values, lines, _note(names))


def of_steps(lab: Lab, names: Sequence[str]) -> Answer:
    """Return what tokenizers consist of as an answer."""
    lines = (*_LAB, f"found = [lab.tokenizers.get(name) for name in {list(names)!r}]")
    return Answer(
        STEPS,
        lambda: {"found": [lab.tokenizers.get(name) for name in names]},
        lines,
        _note(names),
    )


def of_growth(
    lab: Lab, name: str, points: Sequence[Point], text: str, asked: tuple[object, ...]
) -> Answer:
    """Return how a text shrinks under a trained tokenizer as an answer.

    Args:
        lab: that trained it.
        name: of the tokenizer.
        points: what was shown.
        text: that shrinks.
        asked: kind, size, and whether no token goes beyond a word.
    """
    kind, size, words = asked
    lines = (
        *_FILES,
        f"text = {text!r}",
        f'made = lab.tokenizers.train(Path("text.txt").read_text(), {kind!r}, {size!r}, '
        f"words={words!r})",
        "found = lab.tokenizers.growth(made.name, text)",
    )
    return Answer(
        GROWTH,
        lambda: {"found": points, "made": lab.tokenizers.get(name), "text": text},
        lines,
        _TRAINED,
    )


def of_epochs(
    lab: Lab,
    names: tuple[str, str],
    epochs: Sequence[Epoch],
    text: str,
    asked: tuple[object, ...],
) -> Answer:
    """Return how LiB learned its units as an answer.

    Args:
        lab: that trained it.
        names: of the tokenizer, and of the BPE beside it.
        epochs: what was shown.
        text: that both cut.
        asked: as of ``of_growth``.
    """
    kind, size, words = asked
    lines = (
        *_FILES,
        f'text, corpus = {text!r}, Path("text.txt").read_text()',
        f"made = lab.tokenizers.train(corpus, {kind!r}, {size!r}, words={words!r})",
        f'other = lab.tokenizers.train(corpus, "bpe", len(made.entries), words={words!r})',
        "found = lab.tokenizers.epochs(made.name)",
    )

    def values() -> dict[str, object]:
        made, other = map(lab.tokenizers.get, names)
        return {"found": epochs, "made": made, "other": other, "text": text}

    return Answer(EPOCHS, values, lines, _TRAINED)


def of_mixture(
    found: Mixture, name: str, samples: Sequence[str], own: Sequence[str], merges: int
) -> Answer:
    """Return the mixture of a tokenizer's training text as an answer.

    Args:
        found: what was shown.
        name: of the tokenizer.
        samples: names of those that come with the application.
        own: names of the visitor's own.
        merges: how many were asked for.
    """
    lines = [
        *(_FILES if own else _LAB),
        "texts = {each.name: each.text for each in lab.tokenizers.samples()}",
        f"samples = {{name: texts[name] for name in {list(samples)!r}}}",
    ]
    if own:
        lines.append(f"samples |= {{name: Path(name).read_text() for name in {list(own)!r}}}")
    lines.append(f"found = lab.tokenizers.mixture({name!r}, samples, {merges!r})")
    return Answer(MIXTURE, lambda: {"found": found}, tuple(lines), _note((name,), own))


def of_cut_off(found: Sequence[SizeCurve], name: str, against: str) -> Answer:
    """Return the curves of a tokenizer that is cut off as an answer."""
    lines = (*_LAB, f"found = lab.tokenizers.cut_off_curves({name!r}, {against!r})")
    return Answer(CURVES, lambda: {"found": found}, lines, _note((name,)), _points(found))


def of_turkish(
    lab: Lab,
    names: Sequence[str],
    found: Sequence[TurkishCount],
    words: TurkishWords,
    text: str | None,
) -> Answer:
    """Return the counts of a Turkish text as an answer; ``text`` is None for the shipped one."""
    lines = (
        *_LAB,
        f"names, text = {list(names)!r}, {text!r}",
        "found = [lab.tokenizers.turkish(name, text) for name in names]",
        "entries = [len(lab.tokenizers.get(name).entries) for name in names]",
        "words = lab.tokenizers.turkish_words(text)",
    )

    def values() -> dict[str, object]:
        entries = [len(lab.tokenizers.get(name).entries) for name in names]
        return {"found": found, "entries": entries, "words": words}

    return Answer(TURKISH, values, lines, _note(names))


def of_trained(
    found: Sequence[SizeCurve], files: Mapping[str, str], against: str, size: int, words: bool
) -> Answer:
    """Return the curves of trained tokenizers as an answer; ``files`` are names by language."""
    lines = (
        *_FILES,
        f"samples = {{code: Path(name).read_text() for code, name in {dict(files)!r}.items()}}",
        f"found = lab.tokenizers.trained_curves(samples, {against!r}, {size!r}, words={words!r})",
    )
    return Answer(
        CURVES, lambda: {"found": found}, lines, _note((), list(files.values())), _points(found)
    )


def _points(found: Sequence[SizeCurve]) -> dict[str, tuple[str, list[int]]]:
    """Return which number of the curves each point of their figure is."""
    places = {id(curve): place for place, curve in enumerate(found)}
    points = {}
    for trace, curve in enumerate(spread(found)):
        kept = [size for size, each in enumerate(curve.premiums) if each.tokens]
        for key, name in (("x", "curve_entries"), ("y", "curve_premium")):
            points[f"figure_{key} {trace}"] = (f"{name} {places[id(curve)]}", kept)
    return points


def _note(names: Sequence[str], own: Sequence[str] = ()) -> str:
    """Return what the reader of the lines needs that they do not have."""
    said = []
    if any(name.startswith(OURS) for name in names):
        said.append(
            "A tokenizer of yours is kept here only: elsewhere its name is what "
            "lab.tokenizers.give or train returns."
        )
    if own:
        said.append(
            "Texts of yours are read from files of these names: save them beside the lines."
        )
    return " ".join(said)
