"""Choices among the runs that a visitor may list."""

from tokenarium.backend import Lab
from tokenarium.ui.components.choice import Choice

MOST = 30


def stored_runs(lab: Lab, kind: str, visitor: str) -> list[tuple[str, str]]:
    """Return label and id of the newest runs of a kind that this visitor may list."""
    found = lab.search(visitor=visitor, kind=kind, limit=MOST)
    return [(f"{' '.join(r.text.split())[:48]} · {r.model}", r.id) for r in found]


def run_picker(lab: Lab, kind: str, label: str, name: str, value: str | None = None) -> Choice:
    """Return a dropdown of runs of a kind; the page fills it whenever it is opened."""
    return Choice(
        [(example.title, example.run_id) for example in lab.examples(kind)],
        value=value,
        label=label,
        elem_id=name,
        interactive=True,
    )
