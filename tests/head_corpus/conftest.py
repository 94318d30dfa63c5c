"""The same tiny models as a trace is tested on."""

from tests.trace.conftest import twins

__all__ = ["twins"]
