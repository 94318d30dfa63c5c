"""No search for Matplotlib at every event: Gradio looks for it twice, along the whole path.

It does so in its event loop, to draw figures of that library off screen. Nothing here makes any,
and where it is not installed the search is a sixth of what the loop does under many visitors.
"""

import sys
from importlib.util import find_spec

NAME = "matplotlib"


def look_for_no_matplotlib() -> None:
    """Say once that Matplotlib is not there, if it is not; an import fails as before."""
    if NAME not in sys.modules and find_spec(NAME) is None:
        sys.modules[NAME] = None  # type: ignore[assignment]
