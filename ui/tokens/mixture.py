"""What the list of merges says about the training text, as the Tokens page shows it."""

from collections.abc import Collection, Mapping
from typing import Any

from tokenarium.backend import Lab, Mixture
from tokenarium.ui.components.table import Cell, Column, table_html
from tokenarium.ui.text import many, one_line

USUAL = ("English", "Python", "JavaScript")
MERGES = 200
MOST_OWN = 8
LITTLE = 2_000
"""Bytes of a sample below which the answer says that it is short."""
UNEXPLAINED = 0.8
PAPER = "Hayase et al., 2024, arXiv:2407.16607"


def mixed(lab: Lab, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return which samples there are, and shares of the chosen ones if these are asked for."""
    offered = {each.name: each for each in lab.tokenizers.samples()}
    shown: dict[str, Any] = {
        "samples": [[each.name, each.title] for each in offered.values()],
        "usual": list(USUAL),
        "merges": MERGES,
    }
    if not asked.get("run"):
        return shown
    merges = asked.get("merges")
    samples = {name: offered[name].text for name in names_of(asked) if name in offered}
    samples |= own_texts(asked, samples)
    name = str(asked.get("tokenizer") or "")
    found = lab.tokenizers.mixture(name, samples, merges if isinstance(merges, int) else MERGES)
    title = lab.tokenizers.get(name).title
    return {
        **shown,
        "said": _said(found, title),
        "bars": [
            [one_line(each), float(share)]
            for each, share in zip(found.names, found.shares, strict=True)
        ],
        "html": _table(found, title),
        "notes": _notes(found),
    }


def names_of(asked: Mapping[str, Any]) -> list[str]:
    """Return the samples at hand that a browser names."""
    wanted = asked.get("samples")
    return [each for each in wanted if isinstance(each, str)] if isinstance(wanted, list) else []


def own_texts(asked: Mapping[str, Any], taken: Collection[str] = ()) -> dict[str, str]:
    """Return the visitor's own texts by name; of two of one name the second is numbered."""
    given = asked.get("own")
    found: dict[str, str] = {}
    for each in given[:MOST_OWN] if isinstance(given, list) else ():
        if isinstance(each, dict) and isinstance(each.get("text"), str):
            title = " ".join(str(each.get("title") or "text").split())[:40]
            again = title in found or title in taken
            found[f"{title} {len(found) + 1}" if again else title] = each["text"]
    return found


def _said(found: Mixture, title: str) -> str:
    order = sorted(range(len(found.names)), key=lambda n: -found.shares[n])
    parts = [
        f"{one_line(found.names[n])} {found.shares[n]:.0%} ({found.low[n]:.0%} to "
        f"{found.high[n]:.0%})"
        for n in order
        if found.shares[n] >= 0.005
    ]
    others = len(order) - len(parts)
    return (
        f"Of these kinds of text, the first {many(found.merges, 'merge')} of {title} fit best to a "
        f"training text of {', '.join(parts)} by bytes"
        + (f"; {many(others, 'other kind')} had under 0.5 %." if others else ".")
    )


def _notes(found: Mixture) -> list[str]:
    notes = list(found.notes)
    if found.explained < UNEXPLAINED:
        notes.insert(
            0,
            f"only {found.explained:.0%} of these merges stand in a sample that has a share: what "
            "this tokenizer was trained on is not among the samples, and the shares say little",
        )
    short = [n for n, size in zip(found.names, found.sizes, strict=True) if size < LITTLE]
    if short:
        words = ", ".join(one_line(name) for name in short)
        notes.append(f"few bytes, so uncertain: {words}; add longer texts of yours")
    notes.append(
        f"{found.constraints:,} constraints need {found.slack:.1f} of slack in pairs per 1,000 "
        f"bytes (no shares less than {found.bound:.1f}; equal shares {found.equal_slack:.1f}); "
        f"left out because they stand in no sample: {many(found.unseen, 'merge')}"
    )
    return notes


def _table(found: Mixture, title: str) -> str:
    columns = [
        Column("kind of text"),
        Column(
            "share",
            "Of the bytes of the training text, by a linear programme: at each merge the merged "
            f"pair was the commonest of the mixture ({PAPER}).",
        ),
        Column("interval", "Middle 90 % of 20 draws of the samples' sentences anew."),
        Column("merges in it", "Share of the merges that stand in this sample."),
        Column("bytes", "UTF-8 bytes of the sample."),
    ]
    rows: list[list[Cell]] = [
        [
            one_line(name),
            f"{found.shares[n]:.1%}",
            f"{found.low[n]:.1%} to {found.high[n]:.1%}",
            f"{found.stands[n]:.0%}",
            f"{found.sizes[n]:,}",
        ]
        for n, name in enumerate(found.names)
    ]
    return table_html(columns, rows, f"What the merges of {title} say", "")
