"""The components of the Audit page, by name."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from tokenarium.backend import Lab, Sampling
from tokenarium.ui.audits.examples import IMPORTS, audits
from tokenarium.ui.audits.form import FORMATS
from tokenarium.ui.components.plot import plot
from tokenarium.ui.shell.panel import hidden, unchecked

FILE = """<label class="tk-import-file">Read a file <input type="file"></label>"""
FILE_JS = """window.tokenarium.chosenFile(element, props, event => trigger(event));
// 'file'
"""
FIGURES = {
    "gaps": ("Behind the likeliest", "0 where the token given is the model's first choice."),
    "ranks": ("Ranks of drawn tokens", "Spread evenly where tokens were drawn as stated."),
    "powers": ("Power of the test", "How surely another temperature would have been found."),
}


class Parts:
    """Both halves of the page, made inside the current ``gr.Blocks``.

    Args:
        lab: whose models are offered.
        formats: slugs of what can be read.
    """

    def __init__(self, lab: Lab, formats: Sequence[str]) -> None:
        self.parts: dict[str, Any] = {}
        for name in ("running", "shown"):
            self.parts[name] = hidden()
        self.where = hidden()
        gr.HTML("<h2>Can this model have written this text?</h2>")
        self.examples = self._chips(audits(lab))
        self._audit_controls(lab)
        self._html("audit_status", "audit_said", "audit_text")
        with gr.Row(elem_classes="tk-figures"):
            for name, said in FIGURES.items():
                with gr.Column(min_width=320):
                    self.parts[name] = plot(None, f"audit-{name}", *said)
        self._html("audit_checks")
        gr.HTML("<h2>What does another engine report?</h2>")
        self.import_examples = self._chips(IMPORTS)
        self._import_controls(formats)
        self._html("import_status", "import_said", "import_rounds", "import_lengths")
        self.parts["by_place"] = plot(
            None,
            "import-by-place",
            "Acceptance by place",
            "How often the first, second, and later drafted tokens were accepted.",
        )
        self._html("import_checks")

    def values(self, found: dict[str, Any]) -> list[Any]:
        """Return a value for every part, in order; what is not named stays as it is."""
        return [found[name] if name in found else gr.skip() for name in self.parts]

    def _audit_controls(self, lab: Lab) -> None:
        with gr.Row():
            self._add("prompt", gr.Textbox(
                "", label="Prompt", lines=4, max_lines=8, elem_id="audit-prompt",
                min_width=260,
                placeholder="What was continued.",
            ))  # fmt: skip
            self._add("continuation", gr.Textbox(
                "", label="Generated text", lines=4, max_lines=8, elem_id="audit-continuation",
                min_width=260,
                placeholder="What the other engine wrote after it, its first space included.",
            ))  # fmt: skip
        with gr.Accordion("Token ids and log probabilities: they say more than text", open=False):
            for name, label in (("token_ids", "Token ids"), ("logprobs", "Log probabilities")):
                box = gr.Textbox("", label=label, lines=2, max_lines=6, elem_id=f"audit-{name}")
                self._add(name, box)
        with gr.Row():
            names = [info.name for info in lab.models()]
            self._add("model", gr.Dropdown(
                names, value=lab.preselected().name, label="Model said to have written it",
                allow_custom_value=True, elem_id="audit-model", min_width=260,
            ))  # fmt: skip
            self._add("temperature", gr.Slider(
                0, 5, 0, step=0.05, label="Temperature", info="0 took the likeliest token.",
                elem_id="audit-temperature", min_width=260,
            ))  # fmt: skip
            self._add("generated_in", gr.Dropdown(
                list(FORMATS), value=FORMATS[0], label="Number format it was generated in",
                elem_id="audit-format", min_width=260,
            ))  # fmt: skip
        with gr.Accordion("Other sampling settings", open=False), gr.Row():
            self._add("dtype", gr.Dropdown(list(FORMATS[1:]), value=FORMATS[1], label="Read in"))
            for name in ("top_k", "top_p", "min_p", "repetition_penalty"):
                field = Sampling.model_fields[name]
                said = field.description
                self._add(name, gr.Number(field.default, label=name, info=said, min_width=160))
            self._add("chat_template", gr.Checkbox(
                value=False, label="Wrap the prompt by the model's chat template",
            ))  # fmt: skip
        with gr.Row():
            slim: dict[str, Any] = {"scale": 0, "min_width": 140}
            self.go = gr.Button("Audit", variant="primary", elem_id="audit-go", **slim)
            self.cancel = gr.Button("Cancel", elem_id="audit-cancel", **slim)

    def _import_controls(self, formats: Sequence[str]) -> None:
        self._add("log", gr.Textbox(
            "", label="A response, a log, or JSON lines", lines=5, max_lines=12,
            elem_id="import-log",
            placeholder="vLLM or SGLang response, llama.cpp log, one JSON object a line.",
        ))  # fmt: skip
        with gr.Row():
            self.file = gr.HTML(None, html_template=FILE, js_on_load=FILE_JS,
                                elem_id="import-file")  # fmt: skip
            self.format = unchecked(
                gr.Dropdown(["auto", *formats], value="auto", label="Format", min_width=160)
            )
            self.read = gr.Button(
                "Read", variant="primary", elem_id="import-read", scale=0, min_width=140
            )

    def _chips(self, offered: dict[str, Any]) -> list[gr.Button]:
        with gr.Row(elem_classes="tk-chips tk-examples"):
            return [gr.Button(title, size="sm", variant="secondary") for title in offered]

    def _add(self, name: str, component: Any) -> None:
        self.parts[name] = unchecked(component)

    def _html(self, *names: str) -> None:
        for name in names:
            self.parts[name] = gr.HTML("", elem_id=name.replace("_", "-"))
