"""The pages' scripts as two files that never change under their address, all from this machine."""

import hashlib
import zlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import plotly

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "js"
NAMES = (
    "selection",
    "visitor",
    "keys",
    "form",
    "values",
    "pixels",
    "strip",
    "plot",
    "table",
    "place",
    "lanes",
    "actions",
    "tree",
    "speculation",
    "race",
)
"""In the order in which they run."""


class Script(NamedTuple):
    """A file as it is served."""

    text: bytes
    packed: bytes
    """The same, compressed with gzip once and for all."""


@cache
def files() -> dict[str, Script]:
    """Return every script by its address; the address changes with what is in it."""
    plots = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    own = b"\n".join((FOLDER / f"{name}.js").read_bytes() for name in NAMES)
    texts = {"plotly": plots.read_bytes(), "tokenarium": own}
    return {f"{name}-{_digest(text)}.js": _script(text) for name, text in texts.items()}


def head() -> str:
    """Return the script tags, with relative addresses, so that an app under a path finds them.

    Plotly comes when it comes, beside Gradio's own scripts, which it would hold up by its size. The
    pages' own wait for the document and run before Gradio's, which stand behind them: so every
    component finds them ready.
    """
    when = {address: "async" if address.startswith("plotly-") else "defer" for address in files()}
    return "".join(f'<script {how} src="{address}"></script>' for address, how in when.items())


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]


def _script(text: bytes) -> Script:
    packer = zlib.compressobj(6, wbits=31)
    return Script(text, packer.compress(text) + packer.flush())
