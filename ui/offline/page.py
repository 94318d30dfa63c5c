"""One HTML file of a run, which a browser opens from disk: it asks nobody for anything."""

import base64
import gzip
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import orjson
import plotly

from tokenarium.backend import Run, UserError
from tokenarium.ui.offline.about import foot, head, title
from tokenarium.ui.offline.kinds import Offline, offline
from tokenarium.ui.offline.part import Part
from tokenarium.ui.offline.tables import tables_html
from tokenarium.ui.shell.bundle import bundle
from tokenarium.ui.theme import ASSETS, css

MOST_BYTES = 25_000_000
SCRIPTS = (
    "values",
    "pixels",
    "strip",
    "numbers",
    "marks",
    "menu",
    "picture",
    "snapshot",
    "plot",
    "table",
)
MORE = ("place", "lanes", "tree", "speculation", "decoding", "race", "compare", "keys")
"""The pages' own scripts, in the order in which they run."""
TABLES = "tables"
"""The view that has every table of the run."""


def html(run: Run, views: Sequence[str] | None = None, layers: Sequence[int] | None = None) -> str:
    """Return a run as one HTML page with linked views, for a browser without a network.

    Args:
        run: of any kind.
        views: names of what is in it, such as ``("strip", "attention")``; None for everything.
        layers: whose heads are in it; None for all.

    Raises:
        UserError: if there is no such view or layer, or the file would be above 25 MB: saying what
            can be left out.
    """
    found = offline(run, layers)
    names = [*found.views, TABLES]
    chosen = names if views is None else list(views)
    for view in chosen:
        if view not in names:
            raise UserError(f"view={view!r} is none of this run: choose {', '.join(names)}")
    sizes = {name: _parts(found.views[name]) for name in chosen if name != TABLES}
    parts = list(chain.from_iterable(sizes.values()))
    tables = tables_html(run) if TABLES in chosen else ""
    told = {"arrows": found.arrows, "trees": found.trees, "steps": found.steps}
    state = {"run": run.id, **found.state}
    page = document(
        title(run), found.header(run), parts, tables + foot(run), {**told, "state": state}
    )
    if len(page.encode()) > MOST_BYTES:
        raise UserError(_too_large(len(page.encode()), sizes, found))
    return page


def _parts(make: Callable[[], list[Part]]) -> list[Part]:
    return make()


def document(
    name: str, header: str, parts: Sequence[Part], after: str, told: Mapping[str, Any]
) -> str:
    """Return the file.

    Args:
        name: of the page.
        header: HTML over the views.
        parts: the views.
        after: HTML under them.
        told: what the scripts begin with beside the views: ``state``, ``arrows``.
    """
    content = {"trees": (), "steps": {}, **told, "parts": [part.packed() for part in parts]}
    hosts = "".join(f'<div data-part="{part.name}"></div>' for part in parts)
    plots, own = _scripts()
    return (
        f"{head(name, _style())}<main>{header}{hosts}{after}</main>"
        f"{_packed('tk-plotly', plots)}{_packed('tk-scripts', own)}"
        f"{_packed('tk-run', squeezed(orjson.dumps(content)))}"
        f"<script>{_asset('start.js')}</script></body></html>\n"
    )


@cache
def _scripts() -> tuple[str, str]:
    """Return Plotly, cut to what the figures need, and the pages' own scripts; both packed."""
    plots = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    own = [_asset("offline.js")]
    own += [(ASSETS / "js" / f"{name}.js").read_text("utf-8") for name in (*SCRIPTS, *MORE)]
    whole = bundle(plots.read_text("utf-8"))
    return squeezed(whole.encode()), squeezed("\n".join(own).encode())


def _style() -> str:
    return f"{css()}\n{_asset('offline.css')}"


def squeezed(content: bytes) -> str:
    """Return bytes compressed, as text."""
    return base64.b64encode(gzip.compress(content, 6, mtime=0)).decode()


def _packed(name: str, content: str) -> str:
    return f'<script type="application/octet-stream" id="{name}">{content}</script>'


def _asset(name: str) -> str:
    return (ASSETS / "offline" / name).read_text("utf-8")


def _too_large(size: int, sizes: Mapping[str, Iterable[Part]], found: Offline) -> str:
    each = {
        name: len(squeezed(orjson.dumps([part.packed() for part in parts])))
        for name, parts in sizes.items()
    }
    largest = sorted(each, key=lambda name: -each[name])[:3]
    said = ", ".join(f"{name} {each[name] / 1e6:.1f} MB" for name in largest)
    fewer = f", or layers=range({max(1, found.layers // 4)})" if found.layers > 1 else ""
    return (
        f"the page would take {size / 1e6:.1f} MB, above {MOST_BYTES // 1_000_000} MB: leave out "
        f"the largest views ({said}) with views=[...]{fewer}"
    )
