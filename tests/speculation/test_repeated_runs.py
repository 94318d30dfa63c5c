"""Whole runs, engine and caches included, repeated from many seeds have the target's output."""

from pathlib import Path

import pytest

from tests.models.conftest import save_model
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.speculation.auditing.repeated_runs import Repeater, check_repeated
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.matrix import valid_rules
from tokenarium.backend.speculation.rule import Rule

Pair = tuple[LoadedModel, LoadedModel]
PROMPT = [0, 40, 41, 42, 40, 41]
ASKED = Processors(temperature=1.5, top_k=4)
VALID = [
    (drafter.slug, rule.slug)
    for drafter in Drafter.registry.all()
    for rule in valid_rules(drafter, 1.0)
    if rule.promise == "lossless"
]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A tiny target and a smaller draft of the same tokens, likely to agree now and then."""
    found = []
    for name, changes in (("target", {}), ("draft", {"num_hidden_layers": 2})):
        folder: Path = tmp_path_factory.mktemp(name)
        save_model(folder, "llama", max_position_embeddings=512, **changes)
        source = ModelSource(f"local/{name}", folder, None, name)
        found.append(load(source, "float32", "cpu", 64))
    # The draft's layers are the target's first: it is wrong, and not always.
    ours, theirs = found[0].model.state_dict(), found[1].model.state_dict()
    found[1].model.load_state_dict({name: ours[name] for name in theirs})
    return found[0], found[1]


def repeater(pair: Pair, drafter: str, rule: str) -> Repeater:
    chosen = Drafter.registry.find(drafter)()
    draft = pair[1] if chosen.source == "draft_model" else None
    return Repeater(
        chosen, Rule.registry.find(rule)(), ASKED, pair[0], draft, draft_len=2, tree_budget=5
    )


def test_a_valid_pair_has_the_targets_law(pair: Pair) -> None:
    check = check_repeated(repeater(pair, "gumbel_tree", "recursive"), PROMPT, samples=150)
    assert check.verdict == "passed"
    assert check.numbers["degrees_of_freedom"] >= 8


def test_a_refused_pair_is_found_to_be_biased(pair: Pair) -> None:
    check = check_repeated(repeater(pair, "topk_tree", "recursive"), PROMPT, samples=100)
    assert check.verdict == "failed"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("drafter", "rule"), VALID)
def test_every_valid_pair_has_the_targets_law(pair: Pair, drafter: str, rule: str) -> None:
    check = check_repeated(repeater(pair, drafter, rule), PROMPT, samples=600, seed=9000)
    assert check.verdict == "passed"
    assert check.numbers["found_total_variation"] < 0.2
