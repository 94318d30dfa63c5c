"""What was found of every family, as the page docs/families.md."""

import re
from pathlib import Path
from typing import Any

from tests.families.measuring import BEFORE_SINKS, DRAFTERS, POLICIES, Record

PAGE = Path("docs/families.md")
README = Path("README.md")
_IN_README = re.compile(r"(<!-- make families -->\n).*?(<!-- /make families -->\n)", re.DOTALL)
_SENTENCE = (
    "Of the {total} causal types of transformers {version}, {loads} load and equal eager attention "
    "within 1e-4\nas tiny random models, {refused} are refused with the reason, {unbuilt} could "
    "not be built small: [the table](docs/families.md).\n"
)

_HEAD = """# Model families

Every type that `AutoModelForCausalLM` of transformers {version} takes, as a tiny random model (64
wide, 4 layers, 4 heads), loaded and run as the app does. Made by `make families`; nothing here is
written by hand.

`trace` is the largest difference from transformers' eager attention, of surprisal (nats) and of the
weights that heads give to keys; `full cache` that of a decode step under the policy `full` from one
forward pass of eager, in nats. Of {apart} only surprisal is compared: eager
returns their weights before the learned sink takes its share. Falcon with ALiBi, which is not the
table's, is compared with sdpa: eager counts its bias twice. A policy that ran to its end is *ok*;
a drafter shows the verdict of its audit. What is not possible is refused before any number is
shown, with the reason.

| Verdict | Families |
|---|---|
| loads, equal to eager within 1e-4 | {loads} |
| refused, with the reason | {refused} |
| wrong | {wrong} |
| raw error | {raw} |
| not built: the family's sizes are not known here | {unbuilt} |
"""
_COLUMNS = ("trace", "full", *POLICIES, *DRAFTERS)
_TITLES = ("trace", "full cache", *POLICIES, *DRAFTERS)


def write(found: dict[str, Record], version: str) -> None:
    """Write the page, and its figures into the README."""
    by = {
        verdict: [name for name, record in found.items() if record["verdict"] == verdict]
        for verdict in ("loads", "refused", "wrong", "raw error", "not built")
    }
    counts = {verdict: len(names) for verdict, names in by.items()}
    head = _HEAD.format(
        version=version,
        apart=" and ".join(sorted(BEFORE_SINKS)),
        loads=counts["loads"],
        refused=counts["refused"],
        wrong=counts["wrong"],
        raw=counts["raw error"],
        unbuilt=counts["not built"],
    )
    lines = [head, "## Loads", "", _row("family", *_TITLES), _rule(len(_TITLES) + 1)]
    shown = [name for name, record in found.items() if "trace" in record]
    reasons: dict[str, int] = {}
    for name in shown:
        cells = (_cell(name, found[name][column], reasons) for column in _COLUMNS)
        mark = "" if found[name]["verdict"] == "loads" else f" ({found[name]['verdict']})"
        lines.append(_row(name + mark, *cells))
    lines += ["", *(f"{number}. {_escaped(words)}" for words, number in reasons.items())]
    lines += ["", "## Does not load", "", _row("family", "verdict", "reason"), _rule(3)]
    for name, record in found.items():
        if name not in shown:
            lines.append(_row(name, record["verdict"], _escaped(record["why"])))
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sentence = _SENTENCE.format(
        total=len(found),
        version=version,
        loads=counts["loads"],
        refused=counts["refused"],
        unbuilt=counts["not built"],
    )
    readme = README.read_text(encoding="utf-8")
    README.write_text(_IN_README.sub(rf"\1{sentence}\2", readme), encoding="utf-8")


def _cell(family: str, value: Any, reasons: dict[str, int]) -> str:
    """Return a figure, a word, or the number of a reason that is written out once below."""
    if isinstance(value, float):
        return f"{value:.0e}"
    if ": " not in value:
        return str(value)
    kind, words = value.split(": ", 1)
    words = words.replace(f"{family} ", "the model ")
    number = reasons.setdefault(words, len(reasons) + 1)
    return f"{kind} ({number})"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _rule(columns: int) -> str:
    return "|" + "---|" * columns


def _escaped(words: str) -> str:
    return words.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
