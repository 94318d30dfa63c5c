"""The Library page: every stored run, what the store holds, and SQL over the same tables."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import gradio as gr

from tokenarium.backend import UserError, Visitor
from tokenarium.ui.components.plot import plot
from tokenarium.ui.library.asked import Asked
from tokenarium.ui.library.holdings import holdings_html
from tokenarium.ui.library.listing import changed, listed
from tokenarium.ui.library.parts import query_box, run_list
from tokenarium.ui.library.query import Opens, answered, cells, drawn, file_of, usual
from tokenarium.ui.shell.embedding import embedded
from tokenarium.ui.shell.events import EAGER, QUIET
from tokenarium.ui.shell.page import Framed, Page
from tokenarium.ui.shell.saving import sent
from tokenarium.ui.shell.visitor import visitor_of
from tokenarium.ui.why.answer import kept
from tokenarium.ui.why.library import of_contents
from tokenarium.ui.why.number import of_run

Told = dict[str, Any]
AT_ONCE = 4
"""Queries and files that the page works on together, for all visitors."""


class Library(Page):
    """Lists stored runs and answers queries over them."""

    path, title, order = "library", "Library", 10
    numbers = True
    files: ClassVar[Mapping[str, str]] = {
        "runs.csv": "The list, as it is filtered (CSV)",
        "runs.parquet": "The list, as it is filtered (Parquet)",
    }
    parts: ClassVar[Mapping[str, Framed]] = {
        "runs": Framed("The list, as it is filtered", ("library-runs",)),
    }
    intro: ClassVar[str] = "Every stored run: find it, open it, keep it, compare it, count over it."

    def build(self, blocks: gr.Blocks) -> None:
        """Make the list, what is stored, the SQL box and its figure."""
        from tokenarium.ui.pages import every_page  # which imports this page

        hosted = self.lab.settings.hosted
        compare = any(page.path == "compare" for page in every_page())
        runs = run_list(pins=not hosted, compare=compare)
        held = gr.HTML("", elem_id="holdings")
        over = "the examples and your own runs" if hosted else "all stored runs"
        tables = "runs, tokens, head_metrics, tags, methods" + ("" if hosted else ", arrays")
        box = query_box(over, tables)
        figure = plot(None, "query", "Plot", "Columns of the result, as chosen above.")
        arrival = "() => [window.tokenarium.arrival()]"
        blocks.load(self._seen(self._arrive), runs, [runs, held], js=arrival, **EAGER)
        runs.ask(self._seen(self._ask), runs, runs, queue=False, **EAGER)
        # Every change counts, so none gives way to a newer one.
        each = {**QUIET, "trigger_mode": "multiple", "concurrency_limit": None}
        runs.act(self._seen(self._act), runs, [runs, held], queue=False, **each)
        long = {
            **QUIET,
            "trigger_mode": "always_last",
            "concurrency_limit": AT_ONCE,
            "concurrency_id": "sql",
        }
        box.answer(self._seen(self._answer), box, [box, figure], **long)
        box.file(self._seen(self._file), box, box, **long)
        box.draw(self._seen(self._draw), box, [box, figure], queue=False, **EAGER)

    def saved(self, asked: Mapping[str, str], name: str, visitor: Visitor) -> dict[str, str]:
        """Return the runs that the address finds as a table, without their arrays."""
        wanted = Asked.read({"filters": dict(asked)}).wanted
        if name == "runs.csv":
            content = self.lab.search_file("csv", visitor=visitor, **wanted).decode()
            return sent("tokenarium-runs.csv", content)
        content_bytes = self.lab.search_file("parquet", visitor=visitor, **wanted)
        return sent("tokenarium-runs.parquet", content_bytes)

    def _seen(self, handler: Callable[[Told, Visitor], Any]) -> Callable[..., Any]:
        """Return a handler that knows who asks, and reads what a browser sent as a mapping."""

        def handle(told: object, request: gr.Request) -> Any:
            asked = told if isinstance(told, dict) else {}
            asked = {**asked, "framed": embedded(request)}
            return handler(asked, visitor_of(self.lab, request, asked))

        return handle

    def _arrive(self, told: Told, visitor: Visitor) -> tuple[Told, str]:
        asked = Asked.read(told)
        return listed(self.lab, asked, visitor, arrived=True), self._held(visitor)

    def _ask(self, told: Told, visitor: Visitor) -> Told:
        return listed(self.lab, Asked.read(told), visitor)

    def _act(self, told: Told, visitor: Visitor) -> tuple[Told, str]:
        return changed(self.lab, Asked.read(told), visitor), self._held(visitor)

    def _held(self, visitor: Visitor) -> str:
        try:
            held = self.lab.contents(visitor=visitor)
            of = kept(self.lab).put(of_contents(self.lab, held), visitor)
            return of_run(holdings_html(held, self.lab.settings), of)
        except UserError:
            return ""

    def _answer(self, told: Told, visitor: Visitor) -> tuple[Told, str | None]:
        answer: Told = {"shown": "answer", "reply": told.get("reply")}
        chosen = told.get("chosen") if isinstance(told.get("chosen"), dict) else None
        try:
            found = answered(self.lab, str(told.get("sql") or ""), visitor)
            columns = dict(zip(found["names"], found["columns"], strict=True))
            chosen = chosen or usual(found["names"], found["columns"])
            answer |= found | {"chosen": chosen}
        except UserError as error:
            return answer | {"refused": str(error)}, None
        try:
            opens = Opens(self.lab, found["of"], found["names"], visitor)
            return answer, drawn(chosen, columns, opens) if chosen else None
        except UserError:  # what an example draws, of a result without numbers
            return answer, None

    def _draw(self, told: Told, visitor: Visitor) -> tuple[Told, str | None]:
        answer: Told = {"shown": "draw", "reply": told.get("reply")}
        chosen = told.get("chosen")
        try:
            columns = cells(told.get("columns"), self.lab.settings.query_rows)
            opens = Opens(self.lab, told.get("of"), told.get("names"), visitor)
            return answer, drawn(chosen if isinstance(chosen, dict) else {}, columns, opens)
        except UserError as error:
            return answer | {"refused": str(error)}, None

    def _file(self, told: Told, visitor: Visitor) -> Told:
        answer: Told = {"shown": "file", "reply": told.get("reply")}
        try:
            made = file_of(self.lab, str(told.get("sql") or ""), str(told.get("format")), visitor)
            return answer | {"file": made}
        except UserError as error:
            return answer | {"refused": str(error)}
