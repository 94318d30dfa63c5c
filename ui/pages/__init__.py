"""The pages: every module here that declares one adds it."""

import pkgutil
from importlib import import_module
from inspect import isclass

from tokenarium.ui.shell.section import RunPage


def find_pages() -> list[type[RunPage]]:
    """Return the pages in the order in which they are offered."""
    modules = [
        import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)
    ]
    found = {
        member
        for module in modules
        for member in vars(module).values()
        if isclass(member) and issubclass(member, RunPage) and member is not RunPage
    }
    return sorted(found, key=lambda page: page.order)
