"""A domain's tokenizer against a general one, and noise, as the Tokens page shows them."""

from collections.abc import Mapping
from typing import Any

from tokenarium.backend import DomainComparison, Lab, Ratio, UserError
from tokenarium.ui.components.table import Cell, Column, table_html
from tokenarium.ui.text import one_line
from tokenarium.ui.tokens.mixture import own_texts

SIZE = 1_000
SHARE = 2.0
USUAL = ("Python", "English")
NOISE = {"ocr": "misread as by a scanner", "typed": "mistyped"}
_PAPER = "Bommarito et al., 2025, arXiv:2503.17247"
_DRAWN = "in brackets 95 % of 2,000 draws of blocks of lines anew"


def domains(lab: Lab, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return which texts there are, and the comparison of two if it is asked for.

    Raises:
        UserError: if a text is missing, or the two are one.
    """
    offered = {each.name: each for each in lab.tokenizers.samples()}
    long = [each for each in offered.values() if len(each.text.encode()) >= 4_000]
    shown: dict[str, Any] = {
        "samples": [[each.name, each.title] for each in long],
        "usual": list(USUAL),
        "size": SIZE,
        "share": SHARE,
        "noises": [list(pair) for pair in NOISE.items()],
    }
    if not asked.get("run"):
        return shown
    own = own_texts(asked, offered)
    every = {each.name: each.text for each in long} | own
    texts = {}
    for part in ("domain", "general"):
        name = str(asked.get(part) or "")
        if name not in every:
            raise UserError(
                f"{part}={one_line(name)[:40]!r} is no text here: choose one, or a file"
            )
        if name in texts:
            raise UserError(f"both texts are {one_line(name)!r}: choose two")
        texts[name] = every[name]
    size, share, beside = asked.get("size"), asked.get("share"), asked.get("with")
    found = lab.tokenizers.domain(
        texts,
        size if isinstance(size, int) else SIZE,
        noise="typed" if asked.get("noise") == "typed" else "ocr",
        share=(share if isinstance(share, int | float) else SHARE) / 100,
        beside=[str(name) for name in beside[:4]] if isinstance(beside, list) else [],
    )
    return {
        **shown,
        "said": _said(found),
        "html": _counts(found) + _noise(found) + _words(found),
        "made": [*map(list, zip(found.tokenizers[:3], found.titles[:3], strict=True))],
    }


def _said(found: DomainComparison) -> str:
    mine, other = found.ratios
    domain, general = map(one_line, found.names)
    first, _, last, *_ = found.noise
    return (
        f"Trained on {found.trained_bytes:,} bytes each: on held-out {domain} the tokenizer of "
        f"{domain} takes {mine.value:.2f} times as many tokens as that of {general} "
        f"({mine.low:.2f} to {mine.high:.2f}), on held-out {general} {other.value:.2f} times "
        f"({other.low:.2f} to {other.high:.2f}). An error in {domain} cuts "
        f"{first.recut.value:.1f} bytes anew under it, {last.recut.value:.1f} under "
        "character-level BPE."
    )


def _counts(found: DomainComparison) -> str:
    columns = [Column("tokenizer")]
    for name, size in zip(found.names, found.held_out_bytes, strict=True):
        columns.append(
            Column(
                f"tokens per byte, {one_line(name)}",
                f"Of the last fifth of the text, {size:,} bytes, which none was trained on here; "
                f"{_DRAWN} ({_PAPER}).",
            )
        )
    rows: list[list[Cell]] = [
        [one_line(title), *(_shown(each, 3) for each in pair)]
        for title, pair in zip(found.titles, found.tokens_per_byte, strict=True)
    ]
    return table_html(columns, rows, "Tokens per byte of held-out text", "")


def _noise(found: DomainComparison) -> str:
    columns = [
        Column("tokenizer"),
        Column(
            "boundaries that stand",
            "Places between tokens that the text has with and without errors, of all that it has "
            f"with or without them; 1 without errors; {_DRAWN}.",
        ),
        Column("bytes cut anew", "Of tokens that the text with errors has not, for each error."),
        Column("tokens", "That the text with errors has not, for each error."),
    ]
    rows: list[list[Cell]] = [
        [one_line(title), _shown(each.boundaries, 3), _shown(each.recut, 1), _shown(each.tokens, 2)]
        for title, each in zip(found.titles, found.noise, strict=True)
    ]
    caption = f"What {found.noise[0].errors:,} errors change in held-out {one_line(found.names[0])}"
    return table_html(columns, rows, caption, "")


def _words(found: DomainComparison) -> str:
    domain, general = map(one_line, found.names)
    columns = [
        Column("word"),
        Column("times", f"In the held-out text of {domain}."),
        Column(f"tokens, {domain}"),
        Column(f"tokens, {general}"),
    ]
    rows: list[list[Cell]] = [
        [
            one_line(word.text).replace(" ", "·"),
            f"{word.occurrences:,}",
            str(word.domain_tokens),
            str(word.general_tokens),
        ]
        for word in found.words
    ]
    return table_html(columns, rows, "Words on which the domain's tokenizer saves most", "None.")


def _shown(ratio: Ratio, digits: int) -> str:
    value = f"{ratio.value:.{digits}f}"
    if ratio.low != ratio.low:
        return value
    return f"{value} ({ratio.low:.{digits}f} to {ratio.high:.{digits}f})"
