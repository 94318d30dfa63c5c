"""A page that asks for no run, such as one that lists the runs there are."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import gradio as gr

from tokenarium.backend import Cancelled, Lab, ModelRequest, UserError, Visitor
from tokenarium.ui.why.explain import said_number
from tokenarium.ui.why.number import FIGURE


@dataclass(frozen=True)
class Framed:
    """A part of a page that may stand in a frame of another site."""

    title: str
    ids: tuple[str, ...]
    """Of the elements that it is made of; what stands beside them has the class ``tk-part``."""


class Page(ABC):
    """A route of the application beside those of runs.

    Args:
        lab: whose runs, models and methods it is about.
    """

    path: ClassVar[str]
    """Its route."""
    title: ClassVar[str]
    order: ClassVar[int]
    """Place among all pages; those of runs come first."""
    intro: ClassVar[str]
    """One sentence, over the page."""
    kinds: ClassVar[tuple[type[ModelRequest], ...]] = ()
    """The requests whose runs open at its address, ``?run=ID``."""
    figures: ClassVar[bool] = False
    """Whether it has figures to save, of something that its address names."""
    numbers: ClassVar[bool] = False
    """Whether numbers on it open what they are, each of a run that it names."""
    files: ClassVar[Mapping[str, str]] = {}
    """By name, what ``saved`` gives, in the words of the menu."""
    parts: ClassVar[Mapping[str, Framed]] = {}
    """By name, as in ``?embed=``."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def saved(self, asked: Mapping[str, str], name: str, visitor: Visitor) -> dict[str, str]:
        """Return a file of what an address shows, as the browser takes it.

        Args:
            asked: what stands in the address.
            name: one of ``files``.
            visitor: who asks.

        Raises:
            UserError: if there is nothing to save.
        """
        raise NotImplementedError

    def explained(self, run: object, written: object) -> Mapping[str, str]:
        """Return what opens at a number of the page, or in ``error`` why nothing does."""
        if not (isinstance(run, str) and run.startswith(FIGURE)):
            return said_number(self.lab, run, written)
        from tokenarium.ui.why.named import explained_named  # which imports pages' parts

        try:
            return explained_named(self.lab, run, str(written))
        except (UserError, Cancelled) as error:
            return {"error": str(error)}

    @abstractmethod
    def build(self, blocks: gr.Blocks) -> None:
        """Make its parts and connect their events.

        What it shows depends on who asks and on the address, so it comes with ``blocks.load``; the
        page itself is sent to everybody alike.

        Args:
            blocks: the application, inside whose route the page is being made.
        """
