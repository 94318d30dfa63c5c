"""Scripts and styles that never change under their address, compressed once, from this machine."""

import hashlib
import re
import zlib
from functools import cache, lru_cache
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import gradio
import plotly

from tokenarium.ui.shell.bundle import bundle
from tokenarium.ui.shell.style_sheet import weighted
from tokenarium.ui.theme import css

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "js"
GRADIOS = Path(gradio.__file__).parent / "templates" / "frontend" / "assets"
MOST_KEPT = 512
_HASHED = re.compile(r"[\w.]+-[\w-]{8,}\.(js|css)")
NAMES = (
    "selection",
    "stream",
    "pressed",
    "lesson",
    "visitor",
    "keys",
    "form",
    "turns",
    "change",
    "values",
    "pixels",
    "strip",
    "numbers",
    "marks",
    "menu",
    "picture",
    "embed",
    "snapshot",
    "quality",
    "plot",
    "table",
    "copy",
    "file",
    "why",
    "units",
    "place",
    "lanes",
    "tools",
    "actions",
    "tree",
    "speculation",
    "race",
    "decoding",
    "roads",
    "classroom",
    "compare",
    "heads",
    "cuts",
    "samples",
    "mixture",
    "sizes",
    "domain",
    "turkish",
    "extended",
    "newtokens",
    "tokenviews",
    "tokens",
    "library",
    "query",
)
"""In the order in which they run."""


KINDS = {".js": "text/javascript", ".css": "text/css"}
_LOCK = Lock()


class Script(NamedTuple):
    """A file as it is served."""

    text: bytes
    packed: bytes
    """The same, compressed with gzip once and for all."""
    kind: str


def files() -> dict[str, Script]:
    """Return scripts and style sheet by address; the address changes with what is in it."""
    with _LOCK:  # to make them takes half a second of a processor, which no two shall spend
        return _made()


@cache
def _made() -> dict[str, Script]:
    plots = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    own = b"\n".join((FOLDER / f"{name}.js").read_bytes() for name in NAMES)
    texts = {"plotly": bundle(plots.read_text("utf-8")).encode(), "tokenarium": own}
    scripts = {f"{name}-{_digest(text)}.js": _script(text) for name, text in texts.items()}
    look = weighted(css()).encode()
    return scripts | {f"look-{_digest(look)}.css": _script(look, ".css")}


@lru_cache(MOST_KEPT)
def gradios(name: str) -> Script | None:
    """Return one of Gradio's own scripts and styles, which a page asks for by the dozen.

    Args:
        name: as it stands in the address after ``assets/``; it has a digest of what is in it.
    """
    path = GRADIOS / name
    if not _HASHED.fullmatch(name) or not path.is_file():
        return None
    return _script(path.read_bytes(), path.suffix)


def head() -> str:
    """Return the script tags, with relative addresses, so that an app under a path finds them.

    Plotly comes when it comes, beside Gradio's own scripts, which it would hold up by its size. The
    pages' own wait for the document and run before Gradio's, which stand behind them: so every
    component finds them ready.
    """
    scripts = [address for address in files() if address.endswith(".js")]
    when = {address: "async" if address.startswith("plotly-") else "defer" for address in scripts}
    return "".join(f'<script {how} src="{address}"></script>' for address, how in when.items())


def foot() -> str:
    """Return the tag of the style sheet for the end of the body.

    There it comes after what Gradio adds to the head, and wins over it where both weigh the same.
    """
    looks = [address for address in files() if address.endswith(".css")]
    return "".join(f'<link rel="stylesheet" href="{address}">' for address in looks)


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]


def _script(text: bytes, ending: str = ".js") -> Script:
    return Script(text, packed(text, 6), KINDS[ending])


def packed(text: bytes, effort: int) -> bytes:
    """Return bytes compressed with gzip; ``effort`` is from 1 to 9."""
    packer = zlib.compressobj(effort, wbits=31)
    return packer.compress(text) + packer.flush()
