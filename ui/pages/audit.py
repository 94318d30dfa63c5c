"""The Audit page: a text of another engine judged by a model, and its figures by one measure."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qs

import gradio as gr

from tokenarium.backend import AuditRequest, ImportRequest, UserError, Visitor
from tokenarium.ui.audits.answer import Shown, answered, opened, taken
from tokenarium.ui.audits.examples import IMPORTS, audits
from tokenarium.ui.audits.form import NAMES, audit_request
from tokenarium.ui.audits.parts import FIGURES, Parts
from tokenarium.ui.components.sentence import status
from tokenarium.ui.shell.embedding import ONLY_SHOWN, embedded
from tokenarium.ui.shell.events import EAGER, QUIET
from tokenarium.ui.shell.page import Framed, Page
from tokenarium.ui.shell.saving import WHOLE, saved
from tokenarium.ui.shell.visitor import visitor_of

ADDRESS = """id => { if (!id) return; window.tokenarium.state.run = id;
const url = window.tokenarium.address();
for (const name of ['of', 'example']) url.searchParams.delete(name);
history.replaceState(null, '', url); }"""


class Audit(Page):
    """Judges a text that somebody else generated, and reads what their engine reports."""

    path, title, order = "audit", "Audit", 7
    figures = numbers = True
    files = WHOLE
    parts: ClassVar[Mapping[str, Framed]] = {
        "sentence": Framed("Verdict", ("audit-said",)),
        "text": Framed("Text with its tokens marked", ("audit-text",)),
        **{name: Framed(title, (f"plot-audit-{name}",)) for name, (title, _) in FIGURES.items()},
        "checks": Framed("Checks", ("audit-checks",)),
        "import": Framed("What another engine reports", ("import-said", "import-rounds")),
        "lengths": Framed("Acceptance lengths", ("import-lengths",)),
        "by_place": Framed("Acceptance by place", ("plot-import-by-place",)),
        "import_checks": Framed("Checks of the report", ("import-checks",)),
    }
    kinds = (AuditRequest, ImportRequest)
    intro = (
        "A text, or figures of drafting, from another engine: can the model named have written "
        "it, and what do the figures say?"
    )

    def build(self, blocks: gr.Blocks) -> None:
        """Make both halves of the page and connect them."""
        made = Parts(self.lab, [reader.slug for reader in self.lab.methods("format")])
        every, controls = list(made.parts.values()), [made.parts[name] for name in NAMES]
        each = {**QUIET, "concurrency_limit": None, "queue": True}
        asking = gr.on(
            [made.go.click],
            self._yielding(made, self._audit),
            controls,
            every,
            **each,
        )
        reading = made.read.click(
            self._yielding(made, self._import),
            [made.parts["log"], made.format],
            every,
            **each,
        )
        for done in (asking, reading):
            done.then(None, made.parts["shown"], None, js=ADDRESS, **QUIET)
        made.cancel.click(self._cancel, made.parts["running"], made.parts["audit_status"],
                          queue=False, **EAGER)  # fmt: skip
        for button, values in zip(made.examples, audits(self.lab).values(), strict=True):
            filled = [made.parts[name] for name in values]
            button.click(lambda v=values: [*v.values()], None, filled, queue=False, **EAGER)
        for button, text in zip(made.import_examples, IMPORTS.values(), strict=True):
            button.click(lambda t=text: t, None, made.parts["log"], queue=False, **EAGER)
        made.file.file(lambda sent: str(sent or ""), made.file, made.parts["log"], queue=False,
                       **EAGER)  # fmt: skip
        where = "() => [window.location.search]"
        opened = blocks.load(self._opening(made), made.where, every, js=where, **EAGER)
        opened.then(None, made.parts["shown"], None, js=ADDRESS, **QUIET)
        opened.then(None, js="() => window.tokenarium.pressed.arrived()", **QUIET)

    def saved(self, asked: Mapping[str, str], name: str, visitor: Visitor) -> dict[str, str]:  # noqa: ARG002
        """Return a file of the audit or import that the address names."""
        if not (run_id := asked.get("run")):
            raise UserError("nothing is shown yet: audit or import something first")
        return saved(self.lab, {}, [run_id], name)

    def _audit(self, visitor: str, *values: Any) -> Iterator[Shown]:
        try:
            request = audit_request(self.lab, dict(zip(NAMES, values, strict=True)))
        except UserError as error:
            yield {"audit_status": status(str(error), "error")}
            return
        yield from answered(self.lab, request, visitor, "audit_status")

    def _import(self, visitor: str, content: Any, read_as: Any) -> Iterator[Shown]:
        try:
            request = self.lab.request(ImportRequest, content=content or "", format=read_as)
        except UserError as error:
            yield {"import_status": status(str(error), "error")}
            return
        yield from answered(self.lab, request, visitor, "import_status")

    def _yielding(
        self, made: Parts, ask: Callable[..., Iterator[Shown]]
    ) -> Callable[..., Iterator[list[Any]]]:
        """Return a handler whose answers are a value for every part of the page."""

        # Gradio hands the request over in its place among the parameters.
        def handle(request: gr.Request, *values: Any) -> Iterator[list[Any]]:
            if embedded(request):
                yield made.values({"audit_status": status(ONLY_SHOWN, "error")})
                return
            for found in ask(visitor_of(self.lab, request), *values):
                yield made.values(found)

        return handle

    def _opening(self, made: Parts) -> Callable[..., list[Any]]:
        def load(where: str, request: gr.Request) -> list[Any]:
            asked = parse_qs(str(where or "").removeprefix("?"))
            visitor, found = visitor_of(self.lab, request), dict[str, Any]()
            if "example" in asked:
                found = next(iter(audits(self.lab).values()))  # one word of it is wrong
            for name, opening in (("of", taken), ("run", opened)):
                if named := asked.get(name, [""])[-1]:
                    found = opening(self.lab, named, visitor)
            return made.values(found)

        return load

    def _cancel(self, run_id: str, request: gr.Request) -> str:
        if embedded(request):
            return status(ONLY_SHOWN, "error")
        try:
            stopped = run_id and self.lab.cancel(run_id, visitor=visitor_of(self.lab, request))
        except UserError as error:
            return status(str(error), "error")
        return status("Cancelled." if stopped else "Nothing is running now.")
