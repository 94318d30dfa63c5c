"""What the Tokens page answers a browser, whatever it sends."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tokenarium.backend import (
    Lab,
    TokenizeResult,
    UserError,
    Visitor,
    Vocabulary,
    parallel_text,
)
from tokenarium.ui.text import escape, many, one_line
from tokenarium.ui.tokens.added import new_tokens
from tokenarium.ui.tokens.apart import apart
from tokenarium.ui.tokens.cuts import strip_of
from tokenarium.ui.tokens.domain import domains
from tokenarium.ui.tokens.epochs import epochs_html
from tokenarium.ui.tokens.extended import extensions
from tokenarium.ui.tokens.letters import letters
from tokenarium.ui.tokens.mixture import mixed
from tokenarium.ui.tokens.runs import cancelled, next_bytes, scored
from tokenarium.ui.tokens.sizes import sizes
from tokenarium.ui.tokens.tables import counts_html, growth_html, languages_html, steps_html
from tokenarium.ui.tokens.turkish import turkish
from tokenarium.ui.why.answer import kept
from tokenarium.ui.why.cut import cut_name, cut_run
from tokenarium.ui.why.number import number, of_run, source
from tokenarium.ui.why.tokenizers import of_epochs, of_growth, of_languages, of_steps

MOST_CHARACTERS = 4_000
MOST_TOKENIZERS = 4
TEXT = (
    "Tokenizers cut uneven pieces: the strawberry, 1234567 and unbelievable are easy in English; "
    "naïve cafés, Übergrößen, привет, こんにちは and 🙂 are not."
)
MOST_WORD = 60


SHOWN = ("cut", "languages", "merges", "turkish")
"""Parts that are made without a model's weights: all that a frame of another site may ask for."""


def answer(lab: Lab, asked: Mapping[str, Any], visitor: Visitor | str = "") -> dict[str, Any]:
    """Return what a part of the page shows.

    Args:
        lab: who answers.
        asked: ``do``, the name of the part, and what it takes.
        visitor: who asks.
    """
    do = asked.get("do")
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "cut": lambda: _cut(lab, asked),
        "languages": lambda: _languages(lab, asked),
        "merges": lambda: _merges(lab, asked),
        "give": lambda: _given(lab, asked),
        "train": lambda: apart(lab, asked, partial(_trained, lab)),
        "mixture": lambda: apart(lab, asked, partial(mixed, lab)),
        "turkish": lambda: _turkish(lab, asked),
        "sizes": lambda: apart(lab, asked, partial(sizes, lab)),
        "domain": lambda: apart(lab, asked, partial(domains, lab)),
        "extended": lambda: _extended(lab, asked, visitor),
        "added": lambda: new_tokens(lab, asked, visitor),
        "score": lambda: scored(lab, asked, visitor),
        "letters": lambda: letters(lab, asked, visitor),
        "byte": lambda: next_bytes(lab, asked, visitor),
        "cancel": lambda: cancelled(lab, asked, visitor),
    }
    shown: dict[str, Any] = {"answer": True, "do": do, "number": asked.get("number")}
    if do not in parts:
        return shown
    try:
        return {**shown, **parts[do]()}
    except UserError as error:
        form = {name: value for name, value in asked.items() if name not in ("run", "open", "busy")}
        if len(form) == len(asked) or do == "cancel":
            return {**shown, "error": str(error)}
        # What a form is made of is the same whether or not it could be answered.
        return {**answer(lab, form, visitor), "error": str(error)}


def tokenizers_of(lab: Lab, asked: Mapping[str, Any]) -> list[Vocabulary]:
    """Return the tokenizers that are asked for, or those that a first visit shows.

    Raises:
        UserError: if one cannot be had.
    """
    wanted = asked.get("with")
    names = [str(each)[:400] for each in wanted] if isinstance(wanted, list) and wanted else []
    offered = [*lab.tokenizers.offered()]
    usual = lab.preselected().name
    first = [name for name in (usual, *offered) if name in offered][:1]
    chosen = names or [*first, *(name for name in offered if name not in first)][:2]
    return [lab.tokenizers.get(name) for name in dict.fromkeys(chosen[:MOST_TOKENIZERS])]


def text_of(asked: Mapping[str, Any]) -> str:
    """Return the text that is asked about, or the one that a first visit shows."""
    given = asked.get("text")
    return given[:MOST_CHARACTERS] if isinstance(given, str) and given else TEXT


