"""What every panel of a page has in common, and what it is handed to draw."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, Self, TypeVar

import gradio as gr
from plotly.graph_objects import Figure

from tokenarium.backend import Finished, Lab, ModelRequest, Run, TextRequest
from tokenarium.ui.components.form import Group, form, form_value
from tokenarium.ui.components.plot import figure_json, plot
from tokenarium.ui.components.sentence import told
from tokenarium.ui.figures.picture import beginning, credit
from tokenarium.ui.figures.style import caption
from tokenarium.ui.shell.selection import Chosen

Result = TypeVar("Result")
Asked = TypeVar("Asked", bound=ModelRequest)
Values = dict[str, Any]
"""New values of components, by the name of the part."""
Settings = Mapping[str, Any]
"""What controls say, by name; a browser may send anything."""


_SENT = (str, int, float, list, dict)
"""What a browser says of a control."""


class _Read(dict[str, Any]):
    """Settings that know which of them were read."""

    def __init__(self, told: Settings) -> None:
        super().__init__(told)
        self.read: dict[str, None] = {}

    def get(self, name: str, otherwise: Any = None) -> Any:
        self.read[name] = None
        return super().get(name, otherwise)


@dataclass(frozen=True)
class Scene(Generic[Result, Asked]):
    """What a page is about: a run, or what is known of it so far, and what is chosen in it."""

    result: Result
    request: Asked
    chosen: Chosen
    settings: Settings = field(default_factory=dict)
    """What the controls of all panels say, by name."""
    visitor: str = ""
    before: Chosen | None = None
    """What was chosen when the panel was last drawn; None where it was not drawn yet."""
    runs: tuple[Run, ...] = ()
    """The stored runs that are shown; none while the first of them goes on."""
    panel: "Panel | None" = None
    """Which one draws."""
    zoomed: Mapping[str, Any] | None = None
    """The rectangle of a figure that is drawn finer."""

    @property
    def credit(self) -> str:
        """The line under exported pictures."""
        return credit(self.request, self.result, self.chosen.run)

    @property
    def text(self) -> dict[str, Any]:
        """What makes another request be about the same model reading the same text."""
        return {name: getattr(self.request, name) for name in TextRequest.model_fields}

    @property
    def prompt(self) -> str:
        """The beginning of the text, as it stands under exported pictures."""
        return beginning(self.request)

    def drawn(self, figure: Figure | None) -> str | None:
        """Return a figure as the browser reads it, with its caption.

        What it was drawn with comes along (``meta.with``), so that it can be drawn again.
        """
        if figure is None:
            return None
        found = caption(figure, self.credit, self.prompt)
        told = {"settings": self._changed(), "zoom": self.zoomed}
        if more := {name: value for name, value in told.items() if value}:
            found.update_layout(meta={**found.layout.meta, "with": more})
        return figure_json(found)

    def of(self, panel: "Panel", **changes: Any) -> Self:
        """Return it for a panel, which has read no setting yet."""
        return replace(self, panel=panel, settings=_Read(self.settings), **changes)

    def having(self, **told: Any) -> Self:
        """Return it with other settings."""
        return replace(self, settings=_Read({**self.settings, **told}))

    def _changed(self) -> Values:
        """Return the settings that the panel read, but those that its controls begin with."""
        controls = {} if self.panel is None else self.panel.controls
        read = self.settings.read if isinstance(self.settings, _Read) else ()
        begin = {name: ("", getattr(controls.get(name), "value", None)) for name in read}
        told = {name: self.settings.get(name) for name in read}
        return {n: v for n, v in told.items() if isinstance(v, _SENT) and v not in begin[n]}


AnyScene = Scene[Any, Any]
Ask = Callable[[AnyScene], Iterator[Values]]


@dataclass(frozen=True)
class Action:
    """Something of a panel that asks the lab: what starts it, and what answers step by step."""

    triggers: Sequence[Any]
    """Events of components, such as ``button.click``."""
    answer: Ask
    """Yields values of the panel's parts, and of ``status``."""
    fills: bool = False
    """Whether it sets controls of the page as well."""


