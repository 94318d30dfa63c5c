"""Heavy hitters: which tokens the attention piles up on, how few they are, whether they stay."""

from typing import ClassVar

import gradio as gr

from tokenarium.backend import (
    CLASSES,
    TraceResult,
    accumulated_chance,
    accumulated_mass,
    chosen_mean,
    heaviest,
    mass_by_class,
    times_noise,
    token_classes,
)
from tokenarium.ui.characters import named
from tokenarium.ui.components.choice import Choice
from tokenarium.ui.components.table import (
    Cell,
    Column,
    Link,
    Number,
    Numbers,
    table,
    table_html,
)
from tokenarium.ui.figures.classes import class_bars
from tokenarium.ui.figures.heavy import accumulated, coverage_curves, coverage_grid, persistence
from tokenarium.ui.figures.overlap import overlap_of_heads, overlap_of_layers
from tokenarium.ui.panels.explore.scene import TraceScene
from tokenarium.ui.shell.panel import Panel, Values, choice, number
from tokenarium.ui.text import one_line
from tokenarium.ui.why.answer import opening
from tokenarium.ui.why.number import source
from tokenarium.ui.why.views import of_heavy

SCOPES = {"head": "the chosen head", "layer": "its layer", "all": "all heads"}
ROWS = 12
COLUMNS = (
    Column("token", "Press one to choose it."),
    Column("class", "First, special, punctuation, function word, content word or rare."),
    Column("accumulated", "Attention received, summed over all queries."),
    Column("times chance", "Over what uniform attention gives the same position."),
)


class Heavy(Panel):
    """Accumulated attention against chance, coverage, persistence, classes and overlap."""

    slug, title = "heavy", "Heavy hitters"
    uses: ClassVar[frozenset[str]] = frozenset({"layer", "head"})

    def build(self) -> None:
        """Make the controls and the figures."""
        with gr.Row():
            self.control(
                "heavy_scope",
                gr.Radio(
                    [(title, name) for name, title in SCOPES.items()],
                    value="all",
                    label="Heaviest tokens and classes of",
                    elem_id="heavy-scope",
                ),
            )
            self.control(
                "heavy_factor",
                Choice(
                    ["1"],
                    value="1",
                    label="Forgetting factor",
                    info="1 forgets nothing; below, a query k tokens back counts factor^k (A2SF).",
                    elem_id="heavy-factor",
                ),
            )
            self.control(
                "heavy_share",
                gr.Slider(
                    1,
                    50,
                    value=20,
                    step=1,
                    label="Heavy means the heaviest (% of tokens)",
                    info="H2O keeps 20 %.",
                    elem_id="heavy-share",
                ),
            )
        self.parts["heavy_factor"] = self.controls["heavy_factor"]
        self._figures()

    def _figures(self) -> None:
        self.figure(
            "accumulated",
            "Where attention piles up",
            "Attention accumulated by every token, and what a token of its age would get if "
            "attention were uniform: old tokens collect more even by chance. Log scale.",
        )
        pairs = {
            "coverage": ("How few hold how much", "Share of the mass that the heaviest hold."),
            "classes": ("Which kinds of token", "Mass in multiples of uniform attention."),
            "coverage_grid": (
                "Tokens that hold 90 % of the mass",
                "Share of tokens, for every head. Click one to choose it.",
            ),
            "persistence": (
                "Do heavy tokens stay heavy?",
                "Share of tokens pivotal in a run of queries that were so in the run before.",
            ),
            "overlap_heads": (
                "Do heads agree?",
                "Overlap of the heaviest tokens between the heads of the chosen layer.",
            ),
            "overlap_layers": ("Do layers agree?", "The same between layers."),
        }
        names = list(pairs)
        for left, right in zip(names[::2], names[1::2], strict=True):
            with gr.Row(equal_height=False):
                for name in (left, right):
                    with gr.Column(min_width=320):
                        self.figure(name, *pairs[name])
        self.parts["heavy_table"] = table("", "heavy")

    def draw(self, scene: TraceScene) -> Values:
        """Return every part; another head changes what is of a head or of a layer."""
        result, layer, head = scene.result, scene.chosen.layer, scene.chosen.head
        factor, share = _factor(scene), number(scene.settings.get("heavy_share"), 1, 50, 20) / 100
        count = max(1, round(share * result.length))
        place = _place(scene)
        mass = chosen_mean(accumulated_mass(result, factor), *place)
        noise = accumulated_chance(result, factor, place[0])
        classes = mass_by_class(mass, noise, token_classes(result))
        found: Values = {
            "accumulated": scene.drawn(accumulated(result, layer, head, factor)),
            "coverage": scene.drawn(coverage_curves(result, layer, head, factor)),
            "classes": scene.drawn(class_bars(classes)),
            "persistence": scene.drawn(persistence(result, layer, head)),
            "overlap_heads": scene.drawn(overlap_of_heads(result, layer, count, factor)),
            "heavy_table": self._table(scene, factor, count),
        }
        if scene.before is None:
            found |= {
                "coverage_grid": scene.drawn(coverage_grid(result, 0.9, factor)),
                "overlap_layers": scene.drawn(overlap_of_layers(result, count, factor)),
                "heavy_factor": _factors(result, factor),
            }
        return found

    def _table(self, scene: TraceScene, factor: float, count: int) -> str:
        run = scene.runs[0] if scene.runs else None
        of = None if run is None else of_heavy(self.lab, run, factor, *_place(scene))
        return opening(self.lab, _table(scene, factor, count), of)


def _factor(scene: TraceScene) -> float:
    """Return the factor that was chosen, if this trace measured it."""
    known = {f"{factor:g}": factor for factor in scene.result.forgetting}
    return known.get(str(scene.settings.get("heavy_factor")), 1.0)


def _factors(result: TraceResult, chosen: float) -> gr.Dropdown:
    names = [f"{factor:g}" for factor in sorted({1.0, *result.forgetting}, reverse=True)]
    return gr.Dropdown(names, value=f"{chosen:g}")


def _place(scene: TraceScene) -> tuple[int | None, int | None]:
    scope = choice(scene.settings.get("heavy_scope"), tuple(SCOPES), "all")
    layer = None if scope == "all" else scene.chosen.layer
    return layer, scene.chosen.head if scope == "head" else None


def _table(scene: TraceScene, factor: float, count: int) -> str:
    result, place = scene.result, _place(scene)
    mass = chosen_mean(accumulated_mass(result, factor), *place)
    chance = times_noise(mass, accumulated_chance(result, factor, place[0]))
    classes = token_classes(result)
    shown = heaviest(mass[None], min(count, ROWS))[0].nonzero()[0]
    rows: list[list[Cell]] = [
        [
            Link(f"{t} {one_line(named(result.token_text)[t])}", {"token": t}),
            CLASSES[classes[t]],
            Number(f"{mass[t]:.3g}", source("mass", t)),
            Numbers((Number(f"{chance[t]:.2f}", source("times", t)), " x")),
        ]
        for t in sorted(shown.tolist(), key=lambda t: -mass[t])
    ]
    scope = SCOPES[choice(scene.settings.get("heavy_scope"), tuple(SCOPES), "all")]
    return table_html(COLUMNS, rows, f"The {len(rows)} heaviest tokens of {scope}", "Nothing yet.")
