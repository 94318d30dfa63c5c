"""A browser without a browser: holds what a page's components say, calls handlers by name."""

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import gradio as gr

from tokenarium.backend import Lab
from tokenarium.ui.shell.drawing import Asker
from tokenarium.ui.shell.panel import Values
from tokenarium.ui.shell.section import MAIN, RunPage
from tokenarium.ui.shell.selection import PLACES, Selection
from tokenarium.ui.shell.wiring import Wiring

NOT_TOLD = ("also", "shown", "why", "section", "reply", "sections", "page", "arrows", "id")


def layout_of(lab: Lab, page: type[RunPage]) -> Wiring:
    """Return a page as it is built once for all visitors of a lab."""
    built: dict[Any, Wiring] = lab.__dict__.setdefault("_layouts", {})
    if page not in built:
        with gr.Blocks() as blocks:
            built[page] = Wiring(page(lab), lab, blocks)
    return built[page]


class Visit:
    """One visitor on one page.

    Args:
        lab: what computes.
        page: which.
        visitor: the private name.
    """

    def __init__(self, lab: Lab, page: type[RunPage], visitor: str = "v") -> None:
        self.layout = layout_of(lab, page)
        self.page, self.handlers = self.layout.page, self.layout.handlers
        self.visitor = visitor
        self.values: Values = {
            name: getattr(part, "value", None) for name, part in self.layout.parts.items()
        }
        self.told: dict[str, Any] = {"runs": {}, "running": {}}
        self.messages: list[dict[str, Any]] = []
        self._hear(self.values["selection"])

    def take(self, found: Values) -> Values:
        """Keep what a handler returns, as the components would; return it."""
        for name, value in self.layout._filled(found).items():
            changes = value if isinstance(value, dict) and value.get("__type__") else None
            if changes is None:
                self.values[name] = value
            elif "value" in changes:
                self.values[name] = changes["value"]
        if "selection" in found:
            self._hear(found["selection"])
        return found

    def every(self, steps: Iterator[Values]) -> list[Values]:
        return [self.take(found) for found in steps]

    def fill(self, **changes: Any) -> None:
        """Set controls; a form by group and name."""
        self.values |= self.layout.controls.filled({**self._controls(), **changes})

    def follow(self, changed: str) -> None:
        """Let what is offered follow a control that has changed."""
        controls = self.layout.controls
        for offer in controls.offers:
            if changed in offer.on:
                known = {name: self.values[name] for name in controls.parts}
                found = offer.make(known)
                for name, value in found.items():
                    if name in controls.forms:
                        self.values[name] = value
                self.take({n: v for n, v in found.items() if n not in controls.forms})

    def asker(self, **changes: Any) -> Asker:
        """Return what comes with an event; ``changes`` are of the selection."""
        told = Selection.read({"shown": dict(self.told["runs"])} | self.told | changes)
        drawn = {
            slug: self.values[self.handlers.part(section, "drawn")]
            for slug, section in self.page.sections.items()
        }
        settings = {name: self.values.get(name, part.value) for name, part in self._settings()}
        return Asker(self.visitor, told, drawn, settings)

    def asked(self) -> Values:
        """Return what the controls say, forms by group and name."""
        known = {name: self.values[name] for name in self.layout.controls.parts}
        return self.layout.controls.read(known)

    def run(self, section: str = MAIN, **changes: Any) -> list[Values]:
        """Press the button of a section after setting controls."""
        self.fill(**changes)
        return self.every(self.running(section))

    def running(self, section: str = MAIN) -> Iterator[Values]:
        """Press the button; the steps are taken one by one."""
        return self.handlers.run(self.page.sections[section], self.asked(), self.asker())

    def open(self, ids: object, section: str = MAIN) -> Values:
        """Open a stored run."""
        if not ids:
            return {}
        asker = self.asker(runs={**self.told["runs"], section: ids}, fresh=True)
        if section == MAIN:
            asker = replace(asker, told=replace(asker.told, run=ids))
        return self.take(self.handlers.pick(asker))

    def pick(self, **changes: Any) -> Values:
        """Choose something; where ``runs`` change, as Back and Forward do."""
        shown = dict(self.told["runs"])
        self.told |= changes
        return self.take(self.handlers.pick(self.asker(shown=shown)))

    def boot(self, query: str, carried: object = None) -> list[Values]:
        """Arrive at an address."""
        settings = {name: self.values.get(name, part.value) for name, part in self._settings()}
        asker = Asker(self.visitor, settings=settings)
        return self.every(self.handlers.boot(query, carried, asker))

    def cancel(self, section: str = MAIN) -> Values:
        """Press Cancel."""
        found = self.page.sections[section]
        running = self.values[self.handlers.part(found, "running")]
        return self.take(self.handlers.cancel(found, running, self.asker()))

    def cost(self, section: str = MAIN, **changes: Any) -> str:
        self.fill(**changes)
        found = self.page.sections[section]
        return self.handlers.cost(found, self.asked(), self.asker())

    def status(self, section: str = MAIN) -> str:
        return str(self.values[self.handlers.part(self.page.sections[section], "status")])

    def shown(self, section: str = MAIN) -> str | None:
        """Return the ids of the runs that a section shows."""
        return self.told["runs"].get(section)

    def _controls(self) -> Values:
        asked = self.asked()
        forms = self.layout.controls.forms
        plain = {n: self.values[n] for n in self.layout.controls.parts if n not in forms}
        return plain | {name: asked[name] for name in forms}

    def _settings(self) -> Any:
        return self.layout.settings.items()

    def _hear(self, message: object) -> None:
        """Do what the script of the page does with a message of Python."""
        if not isinstance(message, dict) or "why" not in message:
            return
        for earlier in message.get("also", ()):
            self._hear(earlier)
        self.messages.append(message)
        section, why = message.get("section", MAIN), message["why"]
        if why == "arrived":
            return
        if why == "start":
            self.told["running"] = {section: message["id"]}
            return
        if why == "stop":
            if not self.told.get("partial"):
                self.told["running"] = {}
            return
        if why == "partial" and section == MAIN:
            self.told["runs"].pop(section, None)
        if section == MAIN:
            self.told |= dict.fromkeys(PLACES)
            self.told |= {name: v for name, v in message.items() if name not in NOT_TOLD}
        if message.get("id"):
            self.told["runs"] = {**self.told["runs"], section: message["id"]}
            self.told["running"] = {}


def request(cookie: str = "a" * 32, **query: str) -> Any:
    """Return what Gradio hands on of a browser's request."""
    return SimpleNamespace(
        cookies={"tokenarium_visitor": cookie}, session_hash="s", query_params=query
    )
