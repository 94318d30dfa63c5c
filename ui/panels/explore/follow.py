"""Follow a token: where it looks, and which later tokens look at it, through the chosen head."""

from collections.abc import Iterator
from typing import ClassVar

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from tokenarium.backend import Cancelled, FollowRequest, FollowResult, Run, UserError
from tokenarium.ui.characters import named
from tokenarium.ui.components.sentence import status
from tokenarium.ui.components.table import Cell, Column, Link, Number, table, table_html
from tokenarium.ui.figures.follow import followed
from tokenarium.ui.panels.explore.scene import TraceScene
from tokenarium.ui.shell.panel import Action, Panel, Values
from tokenarium.ui.text import escape, one_line
from tokenarium.ui.why.number import of_run, source

KEPT_TOKENS = 4096
"""Queries and keys of texts up to this long are kept, so that following a token is immediate."""
ROWS = 8
COLUMNS = (
    Column("it looks at", "The tokens that get most of its attention. Press one to follow it."),
    Column("attention", "Weight of the chosen token on that one."),
    Column("looks at it", "The later tokens that give it most. Press one to follow it."),
    Column("attention", "Weight of that token on the chosen one."),
)


class Follow(Panel):
    """One row and one column of the map of the chosen head, to the single token."""

    slug, title = "follow", "Follow a token"
    uses: ClassVar[frozenset[str]] = frozenset({"token", "layer", "head"})

    def build(self) -> None:
        """Make the line, the table, and a button for texts that must be read again."""
        self.parts["follow_said"] = gr.HTML("", elem_id="follow-said")
        self.go = gr.Button(
            "Read the text again to follow this token",
            visible=False,
            size="sm",
            elem_id="follow-again",
        )
        self.parts["follow_go"] = self.go
        self.figure(
            "follow",
            "Where it looks, and who looks at it",
            "Attention of the chosen token to earlier ones, and of later ones to it.",
        )
        self.parts["follow_table"] = table(None, "follow")

    def actions(self) -> list[Action]:
        """Return the button."""
        return [Action([self.go.click], self.read_again)]

    def read_again(self, scene: TraceScene) -> Iterator[Values]:
        """Follow the chosen token of a long text, or with a model that is not loaded."""
        run = yield from self.asked(scene, self._request(scene))
        yield {"status": "", **_shown(scene, run)}

    def draw(self, scene: TraceScene) -> Values:
        """Follow at once where that takes no reading; else offer to read."""
        try:
            if scene.chosen.run is None:
                return _nothing("The run is not finished.", False)
            at_hand = self.lab.state(scene.request.model).state in ("ready", "loading")
            if not at_hand or scene.result.length > KEPT_TOKENS:
                return _nothing("The model must read the text again to follow a token.", True)
            run = self.lab.run(self._request(scene), visitor=scene.visitor)
        except (UserError, Cancelled) as error:
            return {**_nothing("", True), "follow_said": status(str(error), "error")}
        return _shown(scene, run)

    def _request(self, scene: TraceScene) -> FollowRequest:
        now = scene.chosen
        return self.lab.request(
            FollowRequest, **scene.text, layer=now.layer, head=now.head, token=now.token
        )


def _nothing(why: str, button: bool) -> Values:
    said = f'<p class="tk-sub">{escape(why)}</p>'
    return {
        "follow_said": said,
        "follow_go": gr.Button(visible=button),
        "follow": None,
        "follow_table": "",
    }


def _shown(scene: TraceScene, run: Run) -> Values:
    found, now = run.result, scene.chosen
    assert isinstance(found, FollowResult)
    text = escape(one_line(named(scene.result.token_text)[now.token]).strip())
    figure = followed(scene.result, found, now.token, now.layer, now.head)
    return {
        "follow_said": f'<p class="tk-sentence">Token {now.token} <b>“{text}”</b> in layer '
        f"{now.layer}, head {now.head}.</p>",
        "follow_go": gr.Button(visible=False),
        "follow": scene.drawn(figure),
        "follow_table": of_run(_table(scene, found), run.id),
    }


def _table(scene: TraceScene, found: FollowResult) -> str:
    left, right = (_strongest(scene, found, name) for name in ("looks_at", "looked_at_by"))
    rows = [[*one, *other] for one, other in zip(left, right, strict=True) if one[1] or other[1]]
    return table_html(COLUMNS, rows, f"The {ROWS} strongest links each way", "No links.")


def _strongest(scene: TraceScene, found: FollowResult, name: str) -> list[list[Cell]]:
    values: NDArray[np.float32] = getattr(found, name)
    order = np.argsort(-np.nan_to_num(values, nan=-1.0), kind="stable")[:ROWS].tolist()
    known = [t for t in order if np.isfinite(values[t]) and t != scene.chosen.token]
    rows: list[list[Cell]] = [
        [
            Link(f"{t} {one_line(named(scene.result.token_text)[t])}", {"token": t}),
            Number(f"{values[t]:.3f}", source(name, t)),
        ]
        for t in known
    ]
    return rows + [["", ""]] * (ROWS - len(rows))
