"""What the list of merges says about the training text, as the Tokens page shows it."""

from collections.abc import Collection, Mapping
from typing import Any

from tokenarium.backend import Lab, Mixture
from tokenarium.ui.components.table import Cell, Column, Number, Numbers, table_html
from tokenarium.ui.text import escape, many, one_line
from tokenarium.ui.tokens.bars import Bar, bars_html, said_html
from tokenarium.ui.why.answer import kept
from tokenarium.ui.why.number import number, of_run, source
from tokenarium.ui.why.tokenizer_numbers import HAYASE as PAPER
from tokenarium.ui.why.tokenizers import of_mixture

USUAL = ("English", "Python", "JavaScript")
MERGES = 200
MOST_OWN = 8
LITTLE = 2_000
"""Bytes of a sample below which the answer says that it is short."""
UNEXPLAINED = 0.8


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
    wanted = asked.get("merges")
    merges = wanted if isinstance(wanted, int) else MERGES
    samples = {name: offered[name].text for name in names_of(asked) if name in offered}
    own = own_texts(asked, samples)
    name = str(asked.get("tokenizer") or "")
    found = lab.tokenizers.mixture(name, samples | own, merges)
    title = lab.tokenizers.get(name).title
    answer = of_mixture(found, name, [*samples], [*own], merges)
    of = kept(lab).put(answer, *own.values())
    return {
        **shown,
        "said": of_run(said_html(_said(found, title)), of),
        "html": of_run(_bars(found) + _table(found, title), of),
        "notes": [of_run(f'<p class="tk-sub">{note}.</p>', of) for note in _notes(found)],
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


def _share(found: Mixture, name: str, place: int, digits: int = 0) -> Number:
    """Return a share of a kind of text, or an end of its interval."""
    field = {"share": "shares", "share_low": "low", "share_high": "high"}[name]
    return Number(f"{getattr(found, field)[place]:.{digits}%}", source(name, place))


def _said(found: Mixture, title: str) -> str:
    order = sorted(range(len(found.names)), key=lambda n: -found.shares[n])
    parts = []
    for n in order:
        if found.shares[n] >= 0.005:
            share, low, high = (
                number(each.text, each.of)
                for each in (_share(found, f"share{end}", n) for end in ("", "_low", "_high"))
            )
            parts.append(f"{escape(one_line(found.names[n]))} {share} ({low} to {high})")
    others = len(order) - len(parts)
    merges = number(many(found.merges, "merge"), source("merges"))
    rest = number(many(others, "other kind"), source("others"))
    return (
        f"Of these kinds of text, the first {merges} of {escape(title)} fit best to a "
        f"training text of {', '.join(parts)} by bytes"
        + (f"; {rest} had under 0.5 %." if others else ".")
    )


def _bars(found: Mixture) -> str:
    rows = []
    for n, name in enumerate(found.names):
        share = _share(found, "share", n, 1)
        rows.append((one_line(name), [Bar(share.text, share.of, float(found.shares[n]))]))
    return bars_html("Shares of the training text", rows)


def _notes(found: Mixture) -> list[str]:
    notes = [escape(note) for note in found.notes]
    if found.explained < UNEXPLAINED:
        explained = number(f"{found.explained:.0%}", source("explained"))
        notes.insert(
            0,
            f"only {explained} of these merges stand in a sample that has a share: what "
            "this tokenizer was trained on is not among the samples, and the shares say little",
        )
    short = [n for n, size in zip(found.names, found.sizes, strict=True) if size < LITTLE]
    if short:
        words = ", ".join(escape(one_line(name)) for name in short)
        notes.append(f"few bytes, so uncertain: {words}; add longer texts of yours")
    slack, bound, equal = (
        number(f"{getattr(found, name):.1f}", source(name))
        for name in ("slack", "bound", "equal_slack")
    )
    notes.append(
        f"{number(f'{found.constraints:,}', source('constraints'))} constraints need {slack} of "
        f"slack in pairs per 1,000 bytes (no shares less than {bound}; equal shares {equal}); "
        "left out because they stand in no sample: "
        f"{number(many(found.unseen, 'merge'), source('unseen'))}"
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
            _share(found, "share", n, 1),
            Numbers((_share(found, "share_low", n, 1), " to ", _share(found, "share_high", n, 1))),
            Number(f"{found.stands[n]:.0%}", source("stands", n)),
            Number(f"{found.sizes[n]:,}", source("size", n)),
        ]
        for n, name in enumerate(found.names)
    ]
    return table_html(columns, rows, f"What the merges of {title} say", "")
