"""Exact output distributions of rules: the target's for valid pairs, how far off for others."""

from itertools import product

import numpy as np
import pytest
import torch

import tokenarium.backend.speculation.rules  # noqa: F401
from tests.speculation.strategies import DRAWS
from tokenarium.backend.speculation.enumeration import (
    bias,
    heap_trees,
    joint_distribution,
    outputs,
    random_distributions,
    sibling_sets,
)
from tokenarium.backend.speculation.rule import Rule

RULES = [kind for kind in Rule.registry.all() if kind.__module__.startswith("tokenarium.backend.")]
LOSSLESS = [kind for kind in RULES if kind.promise == "lossless" and not kind.greedy_only]
VALID = [(kind, draw) for kind in LOSSLESS for draw in DRAWS if draw in kind.exact_for]
INVALID = [(kind, draw) for kind in LOSSLESS for draw in DRAWS if draw not in kind.exact_for]


def named(pair):
    return [f"{kind.slug}-{draw}" for kind, draw in pair]


def awkward(vocabulary: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Targets and drafts: equal, disjoint, one-hot, with zeros where the other has mass, ties."""
    rng = np.random.default_rng(3)
    p, q = rng.dirichlet(np.ones(vocabulary), 2)
    half = np.zeros(vocabulary)
    half[: vocabulary // 2] = 1 / (vocabulary // 2)
    other = np.zeros(vocabulary)
    other[vocabulary // 2 :] = 1 / (vocabulary - vocabulary // 2)
    hot, cold = np.eye(vocabulary)[[0, 1]]
    even = np.full(vocabulary, 1 / vocabulary)
    pairs = [(p, p), (half, other), (hot, q), (p, hot), (hot, hot), (hot, cold)]
    pairs += [(p, half), (half, q), (even, q), (p, even), (even, even), (half, even)]
    targets, drafts = (torch.from_numpy(np.array(side)) for side in zip(*pairs, strict=True))
    return targets, drafts


@pytest.mark.parametrize(("kind", "draw"), VALID, ids=named(VALID))
def test_valid_pair_puts_out_the_targets_law(kind, draw):
    for children in range(1, (kind.max_children or 4) + 1):
        for targets, drafts in (random_distributions(40 // children, 5, children), awkward(6)):
            found = outputs(kind(), targets, drafts, draw, children)
            assert float(found.distance(targets).max()) < 1e-12
            assert not found.probs[targets == 0].any()


@pytest.mark.parametrize(("kind", "draw"), INVALID, ids=named(INVALID))
def test_invalid_pair_is_biased_as_declared(kind, draw):
    """The numbers that refusals name."""
    found = bias(kind(), draw)
    assert found.mean > 0.01
    declared = kind.measured_bias[draw]
    assert (round(found.mean, 2), round(found.largest, 2)) == declared


def test_every_invalid_draw_has_its_bias_declared_and_no_other():
    for kind in LOSSLESS:
        assert set(kind.measured_bias) == set(DRAWS) - kind.exact_for


@pytest.mark.parametrize("draw", ["iid", "without_replacement"])
@pytest.mark.parametrize("mistake", ["pruned", "reordered"])
def test_children_changed_after_drawing_bias_rules_that_read_the_draft(draw, mistake):
    for kind in LOSSLESS:
        if draw not in kind.exact_for or (kind.max_children == 1 and mistake == "reordered"):
            continue
        found = bias(kind(), draw, mistake=mistake, pairs=100)
        if kind.needs_draft_probs:
            assert found.mean > 0.02
        else:
            assert found.largest < 1e-12


def test_children_drawn_at_another_temperature_are_biased():
    targets, drafts = random_distributions(100, 5, 0)
    colder = drafts**2 / (drafts**2).sum(-1, keepdim=True)
    for slug in ("speculative_sampling", "multi_round"):
        found = outputs(Rule.registry.find(slug)(), targets, drafts, "iid", 1, drawn_from=colder)
        assert float(found.distance(targets).mean()) > 0.05
        honest = outputs(Rule.registry.find(slug)(), targets, colder, "iid", 1)
        assert float(honest.distance(targets).max()) < 1e-12


def test_relaxed_and_greedy_rules_do_not_keep_the_law():
    for slug in ("typical", "greedy"):
        assert bias(Rule.registry.find(slug)(), "iid", pairs=50).mean > 0.2


@pytest.mark.parametrize("draw", ["iid", "without_replacement"])
@pytest.mark.parametrize("weight", [0.25, 0.8, 1.0])
def test_an_ensemble_has_exactly_the_distribution_of_its_mixture(draw, weight):
    targets, drafts = random_distributions(60, 5, 2)
    targets[:20, 0], drafts[20:40, 1] = 0, 0
    targets, drafts = (each / each.sum(-1, keepdim=True) for each in (targets, drafts))
    rule = Rule.registry.find("ensemble")(weight=weight)
    found = outputs(rule, targets, drafts, draw, 1)
    mixed = (weight * targets + (1 - weight) * drafts).where(targets > 0, 0)
    mixed = mixed / mixed.sum(-1, keepdim=True)
    assert float(found.distance(mixed).max()) < 1e-12
    away = float(found.distance(targets).max())
    assert away < 1e-12 if weight == 1 else away > 0.01


def test_a_group_of_one_is_speculative_sampling_and_a_wider_one_is_not():
    targets, drafts = random_distributions(60, 5, 2)
    plain = outputs(Rule.registry.find("speculative_sampling")(), targets, drafts, "iid", 1)
    alone = outputs(Rule.registry.find("grouped")(neighbours=0), targets, drafts, "iid", 1)
    torch.testing.assert_close(alone.probs, plain.probs)
    wide = outputs(Rule.registry.find("grouped")(), targets, drafts, "iid", 1)
    assert float(wide.distance(targets).mean()) > 0.02
    assert float((wide.accepted - plain.accepted).mean()) > 0.02


def test_neighbours_that_lend_nothing_leave_speculative_sampling_and_others_bias_it():
    lantern = Rule.registry.find("lantern")
    assert bias(lantern(neighbours=0), "iid").largest < 1e-12
    few, more = (bias(lantern(mass=mass), "iid") for mass in (0.05, 0.2))
    assert (round(few.mean, 2), round(few.largest, 2)) == (0.12, 0.24)
    assert few.mean + 0.05 < more.mean
    assert few.accepted + 0.05 < more.accepted


@pytest.mark.parametrize("slug", ["ensemble", "grouped", "lantern", "reflective"])
def test_relaxed_rules_that_read_the_draft_declare_how_far_others_are_off(slug):
    found = bias(Rule.registry.find(slug)(), "deterministic")
    declared = Rule.registry.find(slug).measured_bias["deterministic"]
    assert (round(found.mean, 2), round(found.largest, 2)) == declared


def test_typical_takes_the_likeliest_of_children_that_pass():
    targets = torch.tensor([[0.2, 0.5, 0.3]] * 2, dtype=torch.float64)
    drafts = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.5, 0.4]], dtype=torch.float64)
    found = outputs(Rule.registry.find("typical")(), targets, drafts, "deterministic", 2)
    wanted = torch.eye(3, dtype=torch.float64)[[1, 1]]  # of 0 and 1, and of 1 and 2
    torch.testing.assert_close(found.probs, wanted)


def test_more_is_accepted_without_replacement_than_with():
    """The order of the rules in the mean over random distributions; one child is the least."""
    for children in (2, 3):
        single = bias(Rule.registry.find("speculative_sampling")(), "iid", children).accepted
        rounds = bias(Rule.registry.find("multi_round")(), "iid", children).accepted
        alike = bias(Rule.registry.find("k_seq")(), "iid", children).accepted
        once = bias(Rule.registry.find("recursive")(), "without_replacement", children).accepted
        assert single < rounds < alike < once
    targets, drafts = random_distributions(400, 5, 0)
    assert single == pytest.approx(float(torch.minimum(targets, drafts).sum(-1).mean()), abs=1e-9)


@pytest.mark.parametrize("draw", DRAWS)
def test_sibling_sets_are_all_that_can_be_drawn(draw):
    draft = [0.5, 0.3, 0.0, 0.2]
    found = dict(sibling_sets(draft, draw, 2))
    assert sum(found.values()) == pytest.approx(1, abs=1e-15)
    if draw == "deterministic":
        assert found == {(0, 1): 1.0}
    elif draw == "iid":
        assert set(found) == set(product((0, 1, 3), repeat=2))
        assert found[1, 1] == pytest.approx(0.09)
    else:
        assert found[0, 3] == pytest.approx(0.5 * 0.2 / 0.5)
        assert set(dict(sibling_sets(draft, draw, 5))) == {
            family for family in product((0, 1, 3), repeat=3) if len(set(family)) == 3
        }


def conditional(seed: int, vocabulary: int):
    """A random language of short texts."""
    known: dict[tuple[int, ...], torch.Tensor] = {}
    generator = torch.Generator().manual_seed(seed)

    def probs(text: tuple[int, ...]) -> torch.Tensor:
        if text not in known:
            known[text] = torch.randn(vocabulary, generator=generator, dtype=torch.float64)
        return known[text].softmax(-1)

    return probs


@pytest.mark.parametrize("kind", [kind for kind in LOSSLESS if not kind.max_children])
def test_two_tokens_of_heap_drawn_trees_have_the_targets_joint_law(kind):
    """Deciding by what was drawn where to draw next is right; dropping what was drawn is not."""
    target, draft = conditional(2, 3), conditional(3, 3)
    wanted = torch.stack([target(())[token] * target((token,)) for token in range(3)])
    whole, dropped = torch.zeros(2, 3, 3, dtype=torch.float64)
    chances = 0.0
    for tree, chance in heap_trees(draft, 5):
        assert len(tree) == 6 or not tree.draft_probs
        whole += chance * joint_distribution(kind(), tree, target, 2)
        tree.pruned = {min(range(1, len(tree)), key=tree.values.__getitem__)}
        dropped += chance * joint_distribution(kind(), tree, target, 2)
        chances += chance
    assert chances == pytest.approx(1, abs=1e-12)
    right = "without_replacement" in kind.exact_for
    assert (float((whole - wanted).abs().sum() / 2) < 1e-12) == right
    exact_anyway = not kind.needs_draft_probs
    assert (float((dropped - wanted).abs().sum() / 2) < 1e-12) == exact_anyway
