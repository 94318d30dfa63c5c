"""The real reader behind the lab, on a tiny model."""

import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import linear

from tests.runs.conftest import MODEL, until
from tokenarium.backend.errors import UserError
from tokenarium.backend.observe import products
from tokenarium.backend.region.request import RegionRequest
from tokenarium.backend.runs.events import Cancelled, CancelToken, Progress
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.trace.request import TraceRequest

TEXT = "It was the best of times, it was the worst of times. " * 4  # a token per byte


def asked(text: str = TEXT, **values: object) -> TraceRequest:
    return TraceRequest(model=MODEL, text=text, **values)


def test_trace_is_told_layer_by_layer_stored_and_read_back(lab: Lab) -> None:
    events = list(lab.stream(asked()))
    assert any(isinstance(event, Progress) for event in events)
    run = events[-1].run
    assert run.result.length == len(TEXT) + 1, "every byte, and BOS"
    again = lab.run(asked())
    assert (again.id, again.cached) == (run.id, True)
    assert again.result.facts() == run.result.facts()
    for name, array in run.result.arrays().items():
        np.testing.assert_array_equal(again.result.arrays()[name], array)
        assert again.result.arrays()[name].dtype == array.dtype


def test_trace_answers_sql_with_the_same_numbers(lab: Lab) -> None:
    run = lab.run(asked())
    mean = lab.query("SELECT avg(surprisal_nats) AS s, count(*) AS n FROM tokens").to_pylist()[0]
    assert mean["n"] == run.result.length
    assert mean["s"] == pytest.approx(np.nanmean(run.result.surprisal_nats), rel=1e-5)
    heads = lab.query("SELECT sink_score FROM head_metrics ORDER BY layer, head")
    np.testing.assert_allclose(
        heads.column("sink_score").to_pylist(), run.result.sink_score.ravel(), rtol=1e-6
    )


class AtSecondLayer(CancelToken):
    """Cancels itself while the reader is between its layers."""

    checks = 0

    def check(self) -> None:
        if threading.current_thread().name == "run":
            self.checks += 1
        # The queue and the workshop look once each before the reader does, at every layer.
        if self.checks == 4:
            self.cancel("enough")
        super().check()


def test_trace_that_is_cancelled_leaves_the_model_as_it_was(lab: Lab) -> None:
    before = lab.run(asked("before"))
    cancel = AtSecondLayer()
    with pytest.raises(Cancelled, match="enough"):
        lab.run(asked(), cancel=cancel)
    until(lambda: not lab.running())
    assert cancel.checks == 4, "the reader stopped where it was told to"
    assert len(lab.search()) == 1
    lab.delete(before.id)
    after = lab.run(asked("before"))
    assert not after.cached
    for name, array in before.result.arrays().items():
        np.testing.assert_array_equal(after.result.arrays()[name], array)


def test_trace_over_the_limit_is_refused_or_cut_as_asked(lab: Lab) -> None:
    long = "x" * 600
    with pytest.raises(UserError, match="601 tokens, the limit is 512"):
        lab.run(asked(long))
    cut = lab.run(asked(long, overflow="keep_start"))
    assert (cut.result.length, cut.result.dropped_tokens) == (512, 89)
    assert any("were cut" in note for note in cut.result.notes)


def test_trace_past_the_trained_context_keeps_the_limits_in_force(make_lab) -> None:
    long = asked("x" * 600, overflow="exceed")
    hosted = make_lab(hosted=True, hosted_max_tokens=560)
    with pytest.raises(UserError, match="601 tokens, the limit is 560"):
        hosted.run(long, visitor="anna")
    result = make_lab(database="duckdb:///:memory:").run(long).result
    assert (result.length, result.context) == (601, 512)


def test_trace_in_bfloat16_says_so(lab: Lab) -> None:
    assert lab.run(asked("x", dtype="bfloat16")).environment["dtype"] == "bfloat16"


def test_region_is_the_trace_seen_closer(lab: Lab) -> None:
    trace = lab.run(asked()).result
    length = trace.length
    region = lab.run(
        RegionRequest(
            model=MODEL,
            text=TEXT,
            layer=1,
            head=2,
            query_start=0,
            query_stop=length,
            key_start=0,
            key_stop=length,
            tiles=64,
        )
    ).result
    np.testing.assert_allclose(region.mean, trace.attention_tiles_mean[1, 2], atol=1e-6)
    with pytest.raises(UserError, match="layer=2"):
        lab.run(
            RegionRequest(
                model=MODEL,
                text=TEXT,
                layer=2,
                head=0,
                query_start=0,
                query_stop=1,
                key_start=0,
                key_stop=1,
            )
        )


def test_the_model_of_a_run_multiplies_by_the_quicker_library_and_is_as_before_after_it(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: set[int] = set()

    def product(given: torch.Tensor, weight: torch.Tensor, bias: Any) -> torch.Tensor:
        used.add(weight.data_ptr())
        return linear(given, weight, bias)

    expected = lab.run(asked()).result
    monkeypatch.setattr(products, "onednn_is_faster", lambda: True)
    monkeypatch.setattr(products, "_product", lambda: product)
    lab.delete(lab.run(asked()).id)
    found = lab.run(asked()).result
    np.testing.assert_allclose(found.surprisal_nats, expected.surprisal_nats, rtol=1e-5)
    with lab._registry.use(lab._registry.resolve(MODEL), "float32") as loaded:
        parts = (*products.linear_layers(loaded), loaded.model.get_output_embeddings())
        assert {part.weight.data_ptr() for part in parts} == used
        assert not any("forward" in vars(part) for part in parts)
