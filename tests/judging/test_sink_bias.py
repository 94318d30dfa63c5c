"""The sink as a bias: angles and constants against eager attention, and on a planted key."""

import math

import numpy as np
import pytest
import torch

from tests.interventions import oracle
from tests.judging.test_act_heads import IDS, passage
from tokenarium.backend.judging.measures.sink_bias import SinkBias
from tokenarium.backend.judging.sink_angles import SinkAngles
from tokenarium.backend.observe import AttentionCall


def share(logits):
    return (sum(logits) / len(logits)) ** 2 / (sum(each * each for each in logits) / len(logits))


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral"])
def test_angles_are_those_of_eager_queries_and_keys(twins, family):
    loaded, twin = twins(family)
    window = getattr(twin.config, "sliding_window", None) or len(IDS)
    wanted = {name: [] for name in ("attention", "cosine", "others", "constant")}

    def edit(module, weights, q, k):
        for head in range(len(q)):
            queries, keys = q[head].double(), k[head].double()
            seen = min(window, len(IDS))
            logits = [float(query @ keys[0]) for query in queries[:seen]]
            angle = [
                own / float(query.norm() * keys[0].norm())
                for own, query in zip(logits, queries, strict=False)
            ]
            wanted["cosine"].append(angle + [math.nan] * (len(IDS) - seen))
            wanted["attention"].append(float(weights[head, :seen, 0].double().mean()))
            wanted["constant"].append(share(logits))
            others = []
            for j in range(1, len(IDS) - 1):
                later = queries[j : j + window]
                whole = later.norm(dim=1) * keys[j].norm()
                others.append(float(((later @ keys[j]) / whole).mean()))
            wanted["others"].append(others)
        return weights

    oracle.run(twin, IDS, edit)
    threshold = float(np.median(wanted["attention"]))
    measure, given = SinkBias(threshold=threshold), passage(loaded)
    found = measure.by_head(given)
    for name, rows in wanted.items():
        np.testing.assert_allclose(found[name], np.array(rows), atol=2e-5, err_msg=name)
    chosen = np.array(wanted["attention"]) > threshold
    assert 0 < chosen.sum() < len(chosen)
    told = measure.judge(given)
    each = np.nanmean(np.array(wanted["cosine"])[chosen], 0)[1:]
    np.testing.assert_allclose(told.token_score, each, atol=2e-5)
    others = np.array(wanted["others"])[chosen].mean(0)
    assert told.null.mean == pytest.approx(others.mean(), abs=2e-5)
    assert told.details["sink_heads"] == chosen.sum()


def angles(q, k):
    watch = SinkAngles(q.shape[2], 64, lambda: None)
    call = AttentionCall(layer=0, q=q, k=k, v=k, scaling=1.0, offset=0)
    with torch.inference_mode():
        watch.attend(call)
    return {name: rows[0] for name, rows in watch.found.items()}


def test_a_key_that_meets_the_mean_query_alone_is_a_bias():
    """Queries (1, x), x of mean 0; key 0 is (2, 0), the others lie along the second axis."""
    x = torch.tensor([0.0, 1.0, -1.0, 2.0, -2.0])
    q = torch.stack((torch.ones(5), x), 1)[None, None]
    k = torch.zeros(1, 1, 5, 2)
    k[..., 1] = 1.0
    k[0, 0, 0] = torch.tensor([2.0, 0.0])
    found = angles(q, k)
    assert found["constant"][0] == pytest.approx(1.0)
    wanted = [1 / math.sqrt(1 + float(own) ** 2) for own in x]
    np.testing.assert_allclose(found["cosine"][0], wanted, atol=1e-6)
    assert found["value_ratio"][0] == pytest.approx(2.0)
    # Key 1 sees logits 1, -1, 2, -2: nothing of them is constant.
    assert found["constant_others"][0] < 0.2
    assert found["others"][0, 0] == pytest.approx(0.0, abs=1e-6)


def test_without_a_sink_all_heads_are_averaged_and_it_is_said(twins):
    loaded, _ = twins("llama")
    told = SinkBias(threshold=0.99).judge(passage(loaded))
    assert told.details["sink_heads"] == 0
    assert "no head gives the first token 0.99 of its attention" in told.notes[0]
    assert np.isfinite(told.score)
