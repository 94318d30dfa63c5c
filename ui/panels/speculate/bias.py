"""Which rule is right for which drafter: how far each is from the target's distribution."""

import gradio as gr

from tokenarium.backend import Drafter, biases
from tokenarium.ui.components.speculate_tables import bias_table
from tokenarium.ui.shell.events import EAGER
from tokenarium.ui.shell.panel import AnyScene, Panel, Values
from tokenarium.ui.why.answer import opening
from tokenarium.ui.why.biases import of_biases


class Bias(Panel):
    """A table that is computed when it is opened; no run changes it."""

    slug = "bias"

    def build(self) -> None:
        """Make the place that is folded away."""
        with gr.Accordion("Which rule is right for which drafter: exact bias", open=False) as show:
            shown = gr.HTML("", elem_id="bias")
        show.expand(self.biases, None, shown, **EAGER)

    def draw(self, scene: AnyScene) -> Values:  # noqa: ARG002
        """Return nothing: it is about no run."""
        return {}

    def biases(self) -> str:
        """Return how far each rule is off, for every way to draw."""
        table = bias_table(biases(), self.lab.methods(Drafter))
        return opening(self.lab, table, of_biases())
