"""The page's scripts, loaded before any component that needs them, all from this machine."""

from pathlib import Path

import gradio as gr
import plotly

PLOTLY_JS = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
FOLDER = Path(__file__).resolve().parents[2] / "assets" / "js"
NAMES = (
    "selection",
    "values",
    "pixels",
    "strip",
    "plot",
    "table",
    "lanes",
    "actions",
    "pages",
    "tree",
    "speculation",
    "race",
    "downloads",
)


def scripts() -> str:
    """Return script tags with relative addresses, so that an app under a path finds them.

    They belong to the components (Gradio waits for them there), not to ``launch(head=...)``, which
    no component waits for.
    """
    gr.set_static_paths([PLOTLY_JS.parent, FOLDER])
    paths = (PLOTLY_JS, *(FOLDER / f"{name}.js" for name in NAMES))
    return "".join(f'<script src="gradio_api/file={path.as_posix()}"></script>' for path in paths)
