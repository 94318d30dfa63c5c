"""Where everything stands on a page; the same on every page."""

import os
import re
from collections.abc import Mapping
from typing import Any

import gradio as gr

from tokenarium.backend import Lab
from tokenarium.ui.components.actions import Saved, actions
from tokenarium.ui.components.change import CHANGE, change
from tokenarium.ui.components.stories import stories
from tokenarium.ui.components.turns import NAME, turns_editor
from tokenarium.ui.shell.controls import Controls
from tokenarium.ui.shell.handlers import Handlers
from tokenarium.ui.shell.lesson_panel import lesson_panel
from tokenarium.ui.shell.panel import Panel, Values, hidden
from tokenarium.ui.shell.saving import offered
from tokenarium.ui.shell.section import MAIN, RunPage, Section
from tokenarium.ui.shell.selection import selection
from tokenarium.ui.shell.stored import run_picker
from tokenarium.ui.text import escape

_SPACE = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
BEGINS = "tk-begins"
"""Class of a button that begins something which takes a while: the browser says so on it."""


class Layout:
    """Build a page inside the current ``gr.Blocks``."""

    def __init__(self, page: RunPage, lab: Lab) -> None:
        self.page, self.lab = page, lab
        self.handlers = Handlers(page, lab)
        self.controls = Controls()
        self.parts: dict[str, Any] = {"selection": selection(None)}
        self.buttons: dict[str, tuple[gr.Button, gr.Button]] = {}
        self.settings: dict[str, Any] = {}
        self._actions()
        lesson_panel(page, lab)
        self._found(page)
        for section in list(page.sections.values())[1:]:
            gr.HTML(f'<h2 id="{section.slug}-section">{escape(section.title)}</h2>')
            self._introduction(section)
            self._links(section)
            section.build(self.controls)
            self._html(section, "cost")
            self.buttons[section.slug] = self._run_and_cancel(section, "sm")
            self._found(section)
        self._refuse_twice(self.settings, self.controls.parts, "control")
        self._add(self.controls.parts, "control")
        self._add(self.controls.notes, "note")
        self._fill(self.handlers.first())

    def _introduction(self, section: Section) -> None:
        if section.intro:
            gr.HTML(f'<p class="tk-sub">{escape(section.intro)}</p>')

    def _links(self, section: Section) -> None:
        links = [
            f'<a href="?{section.slug}={escape(ids)}">{escape(title)}</a>'
            for title, ids in section.offered_runs()
        ]
        if links:
            gr.HTML(f'<p class="tk-sub">Stored already: {" · ".join(links)}</p>')

    def _run_bar(self) -> None:
        """Make one line with text, model and Run, and what *Change* opens under it."""
        page, controls, lab = self.page, self.controls, self.lab
        with gr.Column(elem_classes="tk-runbar"):
            with gr.Row(elem_classes="tk-runline"):
                with gr.Column(scale=5, min_width=220, elem_classes="tk-reads"):
                    controls.add(NAME, turns_editor())
                    text = gr.Textbox(
                        label=page.text_label,
                        lines=3,
                        max_lines=6,
                        placeholder=page.text_hint,
                        elem_id="text",
                    )
                    controls.add("text", text)
                with gr.Column(scale=2, min_width=200):
                    names = [info.name for info in lab.models()]
                    model = gr.Dropdown(
                        names,
                        value=lab.preselected().name,
                        label=page.model_label,
                        allow_custom_value=True,
                        info="From the list, a folder, a .gguf file, or a Hugging Face id.",
                        elem_id="model",
                    )
                    controls.add("model", model)
                with gr.Column(scale=1, min_width=240, elem_classes="tk-go"):
                    self.buttons[MAIN] = self._run_and_cancel(page, "md", change())
            self._html(page, "status")
            if note := _mode_note(lab):
                gr.HTML(f'<p class="tk-sub">{escape(note)}{own_space()}</p>')
            with gr.Column(elem_id=CHANGE):
                self.pill = gr.HTML("", elem_id="pill")
                self._chips()
                page.under_model(controls)
                page.build(controls)
                with gr.Accordion("Options and stored runs", open=False):
                    page.options(controls)
                    kind = page.kinds[0].kind
                    self.library = run_picker(lab, kind, "Open a stored run", "stored")
                self._html(page, "cost")

    def _chips(self) -> None:
        found = self.lab.examples(self.page.kinds[0].kind)
        self.chips = []
        if len(found) > 1:
            with gr.Row(elem_classes="tk-chips"):
                self.chips = [
                    (gr.Button(example.title, size="sm", variant="secondary"), example.run_id)
                    for example in found
                ]

    def _run_and_cancel(
        self, section: Section, size: Any, *more: Any
    ) -> tuple[gr.Button, gr.Button]:
        with gr.Row(elem_classes=[] if section is self.page else "tk-begin"):
            made = (
                gr.Button(
                    section.go,
                    variant="primary",
                    size=size,
                    elem_id=_id(section, "run"),
                    elem_classes=BEGINS,
                ),
                gr.Button("Cancel", size=size, elem_id=_id(section, "cancel")),
            )
            for component in more:
                component.render()
        return made

    def _found(self, section: Section) -> None:
        """Make the places for sentence, panels and status.

        What a run shows comes first; the controls of a page stand under its first panel.
        """
        main = section is self.page
        names = ("sentence",) if main else ("status", "sentence")
        for name in names:
            self._html(section, name)
        if main and self.page.stories:
            stories(self.page.stories)
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=320):
                for number, panel in enumerate(section.shown):
                    self._panel(panel)
                    if main and not number:
                        self._run_bar()
                if main and self.page.tabs:
                    with gr.Tabs(elem_id="views") as views:
                        self.tabs = [self._tab(panel) for panel in self.page.tabs.values()]
                    self._add({"views": views}, "part")
                self._html(section, "facts")
            if main and self.page.at_side:
                with gr.Column(scale=1, min_width=300):
                    for panel in self.page.at_side:
                        self._panel(panel)
        for name in ("drawn", "running"):
            self._add({self._named(section, name): hidden()}, "part")

    def _tab(self, panel: Panel) -> gr.Tab:
        tab: gr.Tab
        with gr.Tab(panel.title, id=panel.slug, elem_id=f"view-{panel.slug}") as tab:
            self._panel(panel)
        return tab

    def _panel(self, panel: Panel) -> None:
        panel.build()
        self._refuse_twice(self.settings, panel.controls, f"control of panel {panel.slug!r}")
        self._add(panel.parts, f"part of panel {panel.slug!r}")
        self.settings |= panel.controls

    def _add(self, parts: Mapping[str, Any], what: str) -> None:
        self._refuse_twice(self.parts, parts, what)
        self.parts |= parts

    def _refuse_twice(self, known: Mapping[str, Any], new: Mapping[str, Any], what: str) -> None:
        """Refuse a name that the page has already: what is said to one would go to the other."""
        if twice := sorted(known.keys() & new.keys()):
            raise ValueError(
                f"page {self.page.title!r} has a {what} named {', '.join(map(repr, twice))}, and "
                "another part or control of that name: give one of them another name"
            )

    def _actions(self) -> None:
        files = {
            slug: Saved("This run" if slug == MAIN else section.title, offered(section))
            for slug, section in self.page.sections.items()
        }
        actions(self.handlers.export, self.handlers.explain, files, self.page.arrows)

    def _html(self, section: Section, name: str) -> None:
        """Make a place for HTML and add it to the parts."""
        made = gr.HTML("", elem_id=_id(section, name))
        self._add({self._named(section, name): made}, "part")

    def _named(self, section: Section, name: str) -> str:
        return self.handlers.part(section, name)

    def _fill(self, first: Values) -> None:
        """Give the components the values that the page opens with."""
        for name, value in self._filled(first).items():
            component = self.parts[name]
            changes = value if _is_update(value) else {"value": value}
            for key, found in changes.items():
                if key != "__type__":
                    setattr(component, key, found)

    def _filled(self, found: Values) -> Values:
        forms = self.controls.forms.keys() & found.keys()
        return self.controls.filled(found) if forms else found


def _is_update(value: object) -> bool:
    return isinstance(value, dict) and value.get("__type__") == "update"


def _id(section: Section, name: str) -> str:
    return name if section.slug == MAIN else f"{section.slug}-{name}"


def own_space() -> str:
    """Return a link by which a visitor of a Space gets a copy of it; empty elsewhere.

    The copy belongs to the visitor's account, who chooses its hardware and disk.
    """
    space = os.environ.get("SPACE_ID", "")
    if not _SPACE.fullmatch(space):
        return ""
    address = f"https://huggingface.co/spaces/{space}?duplicate=true"
    return f' <a href="{address}">Duplicate this Space</a>'


def _mode_note(lab: Lab) -> str:
    settings = lab.settings
    if not settings.hosted:
        return lab.storage_note
    return (
        f"Public demo: texts up to {settings.token_limit:,} tokens and "
        f"{settings.hosted_max_seconds:.0f} s; your runs are listed to you only, open to whoever "
        f"has their link, and deleted after {settings.hosted_keep_hours:.0f} h. {lab.storage_note}"
    )