class Panel(ABC):
    """One way to look at a run. A page declares its panels; each is drawn by itself."""

    slug: ClassVar[str]
    """Name in the address and on the page."""
    title: ClassVar[str] = ""
    """What its tab says, where the page shows it in one."""
    uses: ClassVar[frozenset[str]] = frozenset()
    """The parts of a selection that change what it shows, such as token, layer or step."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.parts: dict[str, Any] = {}
        self.told: dict[str, tuple[str, str]] = {}
        """By the name of a figure, its title and what it shows."""
        self.controls: dict[str, Any] = {}
        self.redraws: list[Any] = []
        self.pickers: list[tuple[Any, str]] = []
        """Choices of a stored run, and of which kind."""
        self._plain: set[str] = set()

    @abstractmethod
    def build(self) -> None:
        """Make the components where the panel stands: fill ``parts`` and ``controls``."""

    @abstractmethod
    def draw(self, scene: AnyScene) -> Values:
        """Return the value of every part; after ``before``, at least of those that changed."""

    def actions(self) -> list[Action]:
        """Return what of this panel asks the lab; called after ``build``."""
        return []

    def zoom(self, scene: AnyScene, asked: dict[str, Any]) -> Values:  # noqa: ARG002
        """Return what a rectangle of a figure changes; most panels have nothing finer."""
        return {}

    def asked(self, scene: AnyScene, request: ModelRequest) -> Generator[Values, None, Run]:
        """Answer a request, saying how far it is; used as ``run = yield from self.asked(...)``.

        Raises:
            UserError: what a person can mend; the page says it.
        """
        for event in self.lab.stream(request, visitor=scene.visitor):
            if isinstance(event, Finished):
                return event.run
            yield {"status": told(event)}
        raise AssertionError("a stream ends with Finished or raises")

    def figure(self, name: str, title: str, explanation: str) -> None:
        """Make a host for a figure and add it to the parts."""
        self.parts[name] = plot(None, name, title, explanation)
        self.told[name] = (title, explanation)

    def figures(self, told: Mapping[str, tuple[str, str]]) -> None:
        """Make hosts for figures, two beside each other, from title and explanation of each."""
        names = list(told)
        for start in range(0, len(names), 2):
            with gr.Row(equal_height=False):
                for name in names[start : start + 2]:
                    with gr.Column(min_width=320):
                        self.figure(name, *told[name])

    def html(self, name: str, value: str = "") -> None:
        """Make a place for HTML and add it to the parts."""
        self.parts[name] = gr.HTML(value, elem_id=name.replace("_", "-"))
        self._plain.add(name)

    def empty(self) -> Values:
        """Return every part as it is where nothing is shown."""
        return {name: "" if name in self._plain else None for name in self.parts}

    def form(self, name: str, groups: Sequence[Group]) -> None:
        """Make a form: what it says comes in ``scene.settings``, to be read with its groups."""
        made = form(form_value(groups), name.replace("_", "-"))
        self.controls[name] = self.parts[name] = made

    def control(self, name: str, component: Any, *, redraws: bool = True) -> None:
        """Add a control: what it says comes in ``scene.settings``.

        Args:
            name: no other panel of the page has a control of this name.
            component: a Gradio component.
            redraws: whether the panel is drawn again when a visitor moves it.
        """
        self.controls[name] = unchecked(component)
        if redraws:
            self.redraws.append(component.input)

    def remembered(self, name: str) -> None:
        """Add a value that the page keeps for the panel, such as the id of a run it asked for."""
        self.control(name, hidden(), redraws=False)
        self.parts[name] = self.controls[name]


def hidden(value: Any = None) -> gr.HTML:
    """Return a component that is not seen: the page keeps a value in it."""
    return gr.HTML(value, html_template="<i hidden></i>", js_on_load=None, elem_classes="tk-hidden")


def unchecked(component: Any) -> Any:
    """Return a component whose value is handed on as a browser sent it.

    Requests and panels check what they are given, in words: a number out of range here must not
    stop every event without any.
    """
    assert isinstance(component, gr.components.Component)
    component.preprocess = _handed_on  # type: ignore[method-assign,assignment]
    return component


def stay_unchecked(inputs: Sequence[Any], state: Any) -> None:
    """Let parts whose values are handed on do so in a session, too.

    A session has a component of its own once an event has changed it, such as the controls that
    follow a run: Gradio makes it anew from its arguments, and it would check again.

    Args:
        inputs: components of a function, as the application has them.
        state: the session's, which has its own by id; None outside of one.
    """
    for component in inputs:
        if state is not None and getattr(component, "preprocess", None) is _handed_on:
            state[component._id].preprocess = _handed_on  # noqa: SLF001 - Gradio names no other


def _handed_on(sent: Any) -> Any:
    return sent


def choice(value: object, allowed: Sequence[str], otherwise: str) -> str:
    """Return what a browser chose, if it may be chosen."""
    return value if isinstance(value, str) and value in allowed else otherwise


def number(value: object, low: float, high: float, otherwise: float) -> float:
    """Return the number a browser sent, moved into [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return otherwise
    return float(min(max(value, low), high))
