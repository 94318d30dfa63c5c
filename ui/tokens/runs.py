"""The runs of the Tokens page: what a segmentation costs a model, and the next byte."""

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tokenarium.backend import (
    Cancelled,
    Finished,
    Lab,
    ModelRequest,
    NextByteRequest,
    NextByteResult,
    Progress,
    Queued,
    Run,
    Segmenter,
    SegmenterSpec,
    TokenizeRequest,
    TokenizeResult,
    UserError,
    Visitor,
    by_word,
    word_spans,
)
from tokenarium.ui.components.table import Cell, Column, Number, Numbers, table_html
from tokenarium.ui.text import escape, one_line
from tokenarium.ui.tokens.apart import ended
from tokenarium.ui.tokens.bars import Bar, bars_html, said_html
from tokenarium.ui.why.number import number, of_run, source

WAIT_S = 0.8
MOST_SCORED = 1_500
"""Characters of a text that is scored from here."""
USUAL = ("native", "longest_match", "fewest", "dropped_merges", "stochastok")
TRADED: Mapping[str, tuple[Mapping[str, float], ...]] = {
    "dynamic_merges": ({"share": 0.25}, {}, {"share": 0.75})
}
"""Parameters of segmenters that are scored at several steps of a trade-off."""
TOP = 8
PREFIX = "The capital of Fra"


def scored(lab: Lab, asked: Mapping[str, Any], visitor: Visitor | str) -> dict[str, Any]:
    """Return what segmentations cost a model, or how far that is, or what can be asked."""
    methods = lab.methods("segmenter")
    known = [each.slug for each in methods]
    models = models_of(lab)
    shown: dict[str, Any] = {
        "methods": [[m.slug, m.title, tooltip(m)] for m in methods],
        "models": models,
        "usual": list(USUAL),
        "most": MOST_SCORED,
    }
    text, model = asked.get("text"), str(asked.get("model") or "")
    if not asked.get("run") or not isinstance(text, str) or not text:
        return shown
    wanted = asked.get("segmenters")
    slugs = [slug for slug in known if isinstance(wanted, list) and slug in wanted] or list(USUAL)
    seed = asked.get("seed")
    request = lab.request(
        TokenizeRequest,
        model=model,
        text=text[:MOST_SCORED],
        tokenizers=(model,),
        segmenters=("native", *_specs(slugs)),
        seed=seed if isinstance(seed, int) and 0 <= seed < 2**31 else 0,
    )
    found = started(lab, request, visitor)
    if isinstance(found, dict):
        return {**shown, **found}
    assert isinstance(found.result, TokenizeResult)
    titles = {each.slug: each.title for each in methods}
    return {
        **shown,
        "run": found.id,
        "html": of_run(_costs_html(found.result, titles), found.id),
        "words": _words(found.result, text[:MOST_SCORED], titles),
        "notes": list(found.result.notes),
    }


def next_bytes(lab: Lab, asked: Mapping[str, Any], visitor: Visitor | str) -> dict[str, Any]:
    """Return the next byte of a prefix, or how far that is."""
    given, model = asked.get("prefix"), str(asked.get("model") or "")
    prefix = given[:1_000] if isinstance(given, str) else PREFIX
    shown: dict[str, Any] = {"models": models_of(lab), "prefix": prefix}
    if not asked.get("run"):
        return shown
    found = started(lab, lab.request(NextByteRequest, model=model, prefix=prefix), visitor)
    if isinstance(found, dict):
        return {**shown, **found}
    assert isinstance(found.result, NextByteResult)
    return {
        **shown,
        "run": found.id,
        "cut": [one_line(token) for token in found.result.prefix_text],
        "said": of_run(_said(found.result), found.id),
        "html": of_run(_bars(found.result) + _places(found.result), found.id),
    }


def cancelled(lab: Lab, asked: Mapping[str, Any], visitor: Visitor | str) -> dict[str, Any]:
    """Cancel a run in flight, or what a view computes without one."""
    if ended(lab, str(asked.get("run") or "")):
        return {}
    lab.cancel(str(asked.get("run") or ""), visitor=visitor)
    return {}


def models_of(lab: Lab) -> list[str]:
    """Return the models to choose from, the usual one first."""
    usual = lab.preselected().name
    return [usual, *(model.name for model in lab.models() if model.name != usual)]


