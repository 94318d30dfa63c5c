"""The text as it was guessed and checked: marked tokens, a strip of rounds, the tree of one."""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
import orjson

from tokenarium.backend import REASONS, STATUSES, SpeculationResult
from tokenarium.ui.characters import displayed, written
from tokenarium.ui.components.trees import FATES, tree_value
from tokenarium.ui.text import escape, visible

TEMPLATE = """
<div class="tk-marks" aria-label="Where tokens come from">{marks}</div>
<div class="tk-said" role="group" tabindex="0" aria-label="Text; press a token to see its round">
</div>
<div class="tk-rounds-box">
  <div class="tk-rounds-head">
    <h2>Rounds <span class="tk-sub">one pass of the large model each; ← → go from one to the next
    </span></h2><button type="button" class="tk-jump">to the first wrong guess</button></div>
  <div class="tk-rounds" tabindex="0" role="slider" aria-label="Round" aria-valuemin="1"></div>
</div>
<div class="tk-tree-box">
  <div class="tk-tree-head"><h2></h2>
    <label>Judge it by <select class="tk-judge" aria-label="Judge it by"></select></label>
    <span class="tk-zoom"><button type="button" data-zoom="-1" aria-label="Smaller">&minus;</button>
    <button type="button" data-zoom="0">fit</button>
    <button type="button" data-zoom="1" aria-label="Larger">+</button></span>
  </div>
  <p class="tk-outcome" role="status"></p>
  <div class="tk-fates" aria-label="What became of a guess">{fates}</div>
  <div class="tk-tree-row">
    <div class="tk-tree" tabindex="0" role="group"
      aria-label="Tree of guesses; arrow keys go from node to node"></div>
    <aside class="tk-node-card tk-card" tabindex="0" aria-live="polite" aria-label="Chosen node">
    </aside>
  </div>
</div>
"""
MARKS = (
    ("accepted", "guessed and accepted", "The small model guessed it, the large one agreed."),
    ("bonus", "bonus", "Said by the large model after accepted guesses, in the same pass."),
    ("residual_resample", "replacement", "Said by the large model where every guess failed."),
    ("plain", "not guessed", "Nothing was guessed here: one pass, one token."),
)
JS = "window.tokenarium.speculation(element, props, watch, server);"
LEGEND = "".join(
    f'<span class="tk-fate tk-f-{fate}" title="{escape(REASONS[fate])}"><i>{sign}</i>{name}</span>'
    for fate, (sign, name) in FATES.items()
    if fate != "cut"
)


def speculation_value(
    result: SpeculationResult,
    run: str | None,
    titles: dict[str, str],
    number: int | None = None,
) -> str:
    """Return what the browser draws, as JSON.

    As a text, because Gradio 6.31 sends a browser only what has changed since the last value, and
    does so wrongly where a list inside a list has become shorter.

    Args:
        result: of a run, finished or not.
        run: its id, from which the browser asks for other trees; None while it is not stored.
        titles: of rules, by slug.
        number: of the round whose tree is sent; None for the first, or the newest of a run that
            goes on.
    """
    rounds = result.rounds
    if number is None or not 0 <= number < len(rounds):
        number = min(0, len(rounds) - 1) if run else len(rounds) - 1
    places = result.node_columns["round"][result.token_node]
    value = {
        "run": run,
        "prompt": visible_text(written(result.prompt_text)),
        "texts": displayed(result.token_text),
        "marks": [_mark(result, node) for node in result.token_node.tolist()],
        "round_of": places.tolist(),
        "node_of": (result.token_node - rounds["first_node"][places]).tolist(),
        "rounds": [_round(row) for row in rounds],
        "tree": tree_value(result, number, titles) if number >= 0 else None,
        "signs": {fate: sign for fate, (sign, _) in FATES.items()},
        "names": {fate: name for fate, (_, name) in FATES.items()},
        "rule": titles.get(result.rule, result.rule),
    }
    return orjson.dumps(value).decode()


def visible_text(texts: Sequence[str]) -> str:
    """Return tokens as one text in which everything can be seen."""
    return "".join(visible(text) if text.strip() else text.replace("\n", "⏎\n") for text in texts)


def template() -> str:
    """Return the component's HTML with its legends."""
    marks = "".join(
        f'<span class="tk-mark tk-m-{mark}" title="{escape(meaning)}">{name}</span>'
        for mark, name, meaning in MARKS
    )
    return TEMPLATE.format(marks=marks, fates=LEGEND)


def speculation(value: str | None, tree: Callable[[object, object], dict[str, Any]]) -> gr.HTML:
    """Return the component; ``tree`` turns a run id and a round into that round's tree."""

    # The browser's functions take one argument.
    def tree_of(place: dict[str, Any]) -> dict[str, Any]:
        return tree(place.get("run"), place.get("round"))

    return gr.HTML(
        value,
        html_template=template(),
        js_on_load=JS,
        server_functions=[tree_of],
        elem_id="speculation",
        elem_classes="tk-block",
    )


def _mark(result: SpeculationResult, node: int) -> str:
    row = result.node_columns[node]
    status = STATUSES[row["status"]]
    if status == "bonus" and not result.rounds["verified"][row["round"]]:
        return "plain"
    return status


def _round(row: Any) -> dict[str, Any]:
    times = {name: round(float(row[f"{name}_ms"]), 2) for name in ("draft", "verify", "other")}
    counts = ("width", "depth", "drafted", "verified", "accepted_len", "new_tokens", "kv_tokens")
    return {**{name: int(row[name]) for name in counts}, **times}
