"""A heartbeat against transformers' eager attention and loops over the definition."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.utils._python_dispatch import TorchDispatchMode

from tokenarium.backend.heartbeat import runner
from tokenarium.backend.heartbeat.pulse import Pulse, causal_pairs
from tokenarium.backend.heartbeat.request import HeartbeatRequest
from tokenarium.backend.heartbeat.result import HeartbeatResult
from tokenarium.backend.heartbeat.runner import heartbeat
from tokenarium.backend.observe.attention import _active
from tokenarium.backend.observe.kept_attention import KEPT
from tokenarium.backend.runs.events import Cancelled, CancelToken, Progress
from tokenarium.kernels.attention_stats import Axis

LENGTH = 70


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    """Rows come in several blocks, the last one short, and no run helps another."""
    monkeypatch.setattr(runner, "BLOCK", 16)
    KEPT.clear()


def run(loaded: Any, text: str, emit: Any = None, cancel: Any = None, **values: Any) -> Any:
    chosen = {"layer": 1, "head": 3, "bins": 16, "add_bos": False} | values
    request = HeartbeatRequest(model="tiny", text=text, **chosen)
    return heartbeat(request, loaded, 2048, emit or (lambda _: None), cancel or CancelToken())


def expected(active: np.ndarray, bins: int) -> dict[str, Any]:
    """Follow one key at a time; ``active`` [T, T]."""
    length = len(active)
    side = min(length, bins)
    cell = np.arange(length) * side // length
    causal = np.tri(length, dtype=bool)
    raster = np.full((side, side), np.nan)
    for row, column in np.ndindex(side, side):
        pairs = causal & (cell[:, None] == row) & (cell == column)
        if pairs.any():
            raster[row, column] = active[pairs].mean()
    last, gap = np.full(length, -1), np.zeros(length, int)
    for j in range(length):
        before = j
        for i in range(j, length):
            if active[i, j]:
                gap[j] = max(gap[j], i - before)
                before = last[j] = i
    return {
        "raster": raster,
        "activations": active.sum(0),
        "last_activation": last,
        "longest_gap": gap,
        "next_expected": np.where(gap > 0, last + gap, -1),
        "active_share": active[causal].mean(),
    }


def check(result: HeartbeatResult, active: np.ndarray, bins: int) -> None:
    for name, value in expected(active, bins).items():
        np.testing.assert_allclose(getattr(result, name), value, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"threshold": 2.5, "bins": 512},
        {"threshold": 0.02, "measured_in": "weight", "bins": 7},
        {"threshold": 1e-4, "measured_in": "weight"},
        {"layer": 0, "head": 0, "bins": 1},
    ],
)
@pytest.mark.parametrize("family", ["llama", "mistral", "gpt_oss"])
def test_heartbeat_equals_the_thresholded_matrix(twins, letters, family, asked):
    loaded, oracle = twins(family)
    result = run(loaded, letters(LENGTH), **asked)
    ids = torch.tensor([loaded.tokenizer(letters(LENGTH), add_special_tokens=False)["input_ids"]])
    with torch.inference_mode():
        attentions = oracle(ids, output_attentions=True).attentions
    weights = attentions[asked.get("layer", 1)][0, asked.get("head", 3)].numpy()
    least = np.full((LENGTH, 1), asked.get("threshold", 1.0))
    if "measured_in" not in asked:
        window = LENGTH
        if family != "llama" and (family == "mistral" or asked.get("layer", 1) == 0):
            window = 16
        least = least / np.minimum(np.arange(1, LENGTH + 1), window)[:, None]
    clear = np.abs(weights / least - 1) > 1e-5
    clear[0, 0] = True  # the only key of the first query has exactly an even share
    assert (clear | (weights == 0)).all(), "the oracle's own rounding decides a pair"
    check(result, np.tril(weights >= least), asked.get("bins", 16))


def test_pulse_by_hand():
    active = torch.tensor(
        [[1, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [1, 0, 0, 0, 0], [1, 0, 0, 1, 0]]
    ).bool()
    pulse = Pulse(Axis(0, 5, 5), torch.device("cpu"))
    for start in (0, 2, 4):
        pulse.add(start, active[start : start + 2, : start + 2])
    # Key 0 is active at 0, 3, 4; key 1 at 2, one after its own position; key 3 at 4.
    assert pulse.count.tolist() == [3, 1, 0, 1, 0]
    assert pulse.last.tolist() == [4, 2, -1, 4, -1]
    assert pulse.gap.tolist() == [3, 1, 0, 1, 0]
    assert pulse.cells.tolist() == active.double().tolist()


@pytest.mark.parametrize(("length", "bins"), [(1, 1), (5, 5), (23, 7), (64, 16), (9, 1)])
def test_causal_pairs_are_counted(length, bins):
    edges = Axis(0, length, bins).edges
    causal = np.tri(length, dtype=int)
    wanted = [[causal[a:b, c:d].sum() for c, d in pairwise(edges)] for a, b in pairwise(edges)]
    assert causal_pairs(edges).tolist() == wanted


def test_even_attention_is_active_everywhere_at_an_even_share(twins):
    """One letter again and again, without positions to tell the copies apart."""
    loaded, _ = twins("llama")
    frequencies = loaded.model.model.rotary_emb.inv_freq
    kept = frequencies.clone()
    try:
        frequencies.zero_()
        result = run(loaded, "A" * LENGTH)
    finally:
        frequencies.copy_(kept)
        KEPT.clear()
    assert result.active_share == 1
    assert (result.longest_gap[:-1] == 1).all()


def test_heartbeat_of_one_token(twins):
    loaded, _ = twins("llama")
    result = run(loaded, "A")
    assert result.raster.tolist() == [[1]]
    assert (result.activations.tolist(), result.longest_gap.tolist()) == ([1], [0])
    assert result.next_expected.tolist() == [-1]


class _Largest(TorchDispatchMode):
    """Notes the most numbers that one tensor held."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.numbers = max(self.numbers, out.numel())
        return out


