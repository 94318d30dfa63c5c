"""Interventions: change one thing, read the text again, see what it does."""

from collections.abc import Iterator
from typing import ClassVar

import gradio as gr
import numpy as np

from tokenarium.backend import (
    Intervention,
    InterventionRequest,
    InterventionResult,
    Run,
    UserError,
)
from tokenarium.ui.characters import named
from tokenarium.ui.components.form import Group, form_value, read_form
from tokenarium.ui.components.sentence import status
from tokenarium.ui.figures.intervention import (
    divergence,
    entropy_change,
    sink_change,
    surprisal_change,
)
from tokenarium.ui.panels.explore.scene import TraceScene
from tokenarium.ui.shell.events import EAGER
from tokenarium.ui.shell.panel import Action, Panel, Values, choice
from tokenarium.ui.text import escape, one_line
from tokenarium.ui.why.number import number, of_run, source
from tokenarium.ui.why.said import notes

SINK = 0.3
"""Share of a head's attention from which it is said to have a sink."""
CHOSEN = ("layer", "head")
"""Parameters that are taken from the selection: the head that the whole page is about."""


class Intervene(Panel):
    """Run the text with one thing changed beside the text as it is."""

    slug, title = "intervene", "Intervene"
    uses: ClassVar[frozenset[str]] = frozenset()

    def build(self) -> None:
        """Make the choice of a method, its parameters, and what the change did."""
        methods = {method.slug: method for method in self.lab.methods(Intervention)}
        names = [(method.title, slug) for slug, method in methods.items()]
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=280):
                self.method = gr.Dropdown(
                    names, value=names[0][1], label="Change", elem_id="intervention"
                )
                self.control("intervention", self.method, redraws=False)
                self.go = gr.Button(
                    "Read again with the change", variant="primary", size="sm", elem_id="intervene"
                )
            with gr.Column(scale=5, min_width=320):
                self.form("intervention_form", self._groups(names[0][1]))
        self.method.change(
            lambda slug: form_value(self._groups(slug)),
            self.method,
            self.parts["intervention_form"],
            **EAGER,
        )
        self.remembered("intervention_run")
        self.parts["intervene_said"] = gr.HTML("", elem_id="intervene-said")
        self.figure(
            "surprisal_change",
            "What it does to every prediction",
            "Surprisal of each token as it is, and with the change.",
        )
        self.figure(
            "entropy_change",
            "What it does to the model's doubt",
            "Entropy of the prediction after each token, as it is and with the change.",
        )
        with gr.Row(equal_height=False):
            with gr.Column(min_width=320):
                self.figure(
                    "divergence",
                    "Where it matters",
                    "How far the prediction after each token moves.",
                )
            with gr.Column(min_width=320):
                self.figure(
                    "sink_change",
                    "What it does to the sinks",
                    "Sink score of every head with the change, less that without.",
                )

    def actions(self) -> list[Action]:
        """Return the button that reads the text again."""
        return [Action([self.go.click], self.intervene)]

    def intervene(self, scene: TraceScene) -> Iterator[Values]:
        """Read the text plainly and changed, and show the difference."""
        (group,) = self._groups(scene.settings.get("intervention"))
        told = read_form([group], scene.settings.get("intervention_form"))[group.slug]
        of_page = {n: getattr(scene.chosen, n) for n in CHOSEN if n in group.declared.model_fields}
        request = self.lab.request(
            InterventionRequest,
            **scene.text,
            intervention=group.slug,
            parameters=told | of_page,
        )
        run = yield from self.asked(scene, request)
        changed = scene.having(intervention_run=run.id)
        yield {"status": "", "intervention_run": run.id, **_shown(changed, run)}

    def draw(self, scene: TraceScene) -> Values:
        """Return the last change, if it is one of this text."""
        run_id = scene.settings.get("intervention_run")
        if not isinstance(run_id, str):
            return _nothing()
        try:
            run = self.lab.open(run_id, visitor=scene.visitor)
        except UserError as error:
            return {**_nothing(), "status": status(str(error), "error")}
        same = isinstance(run.request, InterventionRequest) and all(
            getattr(run.request, name) == value for name, value in scene.text.items()
        )
        return _shown(scene, run) if same else _nothing()

    def _groups(self, slug: object) -> list[Group]:
        methods = {method.slug: method for method in self.lab.methods(Intervention)}
        method = methods[choice(slug, tuple(methods), next(iter(methods)))]
        text = f"{method.explanation} {method.paper}"
        if method.differs != "no":
            text += f" Variant: {method.differs}."
        if set(CHOSEN) <= method.model_fields.keys():
            text += " It acts on the head that is chosen on this page."
        return [Group(method.slug, method, _free(method), method.title, method.acts, text)]


