"""What runs that stand beside each other are called: what tells them apart."""

from collections.abc import Sequence

from tokenarium.backend.runs.run import Run

LONGEST = 32


def names_of(runs: Sequence[Run], parts: Sequence[Sequence[str]]) -> list[str]:
    """Return a name for every run: those of its parts that are not the same in all runs.

    Where two are alike even so, each is followed by its id.

    Args:
        runs: at least two.
        parts: what each is known by, such as model, text and method, in one order for all.
    """
    differ = [len(set(column)) > 1 for column in zip(*parts, strict=True)]
    names = [
        " · ".join(part for part, apart in zip(row, differ, strict=True) if apart and part)
        for row in parts
    ]
    return [
        name if name and names.count(name) == 1 else f"{name or row[0]} · {run.id[:12]}"
        for name, row, run in zip(names, parts, runs, strict=True)
    ]


def beginning(text: str) -> str:
    """Return how a text begins, on one line and in quotes."""
    words = " ".join(text.split())
    return f"“{words if len(words) <= LONGEST else words[: LONGEST - 1] + '…'}”"


def beginnings(texts: Sequence[str]) -> list[str]:
    """Return how each text begins; of those that begin alike, from where the first two part."""
    words = [" ".join(text.split()) for text in texts]
    apart = next(
        (at for at, signs in enumerate(zip(*words, strict=False)) if len(set(signs)) > 1), 0
    )
    if apart < LONGEST * 2 // 3:
        return [beginning(text) for text in words]
    start = words[0].rfind(" ", 0, apart) + 1
    return [f"“…{text[start : start + LONGEST]}…”" for text in words]
