"""Layers that do not attend, and layers that differ in heads, against eager attention."""

import numpy as np
import pytest

from tests.families.building import build
from tests.families.measuring import LIMIT, TEXT, measure
from tokenarium.backend.cache.request import CacheRequest, PolicySpec
from tokenarium.backend.cache.runner import follow_policies
from tokenarium.backend.cache.token_roles import Protected, kinds
from tokenarium.backend.interventions.request import InterventionRequest
from tokenarium.backend.interventions.runner import intervene
from tokenarium.backend.models import capabilities
from tokenarium.backend.models.layer_kinds import attention_layers, layer_sizes
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.backend.trace.runner import trace


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory):
    folder = build("lfm2", tmp_path_factory.mktemp("lfm2"))
    return load(ModelSource("hybrid", folder, None, "hybrid"), "float32", "cpu", LIMIT)


@pytest.mark.parametrize("family", ["gemma4_text", "lfm2", "qwen3_next", "mimo_v2_flash"])
def test_layers_that_differ_equal_eager(family):
    found = measure(family)
    assert found["verdict"] == "loads"
    assert max(found["trace"], found["full"]) < 1e-4
    assert found["h2o"] == "ok"
    drafted = found["prompt_lookup"]
    assert drafted == "passed" or "cannot go back when drafted tokens are rejected" in drafted


def test_layers_without_attention_stand_in_the_trace_as_empty(hybrid):
    assert attention_layers(hybrid.model.config) == (1, 3)
    assert len(layer_sizes(hybrid.model.config)) == 2
    request = TraceRequest(model="hybrid", text=TEXT)
    result = trace(request, hybrid, LIMIT, lambda _: None, CancelToken())
    assert np.isnan(result.sink_score).all(1).tolist() == [True, False, True, False]
    assert np.isfinite(result.residual_norm).all()
    assert np.isfinite(result.received_by_token()).all()
    assert "layers 0, 2 are of kind conv" in " ".join(result.notes)


def test_what_compares_heads_of_all_layers_is_refused(hybrid):
    request = InterventionRequest(model="hybrid", text=TEXT, intervention="drop_first")
    with pytest.raises(ValueError, match=r"its layers \[0, 2\] do not attend"):
        intervene(request, hybrid, LIMIT, lambda _: None, CancelToken())


@pytest.mark.parametrize(("family", "heads"), [("lfm2", (0, 2, 0, 2)), ("mimo_v2_flash", None)])
def test_heads_that_a_layer_does_not_have_are_not_said_to_keep_anything(tmp_path, family, heads):
    folder = build(family, tmp_path)
    loaded = load(ModelSource("uneven", folder, None, "uneven"), "float32", "cpu", LIMIT)
    if heads is None:
        heads = tuple(own[1] for own in capabilities.layers(loaded).heads)
        assert len(set(heads)) > 1
    policies = [PolicySpec(slug=slug) for slug in ("full", "recent")]
    request = CacheRequest(
        model="uneven", text=TEXT, policies=policies, budget=16, max_new_tokens=4
    )
    result = follow_policies(request, loaded, LIMIT, lambda _: None, CancelToken())
    for run in result.runs:
        for layer, there in enumerate(heads):
            for head in range(max(heads)):
                gone = result.evicted_at[run.number, layer, head]
                assert ((gone == -2) == (head >= there)).all()
                assert bool(len(run.kept(2, layer, head))) == (head < there)
                roles = kinds(run, Protected(0, 16, "recency"), layer, head)
                assert (roles >= 0).any() == (head < there)
    said = [note for notes in result.notes for note in notes if "keep states of" in note]
    assert len(said) == (2 if 0 in heads else 0)
