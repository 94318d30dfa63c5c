"""The tables of the Tokens page."""

import json
from collections.abc import Sequence
from typing import Any

from tokenarium.backend import Parallel, Point, Premium, TokenizeResult, Vocabulary
from tokenarium.ui.components.table import Cell, Column, Number, Numbers, table_html
from tokenarium.ui.text import escape, one_line
from tokenarium.ui.why.number import number, source
from tokenarium.ui.why.tokenizer_numbers import PETROV

_COUNTED = ("tokens", "bytes_per_token", "fertility", "continued_words", "byte_fallback")
_SHARES = ("continued_words", "byte_fallback")
_STEPS = {"normalizer": "normaliser", "pre_tokenizer": "pre-tokeniser"}
_TELLING = ("individual_digits", "add_prefix_space", "use_regex", "pattern", "behavior", "prepend")


def counts_html(result: TokenizeResult, titles: Sequence[str]) -> str:
    """Return the counts of each segmentation."""
    defined = type(result).quantities()
    columns = [Column("tokenizer")]
    columns += [Column(defined[name].title, _meaning(defined[name])) for name in _COUNTED]
    columns.append(Column("characters per token", "Unicode code points of the text / tokens"))
    rows: list[list[Cell]] = []
    for place, title in enumerate(titles):
        if result.refused[place]:
            continue
        shown: list[Cell] = [title]
        for name in _COUNTED:
            value = float(getattr(result, name)[place])
            said = _number(value, share=name in _SHARES, whole=name == "tokens")
            shown.append(said if value != value else Number(said, source(name, place)))
        characters = f"{result.text_characters / result.tokens[place]:.2f}"
        shown.append(Number(characters, source("characters_per_token", place)))
        rows.append(shown)
    parts: list[str | Number] = []
    for unit in ("characters", "bytes", "words"):
        count = getattr(result, f"text_{unit}")
        parts += [", "] if parts else []
        parts += [Number(f"{count:,}", source(f"text_{unit}")), f" {unit}"]
    return table_html(columns, rows, Numbers(tuple(parts)), "Nothing is cut.")


def steps_html(vocabularies: Sequence[Vocabulary]) -> str:
    """Return how each tokenizer works before and while it merges, and its special tokens."""
    columns = [
        Column("tokenizer"),
        Column("kind"),
        Column("entries", "Tokens of its model, special and added ones left out."),
        Column("merges", "Pairs in its list of merges."),
        Column("normaliser", "Changes the text first."),
        Column("pre-tokeniser", "Cuts the text into parts that no token goes beyond."),
        Column(
            "special and added tokens", "Not made by merges; what spells one is plain text here."
        ),
    ]
    rows: list[list[Cell]] = []
    for place, each in enumerate(vocabularies):
        names = [one_line(name) for name in each.added.values()]
        special: Cell = " ".join(names[:6]) or "none"
        if len(names) > 6:
            more = Number(f"{len(names) - 6}", source("more_added", place))
            special = Numbers((f"{special} and ", more, " more"))
        rows.append(
            [
                each.title,
                f"{each.model}, {each.spelling.replace('_', '-')}",
                Number(f"{len(each.entries):,}", source("entries", place)),
                Number(f"{len(each.merge_list):,}", source("merges", place)),
                *(_step(each.steps.get(name)) for name in _STEPS),
                special,
            ]
        )
    return table_html(columns, rows, "What each tokenizer does", "No tokenizer is chosen.")


def languages_html(
    found: Sequence[Sequence[tuple[Parallel, Premium]]],
    vocabularies: Sequence[Vocabulary],
    rate: float,
    kv_bytes: Sequence[int | None],
    against: str,
) -> str:
    """Return what the same paragraph costs in each language, under each tokenizer.

    Args:
        found: for each tokenizer, its languages.
        vocabularies: the tokenizers.
        rate: price of a million tokens, in whatever money.
        kv_bytes: bytes of keys and values per token, of each tokenizer's model where known.
        against: code of the language that stands for 1.
    """
    name = next(text.name for text, _ in found[0] if text.code == against)
    columns = [
        Column("language"),
        Column("script"),
        Column("characters", "Unicode code points of the eight sentences."),
        Column("bytes", "UTF-8 bytes of the eight sentences."),
    ]
    for vocabulary in vocabularies:
        columns += [
            Column(f"tokens, {vocabulary.title}", "Of the eight sentences, none added."),
            Column(
                f"premium to {name}",
                "Tokens / tokens of the other language; in brackets 95 % of 2,000 draws of eight "
                f"sentences anew, the same for both ({PETROV}).",
            ),
        ]
    order = sorted(range(len(found[0])), key=lambda n: found[0][n][1].value)
    rows: list[list[Cell]] = []
    for place in order:
        text = found[0][place][0]
        whole = "".join(text.sentences)
        row: list[Cell] = [
            text.name,
            text.script,
            Number(f"{len(whole):,}", source("language_characters", place)),
            Number(f"{len(whole.encode()):,}", source("language_bytes", place)),
        ]
        for lane, each in enumerate(found):
            premium = each[place][1]
            if not premium.tokens:
                row += ["left out", "n/a"]
                continue
            value, low, high = (
                Number(f"{getattr(premium, field):.2f}", source(name, lane, place))
                for name, field in (
                    ("premium", "value"),
                    ("premium_low", "low"),
                    ("premium_high", "high"),
                )
            )
            tokens = Number(f"{premium.tokens:,}", source("language_tokens", lane, place))
            row += [tokens, Numbers((value, " (", low, " to ", high, ")"))]
        rows.append(row)
    caption = "The same eight sentences, fewest tokens under the first tokenizer first"
    return table_html(columns, rows, caption, "") + _means(found, vocabularies, rate, kv_bytes)


