"""The same tiny models as a trace is tested on."""

from tests.trace.conftest import letters, twins

__all__ = ["letters", "twins"]
