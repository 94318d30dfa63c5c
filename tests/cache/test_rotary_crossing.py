"""Runs that grow past the length from which rotary positions turn otherwise."""

import numpy as np
import pytest

from tests.models.conftest import save_model
from tests.models.test_support import ROPES
from tokenarium.backend.cache.request import CacheRequest, PolicySpec
from tokenarium.backend.cache.runner import follow_policies
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.models.rotary_crossing import rotary_crossing
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.speculation.request import DrafterSpec, RuleSpec, SpeculateRequest
from tokenarium.backend.speculation.runner import speculate

SWITCH = 64
ROPE = {
    "dynamic": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0},
    "longrope": {
        **ROPES["longrope"],
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "original_max_position_embeddings": SWITCH,
    },
}


@pytest.fixture(scope="module", params=ROPE)
def loaded(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    tokens = SWITCH if request.param == "dynamic" else 256
    save_model(folder, "llama", max_position_embeddings=tokens, rope_parameters=ROPE[request.param])
    return load(ModelSource("local/m", folder, None, "m"), "float32", "cpu", 512)


def follow(loaded, text, steps=30, policies=("full",)):
    request = CacheRequest(
        text=text,
        model="local/m",
        policies=[PolicySpec(slug) for slug in policies],
        max_new_tokens=steps,
        budget=24,
        overflow="exceed",
    )
    return follow_policies(request, loaded, 512, lambda _: None, CancelToken())


def test_full_cache_equals_the_full_model_across_the_switch(loaded) -> None:
    result = follow(loaded, "a text" * 8, policies=("snapkv", "full"))
    assert len(result.prompt_ids) < SWITCH < len(result.prompt_ids) + 29
    assert result.kl_nats[1].max() < 1e-6
    alone = follow(loaded, "a text" * 8)
    np.testing.assert_array_equal(result.surprisal_nats[1], alone.surprisal_nats[0])
    assert any(
        "reading the same text at once gives other numbers" in n for n in result.general_notes
    )
    assert any(f"above {SWITCH} tokens" in note for note in result.general_notes)


def test_nothing_is_said_below_the_switch(loaded) -> None:
    result = follow(loaded, "a text" * 3)
    assert not any("rotary" in note for note in result.general_notes)


def test_policies_that_move_keys_are_refused_across_the_switch(loaded) -> None:
    follow(loaded, "a text" * 3, policies=("streaming_llm",))
    with pytest.raises(ValueError, match=f"leave out StreamingLLM.*within {SWITCH} tokens"):
        follow(loaded, "a text" * 8, policies=("full", "streaming_llm"))


@pytest.mark.parametrize("engine", ["tokenarium", "transformers"])
def test_speculation_across_the_switch_is_refused(loaded, engine) -> None:
    def run(text):
        request = SpeculateRequest(
            text=text,
            model="local/m",
            engine=engine,
            drafter=DrafterSpec("prompt_lookup"),
            rule=RuleSpec("greedy"),
            temperature=0.0,
            max_new_tokens=24,
            overflow="exceed",
        )
        return speculate(request, loaded, 512, lambda _: None, CancelToken())

    with pytest.raises(ValueError, match=f"grows from .* all of it stays within {SWITCH} tokens"):
        run("a text" * 8)
    assert run("a text" * 4).audit["verdict"] == "passed"


def test_longrope_beyond_its_switch_crosses_nothing(loaded) -> None:
    longrope = loaded.model.config.rope_parameters["rope_type"] == "longrope"
    assert (rotary_crossing(loaded, SWITCH + 1, SWITCH + 30) is None) == longrope
    assert rotary_crossing(loaded, SWITCH, SWITCH + 1)
    assert rotary_crossing(loaded, 1, SWITCH) is None
