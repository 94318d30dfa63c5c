"""What the cost card says of an edit is what a run then does."""

from dataclasses import dataclass
from typing import Any

import torch

from tests.editing.test_editing import EDITS, TEXT
from tokenarium.backend.cost.sketch import Sketch
from tokenarium.backend.editing import runner
from tokenarium.backend.editing.estimate import EditEstimate, estimate
from tokenarium.backend.editing.request import EditRequest
from tokenarium.backend.editing.splice import Splicer
from tokenarium.backend.runs.events import CancelToken
from tokenarium.ui.components.edited import edit_card


@dataclass(frozen=True)
class Ran:
    """As much of a stored run as an estimate asks for."""

    result: Any
    duration_ms: float


def told(loaded: Any, request: EditRequest, runs: Any = ()) -> EditEstimate:
    read = Sketch("tiny", loaded.model.config, loaded.tokenizer)
    return estimate(request, read, 2048, torch.device("cpu"), list(runs))


def test_tokens_and_bytes_are_those_of_the_run(twins: Any, monkeypatch: Any) -> None:
    loaded, _ = twins("llama")
    lanes, read = [], []
    plain, make = Splicer.read, runner._lane
    counting = lambda self, ids, *rest: (read.append(len(ids)), plain(self, ids, *rest))[1]  # noqa: E731
    keeping = lambda *given: (lanes.append(make(*given)), lanes[-1])[1]  # noqa: E731
    monkeypatch.setattr(Splicer, "read", counting)
    monkeypatch.setattr(runner, "_lane", keeping)
    request = EditRequest(model="tiny", text=TEXT, edits=EDITS, max_new_tokens=6)
    result = runner.edit_prompt(request, loaded, 2048, lambda _: None, CancelToken())
    cost = told(loaded, request)
    assert len(result.token_ids) == 6
    assert cost.read_tokens == sum(read)
    assert (cost.prompt_tokens, cost.edited_tokens) == (27, len(result.edited_ids))
    assert cost.spliced_tokens == result.computed_tokens[1]
    held = [
        sum(own.nbytes for layer in lane.cache.layers for own in (layer.keys, layer.values))
        for lane in lanes
    ]
    assert cost.cache_bytes == held[0] == held[1]
    before = held[3] - held[0] + cost.cache_bytes  # with what is written
    assert cost.held_bytes == sum(held) + before * 27 // (27 + 5)
    assert cost.total_ms is None
    timed = told(loaded, request, [Ran(result, 300.0)])
    assert timed.total_ms == 300.0
    shown = edit_card(timed)
    assert "5 tokens where the cache is spliced, 25 where it is read anew" in shown
    assert "about 0.3 s" in shown
    assert "no prompt was edited" in edit_card(cost)
