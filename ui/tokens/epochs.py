"""How LiB learned its units, beside BPE on the same text, as the Tokens page shows it."""

from collections.abc import Sequence

from tokenarium.backend import Epoch, Lab, Vocabulary
from tokenarium.ui.components.table import Cell, Column, table_html
from tokenarium.ui.text import escape, many, one_line

SHOWN = 12


def epochs_html(lab: Lab, made: Vocabulary, corpus: str, text: str, *, words: bool) -> str:
    """Return the best units, the text above beside BPE, and the training text epoch by epoch.

    Args:
        lab: who trains BPE beside it, with as many entries on the same text.
        made: a tokenizer of LiB.
        corpus: that it was trained on.
        text: that the page shows.
        words: whether no token goes beyond a word.
    """
    other = lab.tokenizers.train(corpus, "bpe", len(made.entries), words=words)
    mine, theirs = (len(each.engine.encode([text])[0]) for each in (made, other))
    units = [spelled for spelled in made.spelled.values() if len(spelled) > 1]
    shown = (unit.decode("utf-8", "tokenarium_hexadecimal") for unit in units[:SHOWN])
    best = ", ".join(one_line(unit).replace(" ", "·") for unit in shown)
    said = (
        f"{made.title}: {len(made.entries):,} entries, all bytes and {many(len(units), 'unit')}"
        f"{f'; the best are {best}' if units else ''}. The text above is {many(mine, 'token')} "
        f"under it and {theirs:,} under BPE of {len(other.entries):,} entries, trained on the same "
        f"text"
    )
    table = _table(lab.tokenizers.epochs(made.name))
    return f'<p class="tk-sub">{escape(said)}.</p>{table}'


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
        [str(number), f"{epoch.tokens:,}", f"{epoch.units:,}"]
        for number, epoch in enumerate(epochs, start=1)
    ]
    return table_html(columns, rows, "The training text as LiB learns to read it", "")
