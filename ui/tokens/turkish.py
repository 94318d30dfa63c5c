"""How Turkish the tokens of a Turkish text are, as the Tokens page shows it."""

from collections.abc import Sequence
from typing import Any

from tokenarium.backend import Lab, TurkishCount, TurkishWords, Vocabulary
from tokenarium.ui.components.table import Cell, Column, Number, table_html
from tokenarium.ui.text import escape, one_line
from tokenarium.ui.tokens.bars import said_html
from tokenarium.ui.why.answer import kept
from tokenarium.ui.why.number import number, of_run, source
from tokenarium.ui.why.tokenizer_numbers import BAYRAM
from tokenarium.ui.why.tokenizers import of_turkish

MOST_UNKNOWN = 12
LITTLE_KNOWN = 0.7
"""Share of the words that a dictionary knows below which the finding says that it is too small."""


def turkish(lab: Lab, vocabularies: Sequence[Vocabulary], text: str | None) -> dict[str, Any]:
    """Return %TR and %Pure of each tokenizer, and what the dictionary knows of the words.

    Args:
        lab: who counts.
        vocabularies: the tokenizers.
        text: in Turkish; None for the paragraph that is shipped.
    """
    names = [each.name for each in vocabularies]
    found = [lab.tokenizers.turkish(name, text) for name in names]
    words = lab.tokenizers.turkish_words(text)
    of = kept(lab).put(of_turkish(lab, names, found, words, text))
    titles = [each.title for each in vocabularies]
    return {
        "said": of_run(said_html(_said(titles, found, words)), of),
        "html": of_run(_table(vocabularies, found, words), of),
        "notes": of_run(_notes(words), of),
    }


def _said(titles: Sequence[str], found: Sequence[TurkishCount], words: TurkishWords) -> str:
    best = max(range(len(found)), key=lambda n: found[n].percent_tr)
    known = number(str(words.words), source("words_known"))
    said = (
        f"A small dictionary knows {known} of the "
        f"{number(str(words.distinct), source('words_distinct'))} distinct words of this text"
    )
    if words.words < LITTLE_KNOWN * words.distinct:
        return said + " themselves: too few to say how Turkish its tokens are."
    each = found[best]
    most = "" if len(found) == 1 else ", the most of these tokenizers"
    return (
        f"{said}; of the distinct tokens of {escape(titles[best])} "
        f"{number(f'{each.percent_tr:.0f}', source('percent_tr', best))} % are Turkish words{most},"
        f" and {number(f'{each.percent_pure:.0f}', source('percent_pure', best))} % are roots or "
        "affixes."
    )


def _notes(words: TurkishWords) -> str:
    roots = number(str(words.roots), source("roots"))
    affixes = number(str(words.affixes), source("affixes"))
    said = (
        f"The dictionary is one of {roots} roots and {affixes} affixes that the authors of this "
        "program wrote themselves: small, and with the shipped paragraph in sight. It builds words "
        "by the rules of sound, not of meaning, so that it takes some that nobody says, and lacks "
        "most; single letters are no affixes here. Numbers of the paper, with large dictionaries, "
        "are others"
    )
    if words.unknown:
        shown = ", ".join(one_line(word) for word in words.unknown[:MOST_UNKNOWN])
        more = "" if len(words.unknown) <= MOST_UNKNOWN else ", and more"
        said += f". Unknown of this text: {escape(shown)}{more}"
    return f'<p class="tk-sub">{said}.</p>'


def _table(
    vocabularies: Sequence[Vocabulary], found: Sequence[TurkishCount], words: TurkishWords
) -> str:
    columns = [
        Column("tokenizer"),
        Column("entries", "Tokens of its model, special and added ones left out."),
        Column("tokens", "Of the whole text, none added."),
        Column("distinct", "Tokens with letters, each once."),
        Column(
            "%TR", f"Share of the distinct tokens that are Turkish words ({BAYRAM}; a variant)."
        ),
        Column(
            "%Pure",
            f"Share of the distinct tokens that are a root or an affix ({BAYRAM}; a variant).",
        ),
    ]
    rows: list[list[Cell]] = [
        [
            each.title,
            Number(f"{len(each.entries):,}", source("turkish_entries", n)),
            Number(f"{count.tokens:,}", source("turkish_tokens", n)),
            Number(f"{count.distinct:,}", source("turkish_distinct", n)),
            _share(count.percent_tr, "percent_tr", n),
            _share(count.percent_pure, "percent_pure", n),
        ]
        for n, (each, count) in enumerate(zip(vocabularies, found, strict=True))
    ]
    whole = 100 / max(words.distinct, 1)
    rows.append(
        [
            "the words themselves, uncut",
            "",
            "",
            Number(f"{words.distinct:,}", source("words_distinct")),
            _share(whole * words.words, "words_tr"),
            _share(whole * words.pure, "words_pure"),
        ]
    )
    return table_html(columns, rows, "How Turkish the tokens are", "No tokenizer is chosen.")


def _share(value: float, name: str, *place: int) -> Cell:
    return Number(f"{value:.1f}", source(name, *place)) if value == value else "n/a"
