"""A run in a notebook: the offline page in a frame of its own, which is saved with the notebook."""

from collections.abc import Sequence
from html import escape
from typing import Any

from tokenarium.backend import Run, UserError
from tokenarium.ui.offline import page

HEIGHT = 640


class Shown:
    """Views of a run as a notebook draws them; without one it prints as a line.

    The frame carries its whole document, so that it needs no server and outlives the session: it
    is kept when the notebook is saved or converted. A page that holds many runs keeps them apart.
    """

    def __init__(self, run: Run, views: Sequence[str], height: int, **choices: Any) -> None:
        if not 100 <= height <= 10_000:
            raise UserError(f"height={height}: choose 100 to 10,000 pixels")
        self._said = f"{run!r} in {', '.join(views) or 'all views'}"
        document = page.html(run, views or None, **choices)
        self._html = (
            f'<iframe title="{escape(run.id)}" srcdoc="{escape(document)}" width="100%" '
            f'height="{height}" style="border:0" sandbox="allow-scripts"></iframe>'
        )

    def __repr__(self) -> str:
        return f"<{self._said}>"

    def _repr_html_(self) -> str:
        return self._html


def show(run: Run, *views: str, height: int = HEIGHT, **choices: Any) -> Shown:
    """Return views of a run for a notebook, linked with each other.

    Args:
        run: of any kind.
        views: names, such as ``strip`` and ``attention``; none for all.
        height: pixels; what is longer scrolls.
        choices: ``layers`` whose heads are in it; None for all.

    Raises:
        UserError: if there is no such view or layer, or it is above 25 MB.
    """
    return Shown(run, views, height, **choices)