def test_the_matrix_is_never_held(twins, letters, monkeypatch):
    monkeypatch.setattr(runner, "BLOCK", 128)
    loaded, _ = twins("llama")
    with _Largest() as largest:
        run(loaded, letters(2000), bins=512)
    assert 0 < largest.numbers <= 2000 * 129 + 512**2


def test_second_look_needs_no_pass_and_is_the_same(twins, letters):
    loaded, _ = twins("llama")
    first = run(loaded, letters(LENGTH))
    ran: list[int] = []
    hook = loaded.layers[0].register_forward_pre_hook(lambda *_: ran.append(0))
    again = run(loaded, letters(LENGTH))
    hook.remove()
    assert not ran
    assert (first.source, again.source) == (
        "the model read the text again",
        "kept queries and keys",
    )
    for name, array in first.arrays().items():
        np.testing.assert_array_equal(array, again.arrays()[name], err_msg=name)


def test_heartbeat_stops_at_its_layer(twins, letters):
    loaded, _ = twins("llama")
    ran: list[int] = []
    hooks = [
        layer.register_forward_pre_hook(lambda *_, number=number: ran.append(number))
        for number, layer in enumerate(loaded.layers)
    ]
    events: list[Any] = []
    run(loaded, letters(LENGTH), events.append)
    for hook in hooks:
        hook.remove()
    assert ran == [0, 1]
    assert {event.doing for event in events if isinstance(event, Progress)} == {
        "reading layers", "following tokens",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "message"),
    [({"layer": 3}, r"layer=3 .*choose 0 to 2"), ({"head": 4}, r"head=4 .*choose 0 to 3")],
)
def test_a_head_that_is_not_there_is_refused(twins, letters, values, message):
    loaded, _ = twins("llama")
    with pytest.raises(ValueError, match=message):
        run(loaded, letters(9), **values)
    assert _active.get() is None


@pytest.mark.parametrize(
    "values",
    [{"threshold": 0}, {"threshold": 1.5, "measured_in": "weight"}, {"bins": 513}, {"layer": -1}],
)
def test_request_is_bounded(values):
    with pytest.raises(ValidationError):
        HeartbeatRequest(model="tiny", text="a", **({"layer": 0, "head": 0} | values))


def test_cancelled_between_blocks_it_stops(twins, letters):
    loaded, _ = twins("llama")
    cancel = CancelToken()
    seen: list[str] = []

    def emit(event: Progress) -> None:
        seen.append(event.doing)
        if event.doing == "following tokens":
            cancel.cancel()

    with pytest.raises(Cancelled):
        run(loaded, letters(LENGTH), emit, cancel)
    assert seen.count("following tokens") == 1
