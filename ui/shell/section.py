"""What a page declares: what is asked, by which controls, and which panels show the answer."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tokenarium.backend import Lab, ModelRequest, Run
from tokenarium.ui.components.stories import Story
from tokenarium.ui.shell.controls import Controls
from tokenarium.ui.shell.page import Page
from tokenarium.ui.shell.panel import AnyScene, Panel, Values
from tokenarium.ui.shell.selection import Chosen, Selection

MAIN = "run"
"""What names the run of a page itself in the address."""


@dataclass(frozen=True)
class File:
    """A table of a run that can be downloaded."""

    title: str
    text: Callable[[Run], str]


class Section(ABC):
    """Something that can be asked for on a page: its button, cost, progress, Cancel, panels.

    A page is one itself; others, such as a sweep, stand below and share the page's controls.
    """

    slug: ClassVar[str] = MAIN
    """What names its run in the address, and the stem of its parts."""
    title: ClassVar[str]
    intro: ClassVar[str] = ""
    """One or two sentences, shown beside or under the title."""
    go: ClassVar[str] = "Run"
    """What its button says."""
    kinds: ClassVar[tuple[type[ModelRequest], ...]]
    """The requests that it asks, and others whose runs it can show; the first one's runs are
    listed."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """Quantities without which a stored run is no answer: one that an older version made without
    them is computed again."""
    panels: ClassVar[tuple[type[Panel], ...]] = ()
    """Stand under one another, all in sight; a page's controls come after its first one."""
    partial_every_s: ClassVar[float] = 2.0
    """A page that draws more often than this does not hear a click on Cancel in time."""
    first_partial_s: ClassVar[float | None] = None
    """When the first part is drawn, if that is sooner."""
    files: ClassVar[Mapping[str, File]] = {}
    """By name, what can be downloaded beside the whole run."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.shown = [panel(lab) for panel in self.panels]

    def build(self, controls: Controls) -> None:  # noqa: B027 - a section may have none of its own
        """Make its own controls where they stand."""

    def offered_runs(self) -> list[tuple[str, str]]:
        """Return title and ids, as they stand in the address, of the shipped runs to begin with."""
        kinds = [request.kind for request in self.kinds]
        found = [each for kind in kinds for each in self.lab.examples(kind)]
        return [(each.title, each.run_id) for each in found]

    @abstractmethod
    def requests(self, asked: Values) -> Sequence[ModelRequest]:
        """Return what the controls ask for: mostly one request.

        Args:
            asked: what the controls of the page say, by name.

        Raises:
            UserError: naming what is out of range.
        """

    def requests_of(self, asked: Values, visitor: str) -> Sequence[ModelRequest]:  # noqa: ARG002
        """Return ``requests``; one that takes along what the visitor has stored adds it here."""
        return self.requests(asked)

    def filled(self, request: Any) -> Values:  # noqa: ARG002
        """Return the controls as they were when a stored run was asked for, by name."""
        return {}

    def place(self, wanted: Selection, result: Any) -> Chosen:  # noqa: ARG002
        """Return a selection moved inside what a result has."""
        return Chosen(wanted.run)

    def sizes(self, result: Any) -> Values:  # noqa: ARG002
        """Return how many tokens, layers, heads, steps a selection may move within."""
        return {}

    def said(self, scene: AnyScene) -> str:  # noqa: ARG002
        """Return what a run, or a part of it, shows in one sentence, as HTML."""
        return ""

    def card(self, cost: Any, request: Any) -> str:  # noqa: ARG002
        """Return what a run will take, as HTML."""
        return ""

    def doing(self, request: Any) -> str:  # noqa: ARG002
        """Return what stands before the progress of a request, where several are asked."""
        return ""

    def arriving(self, asked: Mapping[str, str], visitor: str) -> ModelRequest | None:  # noqa: ARG002
        """Return what an address asks the page for, beyond stored runs.

        Args:
            asked: the parameters of the address.
            visitor: who comes.

        Raises:
            UserError: naming what is out of range.
        """
        return None

    def point(self, run: Run, number: int) -> ModelRequest | None:  # noqa: ARG002
        """Return what a click on a point asks the page for; None where there is no such point."""
        return None


class RunPage(Section):
    """One page: it declares its request, its controls, its panels, and is otherwise as all are."""

    path: ClassVar[str]
    """Its route; the first page's is empty."""
    order: ClassVar[int]
    """Place among the pages."""
    text_label: ClassVar[str] = "Text"
    text_hint: ClassVar[str] = "Type or paste a text, then press Run."
    model_label: ClassVar[str] = "Model"
    arrows: ClassVar[str] = "token"
    """What the arrow keys move: token, step or round."""
    views: ClassVar[tuple[type[Panel], ...]] = ()
    """Panels in tabs, of which one is open."""
    aside: ClassVar[tuple[type[Panel], ...]] = ()
    """Panels beside the others, where there is room."""
    beside: ClassVar[tuple[type[Section], ...]] = ()
    """Further sections."""
    stories: ClassVar[tuple[Story, ...]] = ()
    """Where a first visit may begin."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self.tabs = {panel.slug: panel(lab) for panel in self.views}
        self.at_side = [panel(lab) for panel in self.aside]
        self.sections: dict[str, Section] = {MAIN: self}
        self.sections |= {section.slug: section(lab) for section in self.beside}

    def options(self, controls: Controls) -> None:
        """Make the controls that few visitors change, where they are folded away."""

    def under_model(self, controls: Controls) -> None:
        """Make the controls that stand with the choice of the model."""

    def with_model(self, model: str, filled: Values) -> Values:  # noqa: ARG002
        """Return what changes of controls that were filled by an example when they name a model.

        Args:
            model: that the page begins with; the example may have been made by another one.
            filled: the controls as the example has them.
        """
        return {"model": model}

    def again(self, wanted: Selection) -> Selection:
        """Return where a new run is opened, from where the last one was."""
        return Selection(view=wanted.view)

    def every_panel(self) -> list[Panel]:
        """Return all panels of the page, those of its other sections too."""
        others = [panel for section in self.sections.values() for panel in section.shown]
        return [*others, *self.at_side, *self.tabs.values()]


def place_of(kind: type[ModelRequest]) -> tuple[str, str] | None:
    """Return the page and the section that show runs of a kind, by path and slug.

    A section that asks for such runs comes before one that can show them as well.
    """
    pages = sorted(RunPage.__subclasses__(), key=lambda page: page.order)
    known = [
        (page.path, section.slug, section.kinds)
        for page in pages
        for section in (page, *page.beside)
    ]
    asked = [(path, slug) for path, slug, kinds in known if kind is kinds[0]]
    shown = [(path, slug) for path, slug, kinds in known if kind in kinds]
    shown += [(page.path, MAIN) for page in Page.__subclasses__() if kind in page.kinds]
    return next(iter(asked + shown), None)
