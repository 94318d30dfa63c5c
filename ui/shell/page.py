"""A page that asks for no run, such as one that lists the runs there are."""

from abc import ABC, abstractmethod
from typing import ClassVar

import gradio as gr

from tokenarium.backend import Lab, ModelRequest


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

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    @abstractmethod
    def build(self, blocks: gr.Blocks) -> None:
        """Make its parts and connect their events.

        What it shows depends on who asks and on the address, so it comes with ``blocks.load``; the
        page itself is sent to everybody alike.

        Args:
            blocks: the application, inside whose route the page is being made.
        """