def _cut(lab: Lab, asked: Mapping[str, Any]) -> dict[str, Any]:
    vocabularies = tokenizers_of(lab, asked)
    text, names = text_of(asked), tuple(each.name for each in vocabularies)
    result = cut_run(lab, text, names).result
    assert isinstance(result, TokenizeResult)
    titles = [each.title for each in vocabularies]
    return {
        "text": text,
        "with": list(names),
        "offered": lab.tokenizers.offered(),
        "strip": strip_of(result, text, vocabularies),
        "of": cut_name(text, names),
        "said": _said(titles, result.tokens.tolist(), result.text_bytes),
        "counts": of_run(counts_html(result, titles), cut_name(text, names)),
        "steps": of_run(steps_html(vocabularies), kept(lab).put(of_steps(lab, names))),
        "hosted": lab.settings.hosted,
    }


def _said(titles: list[str], tokens: list[int], size: int) -> str:
    few = min(range(len(tokens)), key=tokens.__getitem__)
    most = max(range(len(tokens)), key=tokens.__getitem__)
    words = (
        f"{number(many(size, 'byte'), source('text_bytes'))}: "
        f"{number(many(tokens[few], 'token'), source('tokens', few))} under {escape(titles[few])}"
    )
    if tokens[few] == tokens[most]:
        return words + (", as many under the others." if len(tokens) > 1 else ".")
    times = number(f"{tokens[most] / tokens[few]:.2f}", source("tokens_times", most, few))
    return (
        f"{words}, {number(f'{tokens[most]:,}', source('tokens', most))} under "
        f"{escape(titles[most])}: {times} times as many."
    )


def _languages(lab: Lab, asked: Mapping[str, Any]) -> dict[str, Any]:
    vocabularies = tokenizers_of(lab, asked)
    codes = [text.code for text in parallel_text()]
    against = asked.get("against") if asked.get("against") in codes else codes[0]
    rate = asked.get("rate")
    price = float(rate) if isinstance(rate, int | float) and math.isfinite(rate) else 0.0
    found = [lab.tokenizers.premiums(each.name, str(against)) for each in vocabularies]
    held = [lab.tokenizers.kv_bytes_per_token(each.name) for each in vocabularies]
    price = max(price, 0.0)
    names = [each.name for each in vocabularies]
    of = kept(lab).put(of_languages(lab, names, str(against), price))
    return {
        "against": against,
        "languages": [[text.code, text.name] for text in parallel_text()],
        "html": of_run(languages_html(found, vocabularies, price, held, str(against)), of),
    }


def _extended(lab: Lab, asked: Mapping[str, Any], visitor: Visitor | str) -> dict[str, Any]:
    """Return what a run says at once, and what is computed here when it is there."""
    if asked.get("run") == "price":
        return extensions(lab, asked, visitor)
    return apart(lab, asked, lambda given: extensions(lab, given, visitor))


def _turkish(lab: Lab, asked: Mapping[str, Any]) -> dict[str, Any]:
    own = asked.get("source") == "own"
    return turkish(lab, tokenizers_of(lab, asked), text_of(asked) if own else None)


def _merges(lab: Lab, asked: Mapping[str, Any]) -> dict[str, Any]:
    word = str(asked.get("word") or "unbelievable")[:MOST_WORD]
    name = str(asked.get("tokenizer") or tokenizers_of(lab, asked)[0].name)
    steps = lab.tokenizers.merge_steps(name, word)
    return {"word": word, "merges": [[one_line(piece) for piece in step] for step in steps]}


def _given(lab: Lab, asked: Mapping[str, Any]) -> dict[str, Any]:
    made = lab.tokenizers.give(str(asked.get("state") or ""), str(asked.get("title") or ""))
    return {"name": made.name, "title": made.title}


def _trained(lab: Lab, asked: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "languages": [[text.code, text.name] for text in parallel_text()],
        "paragraphs": {text.code: text.text for text in parallel_text()},
    }
    if not asked.get("run"):
        return shown
    wanted, kind = asked.get("size"), asked.get("kind", "bpe")
    corpus, words = str(asked.get("corpus") or ""), asked.get("words") is not False
    size = wanted if isinstance(wanted, int) else 0
    made = lab.tokenizers.train(corpus, kind, size, words=words)
    text, epochs = text_of(asked), lab.tokenizers.epochs(made.name)
    if epochs:
        other = lab.tokenizers.train(corpus, "bpe", len(made.entries), words=words)
        html = epochs_html(made, other, epochs, text)
        answered = of_epochs(lab, (made.name, other.name), epochs, text, (kind, size, words))
    else:
        points = lab.tokenizers.growth(made.name, text)
        html = growth_html(made, points, len(text.encode()))
        answered = of_growth(lab, made.name, points, text, (kind, size, words))
    of = kept(lab).put(answered, corpus)
    return {"name": made.name, "title": made.title, "html": of_run(html, of)}
