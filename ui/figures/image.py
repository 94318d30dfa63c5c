"""A figure of a run as the content of a file: a picture, or the table of its marks."""

from importlib.util import find_spec
from typing import Any

from tokenarium.backend import Run, UserError
from tokenarium.ui.figures.catalogue import figure, names
from tokenarium.ui.figures.marks import marks_csv
from tokenarium.ui.figures.picture import picture

PICTURES = ("svg", "png")
SCALE = 2
"""Pixels of a PNG for each of the page."""
NO_KALEIDO = (
    "format={!r}: pictures are made by kaleido, which is not installed: pip install "
    "'tokenarium[pictures]', or save the figure from its page"
)
NO_CHROME = (
    "format={!r}: kaleido draws with Chrome or Chromium, which it does not find or cannot start: "
    "install one, run kaleido_get_chrome, or set BROWSER_PATH to it ({})"
)


def content(run: Run, name: str, form: str, **choices: Any) -> bytes:
    """Return a figure as a file.

    Args:
        run: that it is drawn of.
        name: of the figure.
        form: ``svg`` or ``png``, with title, prompt, model, seed and run; ``csv``, a row for every
            mark.
        choices: of the figure.

    Raises:
        UserError: if there is no such figure, or no picture can be made here, saying why.
    """
    if not name:
        there = ", ".join(names(run)) or "none"
        raise UserError(
            f"format={form!r} is a picture of one figure: name it, figure=... of {there}"
        )
    drawn = figure(run, name, **choices)
    return marks_csv(drawn).encode() if form == "csv" else _image(run, drawn, form)


def _image(run: Run, drawn: Any, form: str) -> bytes:
    if find_spec("kaleido") is None:
        raise UserError(NO_KALEIDO.format(form))
    try:
        made: bytes = picture(run, drawn).to_image(format=form, scale=SCALE if form == "png" else 1)
    except Exception as error:
        # Of a browser that is not there, does not start or ends, kaleido raises kinds of its own.
        of = type(error).__module__.partition(".")[0]
        if isinstance(error, RuntimeError | OSError) or of in ("kaleido", "choreographer"):
            raise UserError(NO_CHROME.format(form, str(error)[:200])) from error
        raise
    return made
