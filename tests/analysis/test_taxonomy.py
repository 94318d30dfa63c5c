"""Measures of heads by their definition, and labels by their stated rules."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tests.ui.hand_made import HEADS, LAYERS, numbered, trace, unfinished
from tokenarium.backend.analysis.labels import LABEL_RULES, head_labels
from tokenarium.backend.analysis.taxonomy import MEASURES, HeadEvidence, head_measures

T = 20
PLACES = list(itertools.product(range(LAYERS), range(HEADS)))


def evidence(**changes: object) -> HeadEvidence:
    probe = SimpleNamespace(echo=numbered(LAYERS, HEADS), induction=numbered(LAYERS, HEADS) * 2)
    other = trace(T, sink_score=numbered(LAYERS, HEADS) * 3)
    return HeadEvidence(trace(T, **changes), other, probe)


def test_sink_scores_of_a_stated_length_are_means_of_as_many_queries() -> None:
    known = replace(evidence(), length=7)
    found = head_measures(known)
    for name, run in (("sink", known.result), ("other_sink", known.other)):
        assert found[name] == pytest.approx(run.first_mass[:, :, :7].mean(-1))


def test_measures_equal_their_definitions() -> None:
    known = evidence(attention_window=np.int32([0, 4]))
    result, found = known.result, head_measures(known)
    assert set(found) == set(MEASURES)
    for layer, head in PLACES:
        seen = [min(i + 1, 4 if layer else T) for i in range(T)]
        wanted = {
            "sink": result.sink_score[layer, head],
            "other_sink": known.other.sink_score[layer, head],
            "previous": result.previous_mass[layer, head],
            "first": result.first_mass[layer, head, 1:].mean(),
            "self": result.self_mass[layer, head],
            "distance": result.attention_distance[layer, head].sum()
            / sum((m - 1) / 2 for m in seen),
            "entropy": result.attention_entropy_nats[layer, head].sum() / sum(np.log(seen)),
            "echo": known.probe.echo[layer, head],
            "induction": known.probe.induction[layer, head],
            "persistence": (result.persistence - result.persistence_chance)[layer, head].mean(),
        }
        for name, value in wanted.items():
            assert found[name][layer, head] == pytest.approx(value, rel=1e-5), name


def test_drain_is_of_the_token_that_receives_most() -> None:
    mass = numbered(LAYERS, HEADS, T)
    mass[1, 2, 3] = 5  # the tokens from T - 16 on have too few queries
    mass[1, 2, T - 2] = 9
    value = trace(T).value_norm
    result = trace(T, received_mass=mass)
    ordered = sorted(map(float, value[1, 1]))
    median = (ordered[T // 2 - 1] + ordered[T // 2]) / 2
    found = head_measures(HeadEvidence(result))["drain"]
    assert found[1, 2] == pytest.approx(value[1, 1, 3] / median, rel=1e-5)


def test_a_measure_without_its_evidence_is_left_out() -> None:
    assert set(MEASURES) - set(head_measures(HeadEvidence(trace(T)))) == {
        "other_sink",
        "echo",
        "induction",
    }


def test_evidence_of_another_model_is_refused() -> None:
    probe = SimpleNamespace(echo=np.zeros((3, 4)), induction=np.zeros((3, 4)))
    with pytest.raises(ValueError, match="echo score is of 3 layers of 4 heads, this run of 2"):
        head_measures(HeadEvidence(trace(T), probe=probe))


@pytest.mark.parametrize("length", [1, 2, 17])
def test_short_and_unfinished_runs_are_measured_as_far_as_they_go(length: int) -> None:
    for result in (trace(length), unfinished(length)):
        found = head_measures(HeadEvidence(result))
        assert all(values.shape == (LAYERS, HEADS) for values in found.values())
    assert np.isnan(found["sink"]).all()
    assert (head_labels(found) == "not measured").all()


def heads(**changes: float) -> dict[str, np.ndarray]:
    plain = {"sink": 0, "previous": 0, "self": 0, "distance": 1, "entropy": 0.5}
    return {name: np.full((1, 1), value) for name, value in {**plain, **changes}.items()}


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({}, "mixed"),
        ({"sink": float("nan"), "echo": 1.0}, "not measured"),
        ({"sink": 0.4}, "dormant"),
        ({"sink": 0.4, "other_sink": 0.5}, "dormant"),
        ({"sink": 0.4, "other_sink": 0.2}, "active-dormant"),
        ({"sink": 0.2, "other_sink": 0.4}, "active-dormant"),
        ({"sink": 0.4, "other_sink": float("nan")}, "dormant"),
        ({"sink": 0.4, "echo": 0.9}, "retrieval"),
        ({"echo": 0.2, "previous": 0.9}, "retrieval"),
        ({"induction": 0.2, "echo": 0.0}, "retrieval"),
        ({"induction": 0.1, "echo": 0.1}, "mixed"),
        ({"previous": 0.31, "self": 0.9}, "previous token"),
        ({"self": 0.31, "distance": 0.1}, "self"),
        ({"distance": 0.2, "entropy": 0.95}, "local"),
        ({"entropy": 0.95}, "broad"),
    ],
)
def test_the_first_rule_that_fits_gives_the_label(changes: dict, label: str) -> None:
    assert head_labels(heads(**changes)).tolist() == [[label]]


def test_the_threshold_of_a_dormant_head_is_a_choice() -> None:
    assert head_labels(heads(sink=0.4), 0.5).tolist() == [["mixed"]]


def test_every_rule_and_measure_says_what_it_is() -> None:
    assert len({rule.label for rule in LABEL_RULES}) == len(LABEL_RULES)
    assert all(rule.definition for rule in LABEL_RULES)
    assert all(measure.title and measure.definition for measure in MEASURES.values())
