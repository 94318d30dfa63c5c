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
from tokenarium.ui.components.table import Cell, Column, Number, table_html
from tokenarium.ui.text import escape, many, one_line
from tokenarium.ui.tokens.bars import Bar, bars_html, said_html
from tokenarium.ui.tokens.runs import models_of, started, tooltip
from tokenarium.ui.why.number import number, of_run, source

MOST = 8


def new_tokens(lab: Lab, asked: Mapping[str, Any], visitor: Visitor | str) -> dict[str, Any]:
    """Return what words cost as single tokens by each initialiser, or how far that is.

    Without ``run`` it is the stored run that ``open`` names, or the shipped example.
    """
    methods = lab.methods("initialiser")
    shown: dict[str, Any] = {
        "models": models_of(lab),
        "methods": [[m.slug, m.title, tooltip(m)] for m in methods],
        "usual": _usual(),
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
        return {**shown, **swapped(lab, run), "about": about}
    words = str(asked.get("words") or "").replace(",", " ").split()
    most = asked.get("most")
    request = lab.request(
        NewTokensRequest,
        model=str(asked.get("model") or ""),
        text=str(asked.get("passage") or ""),
        words=tuple(dict.fromkeys(words)),
        most=most if isinstance(most, int) else MOST,
        **_initialisers(asked, [method.slug for method in methods]),
    )
    found = started(lab, request, visitor)
    return {**shown, **(found if isinstance(found, dict) else swapped(lab, found))}


def _initialisers(asked: Mapping[str, Any], known: list[str]) -> dict[str, Any]:
    """Return those that are asked for, the usual ones first and alone where none is."""
    wanted = asked.get("initialisers")
    order = dict.fromkeys([*_usual(), *known])
    chosen = tuple(slug for slug in order if isinstance(wanted, list) and slug in wanted)
    return {"initialisers": chosen} if chosen else {}


def _usual() -> list[str]:
    return [spec.slug for spec in NewTokensRequest.model_fields["initialisers"].default]


def swapped(lab: Lab, run: Run) -> dict[str, Any]:
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
    tables = _bars(result, named) + _methods(result, named) + _tokens(result, named)
    return {
        "run": run.id,
        "model": request.model,
        "passage": request.text,
        "words": " ".join(request.words),
        "most": request.most,
        "said": of_run(said_html(_said(result, named)), run.id),
        "html": of_run(tables, run.id),
    }


def _said(result: NewTokensResult, named: list[str]) -> str:
    best = int(result.nats_per_byte.argmin())
    native = result.native_nats_per_byte
    costs = [
        number(f"{float(value):.3f}", source("nats_per_byte", place))
        for place, value in enumerate(result.nats_per_byte)
    ]
    more = number(
        f"{float(result.nats_per_byte[best]) / native - 1:+.0%}", source("share_more", best)
    )
    about = f"the rows of “{escape(named[best])}”, the best of {len(named)}"
    words = (
        f"With {number(many(len(result.new_token), 'new token'), source('added'))} the text goes "
        f"from {number(f'{result.native_tokens:,}', source('native_tokens'))} to "
        f"{number(many(result.tokens, 'token'), source('tokens'))}. It cost "
        f"{number(f'{native:.3f}', source('native_nats_per_byte'))} nats per byte before; with "
        f"{about}, it costs {costs[best]} ({more})"
    )
    others = [f"{escape(name)} {costs[place]}" for place, name in enumerate(named) if place != best]
    return words + (f", with {', '.join(others)}." if others else ".")


def _bars(result: NewTokensResult, named: list[str]) -> str:
    most = max(result.native_nats_per_byte, float(result.nats_per_byte.max()))
    sources = [source("native_nats_per_byte")]
    sources += [source("nats_per_byte", place) for place in range(len(named))]
    costs = [result.native_nats_per_byte, *map(float, result.nats_per_byte)]
    rows = [
        (name, [Bar(f"{cost:.3f}", of, cost / most)])
        for name, cost, of in zip(["as it is", *named], costs, sources, strict=True)
    ]
    caption = "Nats per byte of the text, by the rows of its new tokens"
    return bars_html(caption, rows, ("rows", "nats per byte"))


def _methods(result: NewTokensResult, named: list[str]) -> str:
    defined = type(result).quantities()
    columns = [
        Column("rows"),
        Column("nats per byte", defined["nats_per_byte"].formula),
        Column("more than native", "Nats per byte, less those of the text as the model knows it."),
        Column("elsewhere, nats", defined["elsewhere_nats"].formula),
    ]
    native = Number(f"{result.native_nats_per_byte:.3f}", source("native_nats_per_byte"))
    rows: list[list[Cell]] = [["as it is", native, "", ""]]
    for place, name in enumerate(named):
        value = float(result.nats_per_byte[place])
        more = value - result.native_nats_per_byte
        rest = float(result.elsewhere_nats[place])
        rows.append(
            [
                name,
                Number(f"{value:.3f}", source("nats_per_byte", place)),
                Number(f"{more:+.3f}", source("more_than_before", place)),
                Number(f"{rest:+.1f}", source("elsewhere_nats", place)),
            ]
        )
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
            Number(f"{result.occurrences[n]:,}", source("occurrences", n)),
            Number(f"{result.native_nats[n]:.2f}", source("native_nats", n)),
            *(
                Number(f"{value:.2f}", source("new_nats", row, n))
                for row, value in enumerate(result.new_nats[:, n])
            ),
            one_line(result.similar[n]) or "none",
        ]
        for n, token in enumerate(result.new_token)
    ]
    return table_html(columns, rows, "Each new token", "")
