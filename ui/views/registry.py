"""Finds the views: every module of this package that defines one."""

import pkgutil
from importlib import import_module
from inspect import isabstract, isclass

from tokenarium.backend import Lab
from tokenarium.ui import views
from tokenarium.ui.views.view import View


def find_views() -> list[type[View]]:
    """Return the views in the order of their tabs."""
    modules = [
        import_module(f"tokenarium.ui.views.{m.name}") for m in pkgutil.iter_modules(views.__path__)
    ]
    found = {
        member
        for module in modules
        for member in vars(module).values()
        if isclass(member) and issubclass(member, View) and not isabstract(member)
    }
    return sorted(found, key=lambda view: view.order)


def make_views(lab: Lab) -> dict[str, View]:
    """Return a fresh set of views for one page, by slug."""
    return {view.slug: view(lab) for view in find_views()}
