"""What the cost card of a trace tells is what the run then does."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models.conftest import save_model
from tokenarium.backend import TraceRequest
from tokenarium.backend.cost.sketch import sketch
from tokenarium.backend.cost.work import STREAM_BYTES
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.trace.estimate import TraceEstimate, estimate, total_ms
from tokenarium.backend.trace.runner import trace

TEXT = "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("estimate"), "llama")


def told(home: Path, limit: int = 128, **changes: Any) -> TraceEstimate:
    request = TraceRequest(model="local/m", **({"text": TEXT, "logit_lens": True} | changes))
    return estimate(request, sketch("local/m", home), limit, torch.device("cpu"))


@pytest.mark.parametrize("changes", [{}, {"add_bos": True}, {"overflow": "keep_end"}])
def test_tokens_are_those_that_the_run_reads(home: Path, changes: dict[str, Any]) -> None:
    loaded = load(ModelSource("local/m", home, None, "m"), "float32", "cpu", 2048)
    request = TraceRequest(model="local/m", text=TEXT, **changes)
    limit = 20 if changes.get("overflow") else 128
    result = trace(request, loaded, limit, lambda _: None, CancelToken())
    found = told(home, limit, **changes)
    assert found.tokens == result.length
    assert found.words == 9
    assert found.passes == 1


def test_a_text_over_the_limit_is_refused_as_the_run_would(home: Path) -> None:
    with pytest.raises(ValueError, match="the limit is 20: shorten it"):
        told(home, 20)


def test_a_second_pass_is_told_where_the_streams_of_all_layers_are_too_large(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told(home).passes == 1
    monkeypatch.setattr("tokenarium.backend.trace.estimate.STREAM_BYTES", 1000)
    assert STREAM_BYTES > 1000
    assert told(home).passes == 2
    assert told(home, logit_lens=False).passes == 1


def test_memory_grows_with_the_text_and_what_is_kept(home: Path) -> None:
    usual = told(home).peak_bytes
    assert told(home, text=TEXT[:20]).peak_bytes < usual
    assert told(home, tiles=16).peak_bytes < usual
    assert told(home, logit_lens=False).peak_bytes < usual


def test_time_is_that_of_the_fastest_earlier_run_a_token() -> None:
    assert total_ms(100, []) is None
    assert total_ms(100, [(0, 5.0)]) is None
    assert total_ms(100, [(10, 50.0), (80, 160.0), (1000, 9000.0)]) == 200.0
    assert total_ms(100, [(74, 6000.0)]) == pytest.approx(8108, rel=1e-3)
