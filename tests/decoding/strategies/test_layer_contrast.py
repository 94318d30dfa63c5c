"""Layer contrast by hand, and states between layers against transformers' own."""

import math
from pathlib import Path

import pytest
import torch

from tests.decoding.table import LAYERS, layer_logits, random_table, written
from tests.speculation.conftest import loaded_from
from tokenarium.backend.decoding.strategies.greedy import Greedy
from tokenarium.backend.decoding.strategies.layer_contrast import LayerContrast
from tokenarium.backend.decoding.watching_reader import WatchingReader

V = 8


def by_hand(table: torch.Tensor, rows: list[int], most: int) -> tuple[list[int], list[int]]:
    text, layers = [0, 1], []
    for _ in range(most):
        now = table[text[-2], text[-1]].double()
        p = torch.softmax(now, -1)
        early = [torch.softmax(layer_logits(now)[row], -1) for row in rows]
        far = []
        for q in early:
            m = (p + q) / 2
            far.append(float((p * (p / m).log()).sum() + (q * (q / m).log()).sum()))
        best = max(range(len(rows)), key=far.__getitem__)
        score = (p / early[best]).log().where(p >= 0.1 * p.max(), -math.inf)
        text.append(int(score.argmax()))
        layers.append(rows[best] + 1)
    return text[2:], layers


@pytest.mark.parametrize("seed", range(4))
def test_it_takes_what_grew_since_the_layer_that_is_farthest(seed: int) -> None:
    table = random_table(V, seed, 1.0)
    strategy = LayerContrast()
    assert strategy.candidates(LAYERS) == [2]
    wanted, _ = by_hand(table, [1], 10)
    assert written(strategy, table, most=10).new == wanted
    assert wanted != written(Greedy(), table, most=10).new


def test_the_farthest_of_several_layers_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LayerContrast, "candidates", lambda *_: [1, 2, 3])
    table = random_table(V, 9, 1.0)
    lane = written(LayerContrast(), table, most=20)
    wanted, layers = by_hand(table, [0, 1, 2], 20)
    assert lane.new == wanted
    assert [row[5] for row in lane.journal.rows] == layers
    assert len(set(layers)) > 1


@pytest.mark.parametrize(
    ("layers", "count", "wanted"),
    [
        ("high", 30, [*range(15, 30, 2)]),
        ("low", 30, [*range(2, 15, 2)]),
        ("high", 48, [*range(28, 48, 2)]),
        ("low", 2, [1]),
        ("high", 1, [1]),
    ],
)
def test_candidates_are_every_other_layer_of_a_half(layers: str, count: int, wanted: list) -> None:
    assert LayerContrast(layers=layers).candidates(count) == wanted


def test_states_between_layers_and_attention_are_those_of_one_pass(tmp_path: Path) -> None:
    loaded = loaded_from(tmp_path)
    ids = [3, 9, 4, 11, 7]
    reader = WatchingReader(loaded, 16, watch=("layers", "attention"))
    reader.extend_states(ids[:3])
    prompt = reader.seen
    reader.read_states([11, 5, 7], [-1, -1, 0])
    with torch.inference_mode():
        whole = loaded.model(torch.tensor([ids]), output_hidden_states=True)
    for place, seen in ((2, prompt[2]), (3, reader.seen[0]), (4, reader.seen[2])):
        for layer, states in enumerate(whole.hidden_states[1:-1]):  # the last is normed there
            torch.testing.assert_close(seen.layers[layer], states[0, place], atol=1e-5, rtol=1e-4)
        last = reader.early_logits(seen.layers[-1:], normed=True)[0]
        torch.testing.assert_close(last, whole.logits[0, place], atol=1e-4, rtol=1e-4)
    eager = loaded.model
    own = eager.config._attn_implementation
    eager.set_attn_implementation("eager")
    with torch.inference_mode():
        rows = eager(torch.tensor([ids]), output_attentions=True).attentions[-1][0]
    eager.set_attn_implementation(own)
    for place, seen in ((2, prompt[2]), (3, reader.seen[0]), (4, reader.seen[2])):
        torch.testing.assert_close(
            seen.attention, rows[:, place, : place + 1], atol=1e-5, rtol=1e-4
        )
