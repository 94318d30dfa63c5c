"""A small model by its name, and what is kept of who wrote."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tests.contracts.test_strategies import TEXT, models, run  # noqa: F401
from tokenarium.backend.decoding import small_models
from tokenarium.backend.decoding.request import DecodeRequest, StrategySpec
from tokenarium.backend.decoding.result import DecodeResult
from tokenarium.backend.decoding.runner import decode
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.runs.events import CancelToken

Models = Callable[[str], LoadedModel]


def beside(models: Models, *specs: StrategySpec) -> DecodeResult:  # noqa: F811
    request = DecodeRequest(model="local/tiny", text=TEXT, strategies=specs, max_new_tokens=10)
    assert request.beside == ("local/other",)
    other = {"local/other": models("qwen3")}
    return decode(request, models("llama"), 100, lambda _: None, CancelToken(), other)


def test_a_named_model_writes_what_it_writes_alone(models: Models) -> None:  # noqa: F811
    never, always = (
        StrategySpec("r2r", small_model="local/other", route=route) for route in ("never", "always")
    )
    result = beside(models, never, always)
    alone = run(models("qwen3"), StrategySpec("greedy")).lanes[0]
    plain, small, large = result.lanes
    assert small.token_ids.tolist() == alone.token_ids.tolist() != plain.token_ids.tolist()
    assert large.token_ids.tolist() == plain.token_ids.tolist()
    assert small.written_by_small.all()
    assert not large.written_by_small.any()
    assert not plain.written_by_small.any()
    assert (small.passes, small.small_passes) == (0, len(small.token_ids) - 1)
    assert plain.small_passes == 0
    assert any("local/other" in note for note in result.notes)


def test_other_tokens_are_refused(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    differs = SimpleNamespace(agreement="intersection", reason="12 tokens in common")
    monkeypatch.setattr(small_models, "compare", lambda *_: differs)
    with pytest.raises(ValueError, match=r"small_model='local/other' and .*12 tokens in common"):
        beside(models, StrategySpec("cascade", small_model="local/other"))


def test_first_layers_stand_for_a_small_model_and_say_so(models: Models) -> None:  # noqa: F811
    result = run(models("llama"), StrategySpec("r2r", exit_share=0.5))
    assert any("first 2 of the 3 layers" in note for note in result.notes)
