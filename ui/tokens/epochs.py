"""How LiB learned its units, beside BPE on the same text, as the Tokens page shows it."""

from collections.abc import Sequence

from tokenarium.backend import Epoch, Vocabulary
from tokenarium.ui.components.table import Cell, Column, Number, table_html
from tokenarium.ui.text import escape, many, one_line
from tokenarium.ui.why.number import number, source

SHOWN = 12


def epochs_html(made: Vocabulary, other: Vocabulary, epochs: Sequence[Epoch], text: str) -> str:
    """Return the best units, the text above beside BPE, and the training text epoch by epoch.

    Args:
        made: a tokenizer of LiB.
        other: one of BPE with as many entries, trained on the same text.
        epochs: of the first.
        text: that the page shows.
    """
    mine, theirs = (len(each.engine.encode([text])[0]) for each in (made, other))
    units = [spelled for spelled in made.spelled.values() if len(spelled) > 1]
    shown = (unit.decode("utf-8", "tokenarium_hexadecimal") for unit in units[:SHOWN])
    best = ", ".join(one_line(unit).replace(" ", "·") for unit in shown)
    entries, others = (
        number(f"{len(each.entries):,}", source(name))
        for each, name in ((made, "made_entries"), (other, "other_entries"))
    )
    said = (
        f"{escape(made.title)}: {entries} entries, all bytes and "
        f"{number(many(len(units), 'unit'), source('made_units'))}"
        f"{f'; the best are {escape(best)}' if units else ''}. The text above is "
        f"{number(many(mine, 'token'), source('made_tokens'))} under it and "
        f"{number(f'{theirs:,}', source('other_tokens'))} under BPE of {others} entries, trained "
        "on the same text"
    )
    return f'<p class="tk-sub">{said}.</p>{_table(epochs)}'


def _table(epochs: Sequence[Epoch]) -> str:
    columns = [
        Column("epoch"),
        Column(
            "tokens of the training text",
            "As it is read in this epoch: the longest known unit each time, from the left. A unit "
            "that makes this shorter moves up, another sinks (Yang, 2024, arXiv:2403.00417; the "
            "constants are this program's own).",
        ),
        Column("units known", "Those on trial included; the last tenth is forgotten each time."),
    ]
    rows: list[list[Cell]] = [
        [
            str(place + 1),
            Number(f"{epoch.tokens:,}", source("epoch_tokens", place)),
            Number(f"{epoch.units:,}", source("epoch_units", place)),
        ]
        for place, epoch in enumerate(epochs)
    ]
    return table_html(columns, rows, "The training text as LiB learns to read it", "")
