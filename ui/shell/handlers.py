"""What a page does when a visitor runs, opens, chooses, cancels: the same on every page."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from urllib.parse import parse_qs

import gradio as gr

from tokenarium.backend import Cancelled, UserError
from tokenarium.ui.components.cost_card import refused_card
from tokenarium.ui.components.sentence import pill, status
from tokenarium.ui.components.turns import NAME
from tokenarium.ui.shell.drawing import BETWEEN, Asker
from tokenarium.ui.shell.following import CANCELLED, Following
from tokenarium.ui.shell.panel import Action, Panel, Values
from tokenarium.ui.shell.saving import saved
from tokenarium.ui.shell.section import MAIN, Section
from tokenarium.ui.shell.selection import PLACES, Selection, number_of
from tokenarium.ui.why.cost import marked_card
from tokenarium.ui.why.drawn import explained_figure
from tokenarium.ui.why.explain import said_number

NOTHING_RUNS = "Nothing is running now."


class Handlers(Following):
    """The handlers of one page; they return values by the name of the part."""

    def first(self) -> Values:
        """Return the parts of the stored example, drawn before any visitor comes."""
        found = self._example(Asker(settings={}), "first")
        return found or {
            "selection": {"shown": True, **self._said_of_page()},
            "model": self.began_with,
        }

    def boot(
        self, query: str, carried: object, asker: Asker, *, computes: bool = True
    ) -> Iterator[Values]:
        """Open what the address names: stored runs, runs that go on, a view, or nothing.

        A run of a kind that is shown elsewhere leads there. An address may also ask for a run that
        is made of another one, unless the page only shows (``computes``).
        """
        asked = {name: values[-1] for name, values in parse_qs(query).items()}
        numbers = {name: number_of(asked[name]) for name in PLACES if name in asked}
        names = {name: asked.get(name) for name in ("run", "view", "policy", "metric")}
        runs = {slug: asked[slug] for slug in self.page.sections if slug in asked}
        wanted = Selection.read({**numbers, **names, "runs": runs})
        found: Values = {}
        if wanted.view in self.page.tabs:
            found["views"] = gr.Tabs(selected=wanted.view)
        if MAIN not in wanted.runs:
            if other := self.instead(self.began_with):
                found["model"] = other
            found |= self._carried(carried)
        asker = replace(asker, told=wanted)
        going = {ticket.id: ticket.request for ticket in self.lab.running(asker.visitor)}
        if moved := self._elsewhere(wanted.runs, going, asker):
            yield {"selection": {"shown": True, "why": "moved", "section": MAIN, "to": moved}}
            return
        later = []
        for slug, ids in wanted.runs.items():
            section = self.page.sections[slug]
            if any(run_id in going for run_id in ids.split(BETWEEN)):
                later.append((section, ids))
            else:
                found = _joined(found, self.open(section, ids, asker, "boot"))
        arrived = {"shown": True, "why": "arrived", "section": MAIN}
        yield _joined({"selection": arrived}, found)
        for section, ids in later:
            yield from self._rejoined(section, ids, going, asker)
        if computes and MAIN not in wanted.runs:
            yield from self._asked_for(asked, asker)

    def _asked_for(self, asked: Mapping[str, str], asker: Asker) -> Iterator[Values]:
        """Answer what an address asks for beyond stored runs."""
        try:
            request = self.page.arriving(asked, asker.visitor)
        except UserError as error:
            yield {"status": status(str(error), "error")}
            return
        if request is not None:
            yield self.page.filled(request)
            yield from self._start(self.page, [request], asker)

    def run(self, section: Section, asked: Values, asker: Asker) -> Iterator[Values]:
        """Answer what the controls ask for, showing what is known so far."""
        try:
            wanted = section.requests_of(asked, asker.visitor)
        except UserError as error:
            yield {self.part(section, "status"): status(str(error), "error")}
            return
        yield from self._start(section, wanted, asker)

    def cancel(self, section: Section, ids: object, asker: Asker) -> Values:
        """Stop what the section runs, and say so."""
        known = ids.split(BETWEEN) if isinstance(ids, str) else []
        said = self.part(section, "status")
        try:
            stopped = [self.lab.cancel(each, visitor=asker.visitor) for each in known]
        except UserError as error:
            return {said: status(str(error), "error")}
        return {said: status(CANCELLED if any(stopped) else NOTHING_RUNS)}

    def point(self, number: object, asker: Asker) -> Iterator[Values]:
        """Open the run behind a point of a figure: stored, or done again where it is not there."""
        if isinstance(number, bool) or not isinstance(number, int):
            return
        main_last = sorted(self.page.sections.items(), key=lambda each: each[0] == MAIN)
        for slug, section in main_last:
            ids = asker.told.runs.get(slug)
            if ids is None:
                continue
            try:
                run = self.lab.open(ids, visitor=asker.visitor)
                request = section.point(run, number)
            except UserError as error:
                yield {self.part(section, "status"): status(str(error), "error")}
                return
            if request is not None:
                yield from self._start(self.page, [request], asker)
                return

    def open(self, section: Section, ids: object, asker: Asker, why: str) -> Values:
        """Show stored runs, the controls as they were when they were asked for."""
        if not isinstance(ids, str) or not ids:
            return {}
        if asker.told.fresh:
            again = self.page.again(asker.told)
            asker = replace(asker, told=replace(again, reply=asker.told.reply))
        try:
            runs = [self.lab.open(each, visitor=asker.visitor) for each in ids.split(BETWEEN)]
            return self._shown(section, runs, asker, why, controls=True)
        except UserError as error:
            return {self.part(section, "status"): status(str(error), "error")}

    def pick(self, asker: Asker) -> Values:
        """Draw what another selection or view changes; other runs are opened whole."""
        found: Values = {}
        told = asker.told
        for slug, section in self.page.sections.items():
            ids = told.runs.get(slug)
            if ids == told.shown.get(slug) or (ids is None and slug in told.running):
                continue
            if ids is not None:
                found = _joined(found, self.open(section, ids, asker, "reply"))
            elif slug == MAIN:
                found = _joined(found, self._example(asker, "reply", controls=True))
            else:
                found |= self._emptied(section)
        if told.runs.get(MAIN) != told.shown.get(MAIN) and MAIN not in told.running:
            return found  # another run: shown whole, or refused in words
        try:
            return found | self._moved(asker)
        except UserError as error:
            return found | {"status": status(str(error), "error")}

    def restyle(self, panel: Panel, asker: Asker) -> Values:
        """Draw a panel again as its controls say."""
        try:
            section = self._section_of(panel)
            return panel.draw(self._scene(section, asker).of(panel))
        except UserError as error:
            return {"status": status(str(error), "error")}

    def zoom(self, asked: object, asker: Asker) -> Values:
        """Draw a rectangle of a figure in finer tiles."""
        view = self._view(asker.told)
        if view is None or asker.told.run is None or not isinstance(asked, dict):
            return {}
        try:
            zoomed = None if asked.get("reset") else asked
            scene = self._scene(self.page, asker).of(view, zoomed=zoomed)
            return view.zoom(scene, asked)
        except UserError as error:
            return {"status": status(str(error), "error")}

    def act(self, panel: Panel, action: Action, asker: Asker) -> Iterator[Values]:
        """Let a panel ask the lab, showing progress."""
        try:
            scene = self._scene(self._section_of(panel), asker)
            yield from action.answer(scene.of(panel))
        except (UserError, Cancelled) as error:
            yield {"status": status(str(error), "error")}

    def cost(self, section: Section, asked: Values, asker: Asker) -> str:
        """Say what a run will take with the controls as they are."""
        try:
            requests = section.requests(asked)
            found = self.lab.estimate(requests[0], visitor=asker.visitor)
            return "" if found is None else marked_card(self.lab, found, requests[0], section.card)
        except UserError as error:
            return refused_card(str(error))

    def state(self, model: object) -> tuple[str, bool]:
        """Return the model's state as HTML and whether it still changes."""
        try:
            info = self.lab.state(str(model))
        except UserError as error:
            return status(str(error), "error"), False
        begin = self.lab.preselected()
        note = begin.note if begin.name == info.name else ""
        return pill(info, note), info.state in ("cold", "fetching", "loading")

    def instead(self, model: object) -> str | None:
        """Return what stands in for the model that the page began with, if it cannot be had."""
        now = self.lab.preselected().name
        return now if model == self.began_with and now != model else None

    def warm(self, model: object) -> tuple[str, bool]:
        """Begin to load a model and return its state."""
        try:
            self.lab.warm(str(model))
        except UserError as error:
            return status(str(error), "error"), False
        return self.state(model)

    def export(self, section: object, ids: object, name: object) -> dict[str, str]:
        """Return a file of what a section shows, or in ``error`` why there is none."""
        try:
            known = self.page.sections.get(str(section))
            files = known.files if known else {}
            return saved(self.lab, files, str(ids).split(BETWEEN), str(name))
        except UserError as error:
            return {"error": str(error)}

    def explain(self, run: object, written: object) -> dict[str, str]:
        """Return what opens at a number of the run in sight, or in ``error`` why nothing does.

        ``written`` is where it came from, or of a number of a figure which one (``why.drawn``).
        """
        if not isinstance(written, dict):
            return said_number(self.lab, run, written)
        try:
            return explained_figure(self.lab, self.page, written)
        except (UserError, Cancelled) as error:
            return {"error": str(error)}

    @staticmethod
    def _carried(carried: object) -> Values:
        """Return model and text that the visitor takes along from another page."""
        told = carried if isinstance(carried, dict) else {}
        found = {name: told.get(name) for name in ("text", "model")}
        found = {name: value for name, value in found.items() if isinstance(value, str) and value}
        turns = told.get(NAME)
        return {**found, NAME: turns} if isinstance(turns, dict) else found


def _joined(one: Values, other: Values) -> Values:
    """Return both; of two messages to the browser neither is lost."""
    if "selection" not in one or "selection" not in other:
        return {**one, **other}
    first, last = dict(one["selection"]), dict(other["selection"])
    before = [*first.pop("also", ()), first, *last.pop("also", ())]
    return {**one, **other, "selection": {**last, "also": before}}
