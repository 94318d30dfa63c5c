"""Several residual streams side by side, keys that layers share, and tokens looked up per layer."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests.families.building import build
from tests.families.measuring import LIMIT, TEXT
from tokenarium.backend.attribution.request import AttributeRequest
from tokenarium.backend.attribution.runner import attribute
from tokenarium.backend.cache.request import CacheRequest
from tokenarium.backend.cache.runner import follow_policies
from tokenarium.backend.models import capabilities, image_text
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.observe.residuals import residuals
from tokenarium.backend.observe.writers import writers
from tokenarium.backend.reduction.stepper import Stepper
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.speculation.reader import TreeReader
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.backend.trace.runner import trace


def _run(runner, request, loaded):
    return runner(request, loaded, LIMIT, lambda _: None, CancelToken())


def _loaded(family, tmp_path_factory):
    folder = build(family, tmp_path_factory.mktemp(family))
    return load(ModelSource(family, folder, None, family), "float32", "cpu", LIMIT), folder


@pytest.fixture(scope="module")
def altup(tmp_path_factory):
    return _loaded("gemma3n_text", tmp_path_factory)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return _loaded("gemma4_text", tmp_path_factory)


def test_the_residual_stream_is_the_merge_that_the_model_itself_unembeds(altup):
    loaded, folder = altup
    result = _run(trace, TraceRequest(model=loaded.name, text=TEXT, logit_lens=True), loaded)
    eager = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    layers, entering = eager.model.layers, []
    for layer in layers:
        layer.register_forward_pre_hook(lambda _, args: entering.append(args[0].double()))
    ids = torch.tensor(result.token_ids[None].astype(np.int64))
    with torch.no_grad():
        logits = eager(input_ids=ids).logits[0]
    for number, streams in enumerate(entering):  # [4, 1, T, D]
        merged = streams[0, 0].clone()
        size = torch.linalg.vector_norm(merged, dim=-1)
        for part, other in zip(eager.model.altup_unembed_projections, streams[1:, 0], strict=True):
            turned = other @ part.weight.detach().double().T
            merged += turned * (size / torch.linalg.vector_norm(turned, dim=-1))[:, None]
        norms = torch.linalg.vector_norm(merged / 4, dim=-1)
        np.testing.assert_allclose(result.residual_norm[number], norms.numpy(), rtol=1e-4)
    assert result.lens_ids[-1].tolist() == logits.argmax(-1).tolist()
    assert "several residual streams side by side" in " ".join(result.notes)


@pytest.mark.parametrize("model", ["altup", "shared"])
def test_layers_that_read_the_keys_of_others_are_shown_as_that(model, request):
    loaded, _ = request.getfixturevalue(model)
    assert capabilities.layers(loaded).shared_from == (None, None, 0, 1)
    asked = CacheRequest(model=loaded.name, text=TEXT, policies=("full",), max_new_tokens=1)
    found = _run(follow_policies, asked, loaded)
    notes = " ".join(found.general_notes)
    assert "layers 2 make no keys and values of their own: they read those of layer 0" in notes
    assert "bytes count them there again" in notes


@pytest.mark.parametrize("model", ["altup", "shared"])
def test_a_model_that_looks_tokens_up_in_its_layers_has_no_gradient_by_embeddings(model, request):
    loaded, _ = request.getfixturevalue(model)
    asked = AttributeRequest(model=loaded.name, text="A fox met", method="integrated_gradients")
    with pytest.raises(ValueError, match="does not read a text from embeddings alone"):
        _run(attribute, asked, loaded)
    found = _run(attribute, AttributeRequest(model=loaded.name, text="A fox met"), loaded)
    assert np.isfinite(found.scores).all()


@pytest.mark.parametrize(
    ("model", "more"), [("altup", "several side by side"), ("shared", "keys and values besides")]
)
def test_what_needs_one_residual_stream_alone_is_refused_with_the_reason(model, more, request):
    loaded, _ = request.getfixturevalue(model)
    for attempt in (
        lambda: writers(loaded, [1, 2, 3]),
        lambda: _run(
            attribute,
            AttributeRequest(model=loaded.name, text="A fox met", method="value_zeroing"),
            loaded,
        ),
        lambda: Stepper(loaded, [1, 2, 3], lambda _: None),
        lambda: TreeReader(loaded, 9).read_on([1], torch.zeros(1, 64), 2),
    ):
        with pytest.raises(ValueError, match=more):
            attempt()


def test_the_text_part_is_read_where_the_eyes_need_a_package_that_is_not_there(
    altup, tmp_path, monkeypatch
):
    monkeypatch.setattr(image_text, "is_timm_available", lambda: False)
    source = ModelSource("whole", build("gemma3n", tmp_path), None, "whole")
    loaded = load(source, "float32", "cpu", LIMIT)
    assert "images are not seen" in " ".join(loaded.notes)
    request = TraceRequest(model="whole", text=TEXT)
    found, alone = (_run(trace, request, each) for each in (loaded, altup[0]))
    np.testing.assert_array_equal(found.surprisal_nats, alone.surprisal_nats)
    weights = load_file(tmp_path / "model.safetensors")
    home = "model.language_model.layers.1.mlp"
    save_file(weights | {f"{home}.odd.weight": torch.ones(2)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"1 tensors that its config.json has no place for"):
        load(source, "float32", "cpu", LIMIT)
    del weights[f"{home}.up_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"lacks 1 of its tensors"):
        load(source, "float32", "cpu", LIMIT)


def test_hooks_see_one_stream_of_one_text(altup):
    loaded, _ = altup
    seen = {}
    with torch.inference_mode(), residuals(loaded.layers, seen.__setitem__):
        loaded.body(input_ids=torch.arange(5)[None], use_cache=False)
    assert {tuple(each.shape) for each in seen.values()} == {(1, 5, 64)}
    assert len(seen) == 5
