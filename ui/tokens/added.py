"""New tokens for an old model, as the Tokens page shows them."""

from collections.abc import Mapping
from typing import Any

from tokenarium.backend import (
    Lab,
    NewTokensRequest,
    NewTokensResult,
    Run,
    UserError,
    Visitor,
)
from tokenarium.ui.components.table import Cell, Column, table_html
from tokenarium.ui.text import many, one_line
from tokenarium.ui.tokens.runs import models_of, started, tooltip

MOST = 8


def new_tokens(lab: Lab, asked: Mapping[str, Any], visitor: Visitor | str) -> dict[str, Any]:
    """Return what words cost as single tokens by each initialiser, or how far that is.

    Without ``run`` it is the stored run that ``open`` names, or the shipped example.
    """
    methods = lab.methods("initialiser")
    shown: dict[str, Any] = {
        "models": models_of(lab),
        "methods": [[m.slug, m.title, tooltip(m)] for m in methods],
        "passage": "",
        "most": MOST,
    }
    examples = lab.examples(NewTokensRequest.kind)
    if not asked.get("run"):
        name = asked.get("open")
        named = name[:200] if isinstance(name, str) and name else ""
        if not named and not examples:
            return shown
        example = next((e for e in examples if e.run_id == (named or examples[0].run_id)), None)
        run = lab.open(named or examples[0].run_id, visitor=visitor)
        about = f"{example.title}, an example. {example.teaser}" if example else ""
        return {**shown, **_shown(lab, run), "about": about}
    words = str(asked.get("words") or "").replace(",", " ").split()
    most = asked.get("most")
    request = lab.request(
        NewTokensRequest,
        model=str(asked.get("model") or ""),
        text=str(asked.get("passage") or ""),
        words=tuple(dict.fromkeys(words)),
        most=most if isinstance(most, int) else MOST,
    )
    found = started(lab, request, visitor)
    return {**shown, **(found if isinstance(found, dict) else _shown(lab, found))}


def _shown(lab: Lab, run: Run) -> dict[str, Any]:
    """Return what is drawn of a run, and what it was asked.

    Raises:
        UserError: if it is of another kind.
    """
    result, request = run.result, run.request
    if not isinstance(result, NewTokensResult) or not isinstance(request, NewTokensRequest):
        raise UserError(
            f"run {one_line(run.id)} is not of new tokens: open it from the Library, or press Swap"
        )
    titles = {each.slug: each.title for each in lab.methods("initialiser")}
    named = [titles.get(name.partition("(")[0], name) for name in result.initialiser]
    costs = [result.native_nats_per_byte, *map(float, result.nats_per_byte)]
    return {
        "run": run.id,
        "model": request.model,
        "passage": request.text,
        "words": " ".join(request.words),
        "most": request.most,
        "said": _said(result, named),
        "bars": [list(each) for each in zip(["as it is", *named], costs, strict=True)],
        "html": _methods(result, named) + _tokens(result, named),
    }


def _said(result: NewTokensResult, named: list[str]) -> str:
    best = int(result.nats_per_byte.argmin())
    native, found = result.native_nats_per_byte, float(result.nats_per_byte[best])
    added = many(len(result.new_token), "new token")
    words = (
        f"With {added} the text goes from {result.native_tokens:,} to {result.tokens:,} tokens. It "
        f"cost {native:.3f} nats per byte before; with the rows of “{named[best]}”, the best of "
        f"{len(named)}, it costs {found:.3f} ({found / native - 1:+.0%})"
    )
    others = [
        f"{name} {float(value):.3f}"
        for place, (name, value) in enumerate(zip(named, result.nats_per_byte, strict=True))
        if place != best
    ]
    return words + (f", with {', '.join(others)}." if others else ".")


def _methods(result: NewTokensResult, named: list[str]) -> str:
    defined = type(result).quantities()
    columns = [
        Column("rows"),
        Column("nats per byte", defined["nats_per_byte"].formula),
        Column("more than native", "Nats per byte, less those of the text as the model knows it."),
        Column("elsewhere, nats", defined["elsewhere_nats"].formula),
    ]
    rows: list[list[Cell]] = [["as it is", f"{result.native_nats_per_byte:.3f}", "", ""]]
    for place, name in enumerate(named):
        value = float(result.nats_per_byte[place])
        more = value - result.native_nats_per_byte
        rest = float(result.elsewhere_nats[place])
        rows.append([name, f"{value:.3f}", f"{more:+.3f}", f"{rest:+.1f}"])
    return table_html(columns, rows, "The loss after the swap", "")


def _tokens(result: NewTokensResult, named: list[str]) -> str:
    defined = type(result).quantities()
    columns = [
        Column("new token"),
        Column("pieces", defined["pieces"].formula),
        Column("times", defined["occurrences"].formula),
        Column("nats in pieces", defined["native_nats"].formula),
        *(Column(f"nats, {name}", defined["new_nats"].formula) for name in named),
        Column("similar tokens", defined["similar"].formula),
    ]
    rows: list[list[Cell]] = [
        [
            one_line(token),
            one_line(result.pieces[n]),
            f"{result.occurrences[n]:,}",
            f"{result.native_nats[n]:.2f}",
            *(f"{value:.2f}" for value in result.new_nats[:, n]),
            one_line(result.similar[n]) or "none",
        ]
        for n, token in enumerate(result.new_token)
    ]
    return table_html(columns, rows, "Each new token", "")
