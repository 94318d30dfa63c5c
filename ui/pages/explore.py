"""The Explore page: one text, read once, seen token by token, head by head, layer by layer."""

from typing import Any, ClassVar

from tokenarium.backend import ModelRequest, TraceRequest, TraceResult
from tokenarium.ui.components.cost_card import trace_card
from tokenarium.ui.components.form import Group
from tokenarium.ui.components.run_csv import tokens_csv
from tokenarium.ui.components.sentence import sentence
from tokenarium.ui.components.stories import Story
from tokenarium.ui.components.turns import given, shown_again
from tokenarium.ui.panels.explore.attention import Attention
from tokenarium.ui.panels.explore.compare import Compare
from tokenarium.ui.panels.explore.follow import Follow
from tokenarium.ui.panels.explore.heads import Heads
from tokenarium.ui.panels.explore.heartbeat import Heartbeat
from tokenarium.ui.panels.explore.heavy import Heavy
from tokenarium.ui.panels.explore.intervene import Intervene
from tokenarium.ui.panels.explore.judge import Judge
from tokenarium.ui.panels.explore.predictions import Predictions
from tokenarium.ui.panels.explore.scene import TraceScene
from tokenarium.ui.panels.explore.share import Share
from tokenarium.ui.panels.explore.sinks import Sinks
from tokenarium.ui.panels.explore.strip import TokenCard, TokenStrip
from tokenarium.ui.shell.controls import Controls
from tokenarium.ui.shell.panel import Values
from tokenarium.ui.shell.section import File, RunPage
from tokenarium.ui.shell.selection import Chosen, Selection

OPTIONS = (
    "add_bos",
    "overflow",
    "dtype",
    "top_k",
    "tiles",
    "sink_threshold",
    "forgetting",
)
FORM = Group("options", TraceRequest, OPTIONS)
STORIES = (
    Story(
        "See the sink",
        "one token that most heads look at",
        "./?run=example-first-token&token=0&view=sinks",
    ),
    Story(
        "Watch forgetting break it",
        "drop that token, and the text goes wrong",
        "cache?run=example-what-is-kept&policy=recent&step=1",
    ),
    Story(
        "Race a guesser",
        "several tokens for the price of one",
        "speculate?run=example-said-before&round=0&race=example-said-before.example-half-a-model",
    ),
)


class Explore(RunPage):
    """Reads a text and shows it in ten views."""

    path, title, order = "", "Explore", 1
    kinds = (TraceRequest,)
    panels = (TokenStrip,)
    views = (
        Attention,
        Follow,
        Predictions,
        Sinks,
        Heavy,
        Heartbeat,
        Heads,
        Intervene,
        Judge,
        Compare,
    )
    aside = (Share, TokenCard)
    stories = STORIES
    partial_every_s: ClassVar[float] = 3.0
    files: ClassVar[dict[str, File]] = {"tokens.csv": File("Table of tokens (CSV)", tokens_csv)}

    def options(self, controls: Controls) -> None:
        """Make the parameters of a trace."""
        controls.form("options", lambda _: [FORM])

    def requests(self, asked: Values) -> list[ModelRequest]:
        """Return one trace."""
        told = asked["options"][FORM.slug]
        return [
            self.lab.request(
                TraceRequest, model=asked["model"], **given(asked["text"], asked["turns"]), **told
            )
        ]

    def filled(self, request: Any) -> Values:
        """Return model, text and options."""
        options = {name: getattr(request, name) for name in OPTIONS}
        return {"model": request.model, **shown_again(request), "options": {FORM.slug: options}}

    def place(self, wanted: Selection, result: TraceResult) -> Chosen:
        """Return the selection; where no head is chosen, the strongest sink is."""
        return wanted.within(result)

    def sizes(self, result: TraceResult) -> Values:
        """Return how many tokens, layers and heads there are."""
        return {"tokens": result.length, "layers": result.layers, "heads": result.heads}

    def said(self, scene: TraceScene) -> str:
        """Return the headline."""
        return sentence(scene.result, scene.request.model, partial=scene.chosen.run is None)

    def card(self, cost: Any, request: Any) -> str:  # noqa: ARG002
        """Return words, tokens, passes, memory and time."""
        return trace_card(cost)
