"""What every view of a run has in common, and what it is handed to draw."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import gradio as gr
from plotly.graph_objects import Figure

from tokenarium.backend import (
    Finished,
    Lab,
    ModelRequest,
    Run,
    TextRequest,
    TraceRequest,
    TraceResult,
)
from tokenarium.ui.components.plot import figure_json, plot
from tokenarium.ui.components.selection import Chosen
from tokenarium.ui.components.sentence import told
from tokenarium.ui.figures.style import caption

Values = dict[str, Any]
"""New values of components, by the name of the part."""
Settings = Mapping[str, Any]
"""What controls say, by name; a browser may send anything."""


@dataclass(frozen=True)
class Scene:
    """What the page is about: a run, or what is known of it so far, and what is chosen in it."""

    result: TraceResult
    request: TraceRequest
    chosen: Chosen
    settings: Settings = field(default_factory=dict)
    """What the controls of all views say, by name."""
    visitor: str = ""
    before: Chosen | None = None
    """What was chosen when the open view was last drawn; None where it was not drawn yet."""

    @property
    def credit(self) -> str:
        """The line under exported pictures."""
        run = f"run {self.chosen.run}" if self.chosen.run else "partial run"
        asked = self.request
        return (
            f"Tokenarium · {asked.model} · {self.result.length} tokens · seed {asked.seed} · {run}"
        )

    @property
    def text(self) -> dict[str, Any]:
        """What makes another request be about the same model reading the same text."""
        return {name: getattr(self.request, name) for name in TextRequest.model_fields}

    def drawn(self, figure: Figure | None) -> str | None:
        """Return a figure as the browser reads it, with its caption."""
        return None if figure is None else figure_json(caption(figure, self.credit))


Ask = Callable[[Scene], Iterator[Values]]


@dataclass(frozen=True)
class Action:
    """Something of a view that asks the lab: what starts it, and what answers step by step."""

    triggers: Sequence[Any]
    """Events of components, such as ``button.click``."""
    answer: Ask
    """Yields values of the view's parts, and of ``status``."""


class View(ABC):
    """One way to look at a run; a module of this package that defines one adds it to the page."""

    slug: ClassVar[str]
    """Name in the address."""
    title: ClassVar[str]
    """What its tab says."""
    order: ClassVar[int]
    """Place among the tabs."""
    uses: ClassVar[frozenset[str]]
    """The parts of a selection that change what it shows: token, query, layer, head."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.parts: dict[str, Any] = {}
        self.controls: dict[str, Any] = {}
        self.redraws: list[Any] = []

    @abstractmethod
    def build(self, first: Values) -> None:
        """Make the components inside the current tab: fill ``parts`` and ``controls``.

        Args:
            first: the values of the parts for the run that the page opens with, if drawn.
        """

    @abstractmethod
    def draw(self, scene: Scene) -> Values:
        """Return the value of every part; after ``before``, at least of those that changed."""

    def actions(self) -> list[Action]:
        """Return what of this view asks the lab; called after ``build``."""
        return []

    def asked(self, scene: Scene, request: ModelRequest) -> Generator[Values, None, Run]:
        """Answer a request, telling how far it is; used as ``run = yield from self.asked(...)``.

        Raises:
            UserError: what a person can mend; the page says it.
        """
        for event in self.lab.stream(request, visitor=scene.visitor):
            if isinstance(event, Finished):
                return event.run
            yield {"status": told(event)}
        raise AssertionError("a stream ends with Finished or raises")

    def figure(self, name: str, title: str, explanation: str, first: Values) -> None:
        """Make a host for a figure and add it to the parts."""
        self.parts[name] = plot(first.get(name), name, title, explanation)

    def control(self, name: str, component: Any, *, redraws: bool = True) -> None:
        """Add a control: what it says comes in ``scene.settings``.

        Args:
            name: no other view has a control of this name.
            component: a Gradio component.
            redraws: whether the view is drawn again when a visitor moves it.
        """
        assert isinstance(component, gr.components.Component)
        if not isinstance(component, gr.State):
            # Views check what they are told: a number out of range here must not stop every click.
            component.preprocess = lambda sent: sent  # type: ignore[method-assign,assignment]
        self.controls[name] = component
        if redraws:
            self.redraws.append(component.input)  # type: ignore[attr-defined]


def choice(value: object, allowed: Sequence[str], otherwise: str) -> str:
    """Return what a browser chose, if it may be chosen."""
    return value if isinstance(value, str) and value in allowed else otherwise


def number(value: object, low: float, high: float, otherwise: float) -> float:
    """Return the number a browser sent, moved into [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return otherwise
    return float(min(max(value, low), high))
