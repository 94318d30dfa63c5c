"""The tables of the Tokens page."""

import json
from collections.abc import Sequence
from typing import Any

from tokenarium.backend import Parallel, Point, Premium, TokenizeResult, Vocabulary
from tokenarium.ui.components.table import Cell, Column, Number, table_html
from tokenarium.ui.text import escape, one_line
from tokenarium.ui.why.number import source

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
    for number, title in enumerate(titles):
        if result.refused[number]:
            continue
        shown: list[Cell] = [title]
        for name in _COUNTED:
            value = float(getattr(result, name)[number])
            said = _number(value, share=name in _SHARES, whole=name == "tokens")
            shown.append(said if value != value else Number(said, source(name, number)))
        characters = f"{result.text_characters / result.tokens[number]:.2f}"
        shown.append(Number(characters, source("characters_per_token", number)))
        rows.append(shown)
    caption = (
        f"{result.text_characters:,} characters, {result.text_bytes:,} bytes, "
        f"{result.text_words:,} words"
    )
    return table_html(columns, rows, caption, "Nothing is cut.")


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
    for each in vocabularies:
        names = [one_line(name) for name in each.added.values()]
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        rows.append(
            [
                each.title,
                f"{each.model}, {each.spelling.replace('_', '-')}",
                f"{len(each.entries):,}",
                f"{len(each.merge_list):,}",
                *(_step(each.steps.get(name)) for name in _STEPS),
                " ".join(names[:6]) + more or "none",
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
                "sentences anew, the same for both (Petrov et al., 2023, arXiv:2305.15425).",
            ),
        ]
    order = sorted(range(len(found[0])), key=lambda n: found[0][n][1].value)
    rows: list[list[Cell]] = []
    for number in order:
        text = found[0][number][0]
        whole = "".join(text.sentences)
        row: list[Cell] = [text.name, text.script, f"{len(whole):,}", f"{len(whole.encode()):,}"]
        for each in found:
            premium = each[number][1]
            if not premium.tokens:
                row += ["left out", "n/a"]
                continue
            row += [
                f"{premium.tokens:,}",
                f"{premium.value:.2f} ({premium.low:.2f} to {premium.high:.2f})",
            ]
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
    said = f"{made.title}: {len(made.entries):,} entries"
    if made.merge_list:
        first = [made.bytes_of(left + right) for left, right in made.merge_list[:12]]
        texts = (each.decode("utf-8", "tokenarium_hexadecimal") for each in first)
        shown = ", ".join(one_line(text).replace(" ", "·") for text in texts)
        said += f", {len(made.merge_list):,} merges; the first are {shown}"
    columns = [
        Column("entries", "Of a vocabulary that stops there: the list of merges, cut off."),
        Column("tokens of the text above", "Under that vocabulary."),
        Column("bytes per token"),
    ]
    rows: list[list[Cell]] = [
        [f"{point.entries:,}", f"{point.tokens:,}", f"{size / max(point.tokens, 1):.2f}"]
        for point in points
    ]
    table = table_html(columns, rows, "The text above as the vocabulary grows", "") if rows else ""
    return f'<p class="tk-sub">{escape(said)}.</p>{table}'


def _means(
    found: Sequence[Sequence[tuple[Parallel, Premium]]],
    vocabularies: Sequence[Vocabulary],
    rate: float,
    kv_bytes: Sequence[int | None],
) -> str:
    """Return what the cheapest and the dearest language mean in price, context and memory."""
    parts = []
    for each, vocabulary, size in zip(found, vocabularies, kv_bytes, strict=True):
        spelled = [pair for pair in each if pair[1].tokens]
        low, high = (pick(spelled, key=lambda pair: pair[1].tokens) for pick in (min, max))
        names = f"{low[0].name} and {high[0].name}"
        words = (
            f"{vocabulary.title}: the same context holds {low[1].tokens / high[1].tokens:.0%} as "
            f"much text in {high[0].name} as in {low[0].name}"
        )
        if rate > 0:
            prices = (f"{rate * side[1].tokens / 1e3:,.2f}" for side in (low, high))
            words += f"; a thousand such paragraphs in {names} cost {' and '.join(prices)}"
        if size:
            kept = (f"{size * side[1].tokens / 2**20:,.1f}" for side in (low, high))
            words += f"; keys and values of one take {' and '.join(kept)} MiB at 16 bits"
        parts.append(f"<li>{escape(words)}.</li>")
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
