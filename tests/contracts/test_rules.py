"""What every registered acceptance rule must declare and keep to."""

import pkgutil
import re
import subprocess
import sys
from typing import ClassVar, get_args

import numpy as np
import pytest
import torch

import tokenarium.backend.speculation.rules
from tokenarium.backend.speculation.rule import AcceptanceTests, Promise, Residual, Rule
from tokenarium.backend.speculation.tree import ROOT, Draw, TokenTree
from tokenarium.backend.speculation.verify import verify

RULES = [kind for kind in Rule.registry.all() if kind.__module__.startswith("tokenarium.backend.")]
EVERY = pytest.mark.parametrize("kind", RULES, ids=lambda kind: kind.slug)
SENTENCE = re.compile(r"[A-Z].*\.", re.DOTALL)


@EVERY
def test_rule_declares_what_the_page_shows(kind):
    assert re.fullmatch(r"[a-z0-9_]+", kind.slug)
    assert kind.__module__ == f"tokenarium.backend.speculation.rules.{kind.slug}"
    assert SENTENCE.fullmatch(kind.explanation)
    assert SENTENCE.match(kind.__doc__ or "")
    assert re.fullmatch(r"\D+, 20\d\d, arXiv:\d{4}\.\d{5}", kind.paper)
    assert kind.promise in get_args(Promise)
    assert kind.exact_for <= set(get_args(Draw))
    assert kind.exact_for
    assert not kind.greedy_only or kind.exact_for == set(get_args(Draw))
    # A relaxed rule is for every draw, unless it reads the draft's probabilities.
    every = kind.exact_for == set(get_args(Draw))
    assert kind.promise == "lossless" or every or kind.needs_draft_probs
    assert kind.max_children is None or kind.max_children > 0
    assert not (kind.one_sample and (kind.longest_path or kind.needs_draft_probs))
    for name, field in kind.model_fields.items():
        assert SENTENCE.fullmatch(field.description or ""), name
        assert field.metadata, f"{name} has no bounds"
    kind()


def test_rules_are_one_file_each():
    modules = pkgutil.iter_modules(tokenarium.backend.speculation.rules.__path__)
    assert {kind.slug for kind in RULES} == {module.name for module in modules}
    with pytest.raises(ValueError, match="choose ensemble, greedy"):
        Rule.registry.find("no_such_rule")


def test_slug_of_another_rule_is_refused():
    with pytest.raises(TypeError, match="taken by 'Greedy match'"):

        class Other(Rule):
            """Copies a name."""

            slug: ClassVar[str] = "greedy"


@pytest.mark.process
def test_declarations_import_no_torch():
    code = "import sys, tokenarium.backend.speculation.rules; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@EVERY
def test_rule_yields_a_test_for_each_child_and_then_what_is_left(kind):
    probs = torch.tensor([[0.5, 0.3, 0.2]] * 2)
    for count in (1, 2, 3):
        children = torch.tensor([[0, 1, 2], [2, 0, 1]])[:, :count]
        *tests, rest = kind().acceptance_tests(probs, probs, children)
        assert len(tests) == count
        assert isinstance(rest, Residual)
        assert rest.probs.shape == probs.shape
        for test in tests:
            assert isinstance(test, AcceptanceTests)
            assert test.accept_prob.shape == test.target_prob.shape == (2,)
            assert (test.draft_prob is not None) == kind.needs_draft_probs


@EVERY
def test_rule_leaves_the_laws_it_is_given_alone(kind):
    target, draft = torch.rand(2, 3, 6, generator=torch.Generator().manual_seed(0)).softmax(-1)
    before = target.clone(), draft.clone()
    list(kind().acceptance_tests(target, draft, torch.tensor([[0, 1], [2, 2], [3, 5]])))
    kind().bonus(target, torch.zeros(3, dtype=torch.double))
    assert torch.equal(target, before[0])
    assert torch.equal(draft, before[1])


@EVERY
def test_rule_walks_the_same_tree_the_same_way(kind):
    """All chance comes from outside."""
    rng, tree = np.random.default_rng(0), TokenTree.of(0)
    for parent in (ROOT, ROOT, 1, 2):
        tree.add(parent, int(rng.integers(6)))
    probs = torch.from_numpy(rng.dirichlet(np.ones(6), (2, 5)))
    tree.draft_probs = dict(enumerate(probs[1]))
    targets = dict(enumerate(probs[0]))
    for _ in range(10):
        accept, follow = rng.random((2, 5))
        first, again = (verify(kind(), tree, targets, accept, follow) for _ in range(2))
        assert (first.path, first.token) == (again.path, again.token)
        assert repr(first.tests) == repr(again.tests)  # NaN is not equal to itself
