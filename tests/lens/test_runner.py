"""The lens of chosen rows against a trace's lens, and what it says of its own errors."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tokenarium.backend.lens.runner as runner
from tests.trace.conftest import Twins
from tokenarium.backend.lens.request import LensRequest
from tokenarium.backend.lens.result import LensResult
from tokenarium.backend.lens.runner import lens
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.runs.events import Cancelled, CancelToken, Progress
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.backend.trace.runner import trace


def _run(loaded: LoadedModel, text: str, **values: Any) -> LensResult:
    request = LensRequest(model="tiny", text=text, **values)
    return lens(request, loaded, 2048, lambda _: None, CancelToken())


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_lens_equals_the_trace_that_computes_it_too(
    twins: Twins, letters: Callable[[int], str], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, _ = twins(family)
    monkeypatch.setattr(runner, "CHUNK", 4)
    text = letters(30)
    asked = TraceRequest(model="tiny", text=text, logit_lens=True, tiles=2)
    whole = trace(asked, loaded, 2048, lambda _: None, CancelToken())
    rows, layers = (2, 3, 7, 8, 9, 20, 29), (0, len(loaded.layers))
    everything = np.ix_(range(len(loaded.layers) + 1), range(whole.length))
    chosen = {"rows": rows[::-1], "layers": layers}
    cases: tuple[tuple[dict[str, Any], Any], ...] = (
        ({}, everything),
        (chosen, np.ix_(layers, rows)),
    )
    for values, at in cases:
        found = _run(loaded, text, exact=True, **values)
        assert whole.lens_ids is not None
        assert whole.lens_kl_nats is not None
        assert whole.lens_entropy_nats is not None
        assert found.lens_ids.shape == whole.lens_ids[at].shape
        np.testing.assert_array_equal(found.lens_ids, whole.lens_ids[at])
        np.testing.assert_allclose(found.lens_kl_nats, whole.lens_kl_nats[at], atol=1e-5)
        np.testing.assert_allclose(found.lens_entropy_nats, whole.lens_entropy_nats[at], atol=1e-5)
        assert found.checked_cells == 0
        assert found.products == "float32"
    assert found.rows.tolist() == list(rows)
    assert found.row_text == tuple(whole.token_text[row] for row in rows)


def test_a_long_map_is_read_in_blocks_with_the_same_numbers(
    twins: Twins, letters: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, _ = twins("llama")
    whole = _run(loaded, letters(30), exact=True)
    monkeypatch.setattr(runner, "CHUNK", 4)
    monkeypatch.setattr(runner, "STREAM_BYTES", 1)
    parts = _run(loaded, letters(30), exact=True)
    np.testing.assert_array_equal(parts.lens_ids, whole.lens_ids)
    np.testing.assert_allclose(parts.lens_kl_nats, whole.lens_kl_nats, atol=1e-5)


def test_products_in_bfloat16_say_how_far_off_they_are(
    twins: Twins, letters: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, _ = twins("llama")
    monkeypatch.setattr(runner, "CHECKED", 10_000)
    monkeypatch.setattr(runner, "bfloat16_is_faster", lambda _: True)
    head = loaded.model.get_output_embeddings()
    weights = head.weight
    rounded = _run(loaded, letters(30))
    assert head.weight is weights
    exact = _run(loaded, letters(30), exact=True)
    inside = exact.lens_entropy_nats[:-1]
    assert rounded.products == "bfloat16"
    assert rounded.checked_cells == inside.size
    off = np.abs(rounded.lens_entropy_nats - exact.lens_entropy_nats)
    assert rounded.entropy_error_nats == pytest.approx(off.max(), abs=1e-5)
    assert rounded.entropy_error_nats > 1e-5
    off = np.abs(rounded.lens_kl_nats - exact.lens_kl_nats)
    assert rounded.kl_error_nats == pytest.approx(off.max(), abs=1e-5)
    same = (rounded.lens_ids == exact.lens_ids)[:-1].mean()
    assert rounded.same_first == pytest.approx(same)
    np.testing.assert_array_equal(rounded.lens_entropy_nats[-1], exact.lens_entropy_nats[-1])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rows": (0, 30)}, "rows has 30, and there are 30 tokens of the text: choose at most 29"),
        ({"layers": (9,)}, "layers has 9, and there are 4 residual streams .*: choose at most 3"),
    ],
)
def test_a_place_outside_is_refused(
    twins: Twins, letters: Callable[[int], str], values: dict[str, Any], words: str
) -> None:
    loaded, _ = twins("llama")
    with pytest.raises(ValueError, match=words):
        _run(loaded, letters(30), add_bos=False, **values)


def test_cancel_stops_between_layers(twins: Twins, letters: Callable[[int], str]) -> None:
    loaded, _ = twins("llama")
    cancel = CancelToken()

    def stop(event: object) -> None:
        if isinstance(event, Progress) and event.doing == "decoding layers":
            cancel.cancel()

    with pytest.raises(Cancelled):
        lens(LensRequest(model="tiny", text=letters(9)), loaded, 2048, stop, cancel)