def tooltip(method: type[Any]) -> str:
    """Return what a method does, whence it is, and how it differs."""
    variant = "" if method.differs == "no" else f" Differs: {method.differs}."
    drawn = " Drawn with the seed." if issubclass(method, Segmenter) and method.draws else ""
    return f"{method.explanation}{drawn} {method.paper}.{variant}"


def started(lab: Lab, request: ModelRequest, visitor: Visitor | str) -> Run | dict[str, Any]:
    """Return a finished run, or how far it is after a moment."""
    ticket = lab.start(request, visitor=visitor)
    doing, share, end = "waiting", 0.0, time.monotonic() + WAIT_S
    try:
        for event in lab.follow(ticket.id, visitor=visitor):
            if isinstance(event, Finished):
                return event.run
            if isinstance(event, Queued):
                doing = f"waiting, {event.place} before"
            if isinstance(event, Progress):
                doing, share = event.doing, event.done / max(event.total, 1)
            if time.monotonic() > end:
                break
    except Cancelled as error:
        raise UserError(str(error)) from error
    return {"busy": ticket.id, "doing": doing, "share": share}


def _specs(slugs: Sequence[str]) -> list[SegmenterSpec]:
    """Return the segmenters other than the native one, those with a trade-off at its steps."""
    return [
        SegmenterSpec(slug=slug, parameters=dict(parameters))
        for slug in slugs
        if slug != "native"
        for parameters in TRADED.get(slug, ({},))
    ]


def _titled(written: str, titles: Mapping[str, str]) -> str:
    """Return the title of a segmenter, with the parameters that are not its defaults."""
    slug, _, inside = written.partition("(")
    title = titles.get(slug, slug)
    return f"{title} ({inside}" if inside else title


def _costs_html(result: TokenizeResult, titles: Mapping[str, str]) -> str:
    columns = [
        Column("segmenter"),
        Column("tokens", "How many the text becomes."),
        Column("nats per byte", type(result).quantities()["nats_per_byte"].formula),
        Column("more than native", "Nats per byte, less those of the native segmentation."),
        Column("nats per token", "Sum of -ln p / tokens: says little across segmentations."),
        Column("canonical", "Whether it is what the tokenizer itself gives."),
    ]
    units = result.tokens if result.units is None else result.units
    merged = bool((units != result.tokens).any())
    if merged:
        columns[2:2] = [Column("vectors read", type(result).quantities()["units"].formula)]
        columns.append(
            Column(
                "more at the first token of a unit",
                "Mean -ln p of tokens that begin a unit, less that of the same tokens as they are: "
                "what the units before them are understood the worse.",
            )
        )
    native = float(result.nats_per_byte[0])
    rows: list[list[Cell]] = []
    for place, slug in enumerate(result.segmenter):
        title = _titled(slug, titles)
        cost, tokens = float(result.nats_per_byte[place]), int(result.tokens[place])
        if result.refused[place]:
            row: list[Cell] = [title, "n/a", "n/a", result.refused[place], "n/a", "n/a"]
            rows.append([*row[:2], "n/a", *row[2:], ""] if merged else row)
            continue
        per_token = cost * result.text_bytes / tokens
        joins = int(units[place]) < tokens
        row = [title, Number(f"{tokens:,}", source("tokens", place))]
        if merged:
            row.append(Number(f"{int(units[place]):,}", source("units", place)))
        row += [
            _shown(f"{cost:.3f}", "nats_per_byte", place),
            _shown(f"{cost - native:+.3f}", "more_than_native", place) if place else "",
            _shown(f"{per_token:.2f}", "nats_per_token", place),
            "yes" if result.canonical[place] else "no",
        ]
        if merged:
            more = result.more_at_starts(place) if joins else 0.0
            row.append(_shown(f"{more:+.3f}", "more_at_starts", place) if joins else "")
        rows.append(row)
    size = Number(f"{result.text_bytes:,}", source("text_bytes"))
    caption = Numbers(("What ", size, f" bytes cost {result.tokenizer[0]} in each segmentation"))
    return table_html(columns, rows, caption, "")


def _shown(text: str, field: str, row: int) -> Cell:
    """Return a number of a segmentation; what was not scored is said so."""
    return "n/a" if "nan" in text else Number(text, source(field, row))