def growth_html(made: Vocabulary, points: Sequence[Point], size: int) -> str:
    """Return what was trained, and how the shown text shrinks as the vocabulary grows.

    Args:
        made: a tokenizer that was trained.
        points: tokens of the shown text under its first merges.
        size: bytes of that text.
    """
    entries = number(f"{len(made.entries):,}", source("made_entries"))
    said = f"{escape(made.title)}: {entries} entries"
    if made.merge_list:
        first = [made.bytes_of(left + right) for left, right in made.merge_list[:12]]
        texts = (each.decode("utf-8", "tokenarium_hexadecimal") for each in first)
        shown = ", ".join(one_line(text).replace(" ", "·") for text in texts)
        merges = number(f"{len(made.merge_list):,}", source("made_merges"))
        said += f", {merges} merges; the first are {escape(shown)}"
    columns = [
        Column("entries", "Of a vocabulary that stops there: the list of merges, cut off."),
        Column("tokens of the text above", "Under that vocabulary."),
        Column("bytes per token"),
    ]
    rows: list[list[Cell]] = [
        [
            Number(f"{point.entries:,}", source("point_entries", place)),
            Number(f"{point.tokens:,}", source("point_tokens", place)),
            Number(f"{size / max(point.tokens, 1):.2f}", source("point_bytes", place)),
        ]
        for place, point in enumerate(points)
    ]
    table = table_html(columns, rows, "The text above as the vocabulary grows", "") if rows else ""
    return f'<p class="tk-sub">{said}.</p>{table}'


def _means(
    found: Sequence[Sequence[tuple[Parallel, Premium]]],
    vocabularies: Sequence[Vocabulary],
    rate: float,
    kv_bytes: Sequence[int | None],
) -> str:
    """Return what the cheapest and the dearest language mean in price, context and memory."""
    parts = []
    for lane, (each, vocabulary, size) in enumerate(
        zip(found, vocabularies, kv_bytes, strict=True)
    ):
        spelled = [place for place, pair in enumerate(each) if pair[1].tokens]
        ends = low, high = [
            pick(spelled, key=lambda place: each[place][1].tokens) for pick in (min, max)
        ]
        cheap, dear = (escape(each[place][0].name) for place in ends)
        count = [each[place][1].tokens for place in ends]
        share = number(f"{count[0] / count[1]:.0%}", source("context_share", lane, low, high))
        words = (
            f"{escape(vocabulary.title)}: the same context holds {share} as much text in {dear} as "
            f"in {cheap}"
        )
        if rate > 0:
            prices = (
                number(f"{rate * tokens / 1e3:,.2f}", source("price", lane, place))
                for place, tokens in zip(ends, count, strict=True)
            )
            words += (
                f"; a thousand such paragraphs in {cheap} and {dear} cost {' and '.join(prices)}"
            )
        if size:
            kept = (
                number(f"{size * tokens / 2**20:,.1f}", source("kept_mib", lane, place))
                for place, tokens in zip(ends, count, strict=True)
            )
            words += f"; keys and values of one take {' and '.join(kept)} MiB at 16 bits"
        parts.append(f"<li>{words}.</li>")
    return f'<ul class="tk-cuts-means">{"".join(parts)}</ul>'


def _meaning(defined: Any) -> str:
    return f"{defined.meaning} {defined.formula}"


def _number(value: float, *, share: bool, whole: bool) -> str:
    if value != value:
        return "n/a"
    if share:
        return f"{value:.0%}"
    return f"{value:,.0f}" if whole else f"{value:.2f}"


def _step(step: Any) -> str:
    """Return a declared step of a tokenizer in a few words."""
    if not step:
        return "none"
    inside = step.get("normalizers") or step.get("pretokenizers")
    if inside:
        return ", then ".join(_step(each) for each in inside)
    options = {name: step[name] for name in _TELLING if step.get(name) not in (None, False)}
    shown = one_line(json.dumps(options, ensure_ascii=False))[:90] if options else ""
    return f"{step['type']} {shown}".strip()
