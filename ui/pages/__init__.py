"""The pages: every module here that declares one adds it."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from inspect import isclass

from tokenarium.ui.shell.page import Page
from tokenarium.ui.shell.section import RunPage


def find_pages() -> list[type[RunPage]]:
    """Return the pages of runs in the order in which they are offered."""
    found = {each for each in _declared() if issubclass(each, RunPage) and each is not RunPage}
    return sorted(found, key=lambda page: page.order)


def every_page() -> list[type[RunPage] | type[Page]]:
    """Return all pages in the order in which they are offered, the first visit's first."""
    others = {each for each in _declared() if issubclass(each, Page) and each is not Page}
    return [*find_pages(), *sorted(others, key=lambda page: page.order)]


def _declared() -> Iterator[type]:
    for module in pkgutil.iter_modules(__path__):
        members = vars(import_module(f"{__name__}.{module.name}")).values()
        yield from (member for member in members if isclass(member))
