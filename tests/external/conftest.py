"""Tiny models, as the policies' own tests have them."""

from tests.cache.policies.conftest import tiny
from tests.trace.conftest import twins

__all__ = ["tiny", "twins"]
