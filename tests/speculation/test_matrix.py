"""Which pairs of drafter and rule are allowed, and what a refusal says."""

from typing import ClassVar

import pytest

from tests.speculation.strategies import DRAWS
from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.matrix import pairs, refuse_unless_exact, valid_rules, why_not
from tokenarium.backend.speculation.rule import Rule
from tokenarium.backend.speculation.tree import Draw

RULES = [kind for kind in Rule.registry.all() if kind.__module__.startswith("tokenarium.backend.")]
DRAFTERS = [
    kind for kind in Drafter.registry.all() if kind.__module__.startswith("tokenarium.backend.")
]
EXACT = {
    "deterministic": {"sample_and_match", "top_k_set"},
    "iid": {"sample_and_match", "top_k_set", "multi_round", "k_seq"},
    "without_replacement": {"sample_and_match", "top_k_set", "recursive"},
}
ONE_CHILD = {
    "ensemble",
    "grouped",
    "lantern",
    "reflective",
    "speculative_sampling",
    "multi_round",
    "k_seq",
    "recursive",
}


def allowed(draw: Draw, temperature: float, **rest: bool) -> set[str]:
    return {kind.slug for kind in RULES if why_not(draw, kind, temperature, **rest) is None}


@pytest.mark.parametrize("draw", DRAWS)
def test_matrix_allows_what_keeps_the_law(draw):
    assert allowed(draw, 0.7) == EXACT[draw] | {"typical"}
    drawn = draw != "deterministic"
    assert allowed(draw, 0.7, branches=False) == (
        EXACT[draw] | {"typical"} | (ONE_CHILD if drawn else set())
    )


@pytest.mark.parametrize("draw", DRAWS)
def test_matrix_allows_greedy_alone_at_temperature_zero(draw):
    assert allowed(draw, 0.0) == {"greedy"}
    assert "likeliest token" in why_not(draw, Rule.registry.find("greedy"), 0.7)
    assert "temperature 0" in why_not(draw, Rule.registry.find("recursive"), 0.0)


@pytest.mark.parametrize("draw", ["iid", "without_replacement"])
def test_matrix_refuses_what_reads_the_law_of_pruned_draws(draw):
    assert allowed(draw, 1.0, prunes=True) == {"sample_and_match", "top_k_set", "typical"}


def test_matrix_lets_prune_what_was_not_drawn():
    assert allowed("deterministic", 1.0, prunes=True) == allowed("deterministic", 1.0)


def test_refusal_names_the_bias_and_what_to_choose():
    reason = why_not("deterministic", Rule.registry.find("multi_round"), 1.0)
    assert "0.36 in the mean and up to 0.83" in reason
    assert reason.endswith("choose rule sample_and_match, top_k_set")
    assert "at most 1 child" in why_not("iid", Rule.registry.find("speculative_sampling"), 1.0)


class Pruning(Drafter):
    """Draws and drops; not registered, having no slug."""

    title: ClassVar[str] = "Pruning"
    draw: ClassVar[Draw] = "without_replacement"
    prunes: ClassVar[bool] = True


def test_matrix_reads_the_drafters_declaration():
    reason = why_not(Pruning, Rule.registry.find("recursive"), 1.0)
    assert "Pruning leaves out some of what it drew" in reason
    assert why_not(Pruning, Rule.registry.find("recursive"), 1.0, prunes=False) is None
    assert why_not(Pruning, Rule.registry.find("top_k_set"), 1.0) is None
    assert why_not(Pruning, Rule.registry.find("greedy"), 0.0) is None


@pytest.mark.parametrize("drafter", DRAFTERS, ids=lambda drafter: drafter.slug)
def test_every_drafter_has_rules_at_every_temperature(drafter):
    for temperature in (0.0, 0.7):
        fitting = valid_rules(drafter, temperature)
        assert fitting
        assert fitting[0].promise == "lossless"
        for rule in RULES:
            if rule in fitting:
                refuse_unless_exact(drafter, rule, temperature)
            else:
                with pytest.raises(ValueError, match=drafter.slug):
                    refuse_unless_exact(drafter, rule, temperature)


def test_table_holds_every_pair_once():
    found = {(pair.drafter, pair.rule): pair for pair in pairs()}
    assert len(found) == len(pairs())
    for drafter in DRAFTERS:
        for rule in RULES:
            pair = found[drafter.slug, rule.slug]
            assert (pair.reason is None) == (
                rule in valid_rules(drafter, 0.0 if rule.greedy_only else 1.0)
            )
            assert (pair.promise, pair.greedy_only) == (rule.promise, rule.greedy_only)
