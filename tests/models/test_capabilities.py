"""What a model can do is tried once, and a refusal is said again in its words."""

import pytest
import torch

from tokenarium.backend.models import capabilities
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.models.probes import layout, positions


def loaded_of(source: ModelSource) -> LoadedModel:
    return load(source, torch.float32, torch.device("cpu"), 512)


def test_a_trial_is_made_once_for_a_model_and_again_for_another(saved, monkeypatch):
    tried = []
    original = layout.layout
    monkeypatch.setattr(capabilities, "_known", {})
    monkeypatch.setattr(layout, "layout", lambda one: tried.append(one.name) or original(one))
    llama, mistral = loaded_of(saved("llama")), loaded_of(saved("mistral"))
    assert capabilities.layers(llama) == capabilities.layers(llama)
    capabilities.layers(mistral)
    assert tried == [llama.name, mistral.name]


def test_a_refusal_is_tried_once_and_said_twice(saved, monkeypatch):
    tried = []
    original = positions.rotary_layers
    monkeypatch.setattr(capabilities, "_known", {})
    monkeypatch.setattr(
        positions, "rotary_layers", lambda one: tried.append(one.name) or original(one)
    )
    loaded = loaded_of(saved("gpt2"))
    for _ in range(2):
        with pytest.raises(ValueError, match="does not place its tokens by rotation"):
            capabilities.rotary(loaded)
    assert tried == [loaded.name]


def test_layers_are_those_of_the_configuration(saved):
    for family in ("llama", "gemma3_text"):
        loaded = loaded_of(saved(family))
        config = loaded.model.config.get_text_config()
        kinds = getattr(config, "layer_types", None) or []
        windowed = tuple(n for n, kind in enumerate(kinds) if kind == "sliding_attention")
        found = capabilities.layers(loaded)
        assert (found.windowed, found.kv_heads) == (windowed, config.num_key_value_heads)
