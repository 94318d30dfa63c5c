"""Judge: published measures of this text, each beside what chance would give."""

from collections.abc import Iterator
from typing import ClassVar

import gradio as gr

from tokenarium.backend import JudgeRequest, JudgeResult, Measure, Run, UserError
from tokenarium.ui.characters import named
from tokenarium.ui.components.form import Group, form_value, read_form
from tokenarium.ui.components.judged import PREFIX, judged_patch
from tokenarium.ui.components.judged_table import (
    judged_definitions,
    judged_sentence,
    judged_table,
)
from tokenarium.ui.components.sentence import status
from tokenarium.ui.components.table import table
from tokenarium.ui.figures.judging import judged_line, reliability
from tokenarium.ui.panels.explore.scene import TraceScene
from tokenarium.ui.shell.events import EAGER
from tokenarium.ui.shell.panel import Action, Panel, Values

USUAL: tuple[str, ...] = JudgeRequest.model_fields["measures"].default


class Judge(Panel):
    """Scores of the text with interval and null; the strip takes their colours."""

    slug, title = "judge", "Judge"
    uses: ClassVar[frozenset[str]] = frozenset({"metric"})

    def build(self) -> None:
        """Make the choice of measures, their parameters, and what they say."""
        methods = self.lab.methods(Measure)
        self.chosen = gr.Dropdown(
            [(method.title, method.slug) for method in methods],
            value=list(USUAL),
            multiselect=True,
            label="Measures",
            elem_id="judge-measures",
        )
        self.control("judge_measures", self.chosen, redraws=False)
        with gr.Accordion("Parameters of the measures", open=False):
            self.form("judge_form", [])
        self.go = gr.Button("Judge this text", variant="primary", size="sm", elem_id="judge")
        self.chosen.change(
            lambda slugs: form_value(self._groups(slugs)),
            self.chosen,
            self.parts["judge_form"],
            **EAGER,
        )
        self.remembered("judge_run")
        self.html("judge_said")
        self.parts["judge_table"] = table(None, "judge-scores")
        self.figure("judged", "Along the text", "What the chosen measure says of every token.")
        self.figure(
            "reliability",
            "Is it right as often as it is sure?",
            "Bins of equal numbers of tokens; below the diagonal the model is surer than right.",
        )
        self.html("judge_definitions")

    def actions(self) -> list[Action]:
        """Return the button that judges the text."""
        return [Action([self.go.click], self.judge)]

    def judge(self, scene: TraceScene) -> Iterator[Values]:
        """Judge the text, and let the strip take its colours."""
        groups = self._groups(scene.settings.get("judge_measures"))
        told = read_form(groups, scene.settings.get("judge_form"))
        request = self.lab.request(
            JudgeRequest,
            **scene.text,
            measures=[{"slug": g.slug, "parameters": told.get(g.slug, {})} for g in groups],
        )
        run = yield from self.asked(scene, request)
        result = run.result
        assert isinstance(result, JudgeResult)
        same = len(result.token_ids) == scene.result.length
        strip = {"strip": judged_patch(result, run.id)} if same else {}
        judged = scene.having(judge_run=run.id)
        yield {"status": "", "judge_run": run.id, **_shown(judged, run), **strip}

    def draw(self, scene: TraceScene) -> Values:
        """Return the last judgement, if it is one of this text."""
        empty = _nothing()
        if not (scene.settings.get("judge_form") or {}).get("groups"):
            chosen = scene.settings.get("judge_measures")
            empty["judge_form"] = form_value(self._groups(chosen))
        run_id = scene.settings.get("judge_run")
        if not isinstance(run_id, str):
            return empty
        try:
            run = self.lab.open(run_id, visitor=scene.visitor)
        except UserError as error:
            return {**empty, "status": status(str(error), "error")}
        same = isinstance(run.request, JudgeRequest) and all(
            getattr(run.request, name) == value for name, value in scene.text.items()
        )
        return _shown(scene, run) if same else empty

    def _groups(self, slugs: object) -> list[Group]:
        methods = {method.slug: method for method in self.lab.methods(Measure)}
        told = slugs if isinstance(slugs, list) else USUAL
        return [
            Group(slug, method, list(method.model_fields), method.title, "", method.explanation)
            for slug, method in methods.items()
            if slug in told
        ]


def _nothing() -> Values:
    said = (
        '<p class="tk-sub">Choose measures and press the button: the text is read once more, and '
        "each score stands beside what chance gives.</p>"
    )
    return {
        "judge_said": said,
        "judge_table": "",
        "judged": None,
        "reliability": None,
        "judge_definitions": "",
    }


def _shown(scene: TraceScene, run: Run) -> Values:
    result = run.result
    assert isinstance(result, JudgeResult)
    metric = (scene.chosen.metric or "").removeprefix(PREFIX)
    slug = metric if metric in result.measures else result.measures[0]
    return {
        "judge_said": judged_sentence(result, run.id),
        "judge_table": judged_table(result, run.id),
        "judged": scene.drawn(judged_line(result, slug, named(result.token_text))),
        "reliability": scene.drawn(drawn) if (drawn := reliability(result)) else None,
        "judge_definitions": judged_definitions(result, run.id),
    }