def _free(method: type[Intervention]) -> list[str]:
    return [name for name in method.model_fields if name not in CHOSEN]


def _nothing() -> Values:
    said = '<p class="tk-sub">Choose a change and press the button: the text is read twice.</p>'
    figures = ("surprisal_change", "entropy_change", "divergence", "sink_change")
    return {"intervene_said": said, **dict.fromkeys(figures)}


def _shown(scene: TraceScene, run: Run) -> Values:
    result = run.result
    assert isinstance(result, InterventionResult)
    texts = named(result.token_text)
    return {
        "intervene_said": _said(result, run),
        "surprisal_change": scene.drawn(
            surprisal_change(
                result.surprisal_nats, result.changed_surprisal_nats, result.aligned, texts
            )
        ),
        "entropy_change": scene.drawn(
            entropy_change(result.entropy_nats, result.changed_entropy_nats, result.aligned, texts)
        ),
        "divergence": scene.drawn(divergence(result.kl_nats, result.aligned, texts)),
        "sink_change": scene.drawn(sink_change(result.sink_score, result.changed_sink_score)),
    }


def _said(result: InterventionResult, run: Run) -> str:
    change, error = result.loss_difference_nats, result.loss_error_nats
    clear = abs(change) > 2 * error if error == error else False
    verdict = ("worse" if change > 0 else "better") if clear else "the same within chance"

    def of(value: float, name: str, form: str = "d", *index: int) -> str:
        return number(format(value, form), source(name, *index))

    before, after = (
        of(int((scores > SINK).sum()), name)
        for scores, name in (
            (result.sink_score, "sinks_before"),
            (result.changed_sink_score, "sinks_after"),
        )
    )
    assert isinstance(run.request, InterventionRequest)
    error_said = of(error, "loss_error_nats", ".3f") if error == error else f"{error}"
    said = (
        f'<p class="tk-sentence"><b>{escape(run.request.method.title)}</b>: the loss over '
        f"{of(result.compared_tokens, 'compared_tokens')} tokens goes from "
        f"{of(result.loss_nats, 'loss_nats', '.3f')} to "
        f"{of(result.changed_loss_nats, 'changed_loss_nats', '.3f')} nats "
        f"({of(change, 'loss_difference_nats', '+.3f')} ± {error_said}): predictions are "
        f"<b>{verdict}</b>.{_doubt(result)} Heads that give the first token over {SINK:.0%} "
        f"of their attention: {before} before, <b>{after}</b> after.{_most_moved(result)}</p>"
        f'<p class="tk-sub">{of(int(result.touched.sum()), "touched_heads")} of '
        f"{of(result.touched.size, 'all_heads')} heads were "
        f"changed ({escape(result.acts)}); it saves neither memory nor time. ± is one standard "
        f"error over tokens of this one text. {notes(result)}</p>"
    )
    return of_run(said, run.id)


def _doubt(result: InterventionResult) -> str:
    """Say how the mean entropy moves, over the tokens that both runs have."""
    both = result.aligned >= 0
    before, after = result.entropy_nats[result.aligned[both]], result.changed_entropy_nats[both]
    if not len(before):
        return ""
    first = number(f"{before.mean():.3f}", source("doubt_before"))
    second = number(f"{after.mean():.3f}", source("doubt_after"))
    return f" The mean entropy goes from {first} to {second} nats."


def _most_moved(result: InterventionResult) -> str:
    if not np.isfinite(result.kl_nats).any():
        return ""
    t = int(np.nanargmax(result.kl_nats))
    text = escape(one_line(named(result.changed_text)[t]).strip())
    moved = number(f"{result.kl_nats[t]:.2f} nats", source("kl_nats", t))
    return f" The prediction moves most after <b>“{text}”</b> ({moved})."
