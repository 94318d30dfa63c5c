"""Tiny models for edits."""

from tests.cache.conftest import one_layer
from tests.trace.conftest import letters, twins

__all__ = ["letters", "one_layer", "twins"]