def _words(result: TokenizeResult, text: str, titles: Mapping[str, str]) -> dict[str, Any]:
    """Return the nats of each word under each segmentation, beside how it is cut."""
    whole = text.encode()
    spans = word_spans(text)
    rows = []
    for row, slug in enumerate(result.segmenter):
        mine = result.segmentation == row
        places = np.stack([result.start_byte[mine], result.stop_byte[mine]], 1)
        sums = by_word(text, places, result.surprisal_nats[mine])
        if result.unit is not None:
            last = np.diff(result.unit[mine], append=-1) != 0
            places = places[last]  # where a unit ends, the text is cut
        rows.append(
            {
                "title": _titled(slug, titles),
                "row": row,
                "nats": [round(float(value), 2) for value in sums],
                "cuts": [_cut(whole, places, begin, end) for begin, end in spans.tolist()],
            }
        )
    words = [whole[begin:end].decode() for begin, end in spans.tolist()]
    ends = [0, *(spans[:-1, 1] + 1).tolist(), len(whole) + 1]
    return {"words": [one_line(word) for word in words], "rows": rows, "ends": ends}


def _cut(text: bytes, places: Any, begin: int, end: int) -> str:
    """Return a word with a bar at every cut inside of it."""
    inside = sorted({int(stop) for stop in places[:, 1] if begin < stop < end})
    ends: Sequence[int] = [begin, *inside, end]
    parts = [text[a:b] for a, b in pairwise(ends)]
    return "|".join(one_line(part.decode("utf-8", "tokenarium_hexadecimal")) for part in parts)


def _said(result: NextByteResult) -> str:
    exact, naive = int(result.exact.argmax()), int(result.naive.argmax())
    likely, short = escape(_byte(exact)), escape(_byte(naive))
    shown = {
        name: number(f"{getattr(result, field)[byte]:.1%}", source(field, byte))
        for name, field, byte in (
            ("exact", "exact", exact),
            ("naive", "naive", naive),
            ("of_exact", "naive", exact),
        )
    }
    apart = number(f"{result.total_variation:.2f}", source("total_variation"))
    leaked = number(f"{result.leaked:.2%}", source("leaked"))
    return said_html(
        f"After the bytes the likeliest is {likely} at {shown['exact']}; the next token alone says "
        f"{short} at {shown['naive']} and gives {likely} {shown['of_exact']}. The two "
        f"distributions are {apart} apart (0 same, 1 disjoint); {leaked} of the model's "
        "probability goes to segmentations that its tokenizer never makes."
    )


def _bars(result: NextByteResult) -> str:
    """Return bars of the likeliest bytes."""
    order = np.argsort(-np.maximum(result.exact, result.naive), kind="stable")[:TOP]
    rows = []
    for byte in sorted(order.tolist(), key=lambda byte: -result.exact[byte]):
        shares = [(name, float(getattr(result, name)[byte])) for name in ("exact", "naive")]
        bars = [Bar(f"{share:.1%}", source(name, byte), share) for name, share in shares]
        rows.append((_byte(byte), bars))
    return bars_html("Probability of the next byte", rows, ("byte", "exact", "next token alone"))


def _places(result: NextByteResult) -> str:
    columns = [
        Column("token begins at byte", "Of the prefix; the last one is its end."),
        Column("what it begins with", "The part of the prefix that this token would hold."),
        Column("tokens", "Valid ones that begin there and reach beyond the prefix."),
        Column("share", "Of the probability of all covers."),
    ]
    spelled = "".join(result.prefix_text).encode()
    rows: list[list[Cell]] = [
        [
            Number(str(place), source("cut_byte", at)),
            _part(spelled[place:]),
            Number(f"{count:,}", source("cut_tokens", at)),
            Number(f"{share:.2%}", source("cut_share", at)),
        ]
        for at, (place, count, share) in enumerate(
            zip(result.cut_byte.tolist(), result.cut_tokens.tolist(), result.cut_share, strict=True)
        )
        if share >= 5e-5
    ]
    return table_html(columns, rows, "Where the token begins that holds the next byte", "")


def _part(part: bytes) -> str:
    return one_line(part.decode("utf-8", "replace")) if part else "nothing: after the prefix"


def _byte(byte: int) -> str:
    if byte == 0x20:
        return "space"
    shown = chr(byte)
    return f"“{shown}”" if 0x21 <= byte < 0x7F else f"0x{byte:02X}"
