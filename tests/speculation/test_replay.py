"""Stored trees walked again agree with the run; sums are those counted by hand."""

from collections.abc import Iterator

import numpy as np
import pytest

from tests.labs import shipped_store
from tests.models.conftest import save_model
from tokenarium.backend import Lab, Settings, SpeculateRequest, SpeculationResult
from tokenarium.backend.speculation.node_schema import STATUSES
from tokenarium.backend.speculation.replay import replay_round, tree_rows
from tokenarium.backend.speculation.summary import (
    Levels,
    Share,
    acceptance_vector,
    by_depth,
    by_entropy,
    by_rank,
    calibration,
    levels,
    outcome_counts,
    pace,
)

PAIRS = [
    ("iid_tree", "k_seq", 1.0),
    ("gumbel_tree", "recursive", 0.8),
    ("draft_chain", "speculative_sampling", 1.0),
    ("topk_tree", "typical", 1.0),
    ("topk_tree", "greedy", 0.0),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "target", "llama")
    save_model(folder / "draft", "llama", num_hidden_layers=2)
    settings = Settings(database=shipped_store(), models_dir=folder, device="cpu", hosted=False)
    with Lab(settings) as made:
        yield made


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: "-".join(map(str, pair)))
def result(request: pytest.FixtureRequest, lab: Lab) -> SpeculationResult:
    drafter, rule, temperature = request.param
    wanted = lab.request(
        SpeculateRequest,
        model="local/target",
        draft_model="local/draft",
        prompt="THE QUICK BROWN FOX",
        drafter=drafter,
        rule=rule,
        temperature=temperature,
        max_new_tokens=12,
        plain=True,
    )
    found = lab.run(wanted).result
    assert isinstance(found, SpeculationResult)
    return found


def test_the_rule_of_the_run_retells_the_run(result: SpeculationResult) -> None:
    path = 0
    for number in range(len(result.rounds)):
        rows = tree_rows(result, number)
        found = replay_round(result, result.rule, number)
        assert found is not None
        stored = [STATUSES[place] for place in result.node_columns["status"][rows]]
        assert list(found.outcomes) == ["accepted" if s == "cut" else s for s in stored]
        ended = result.node_columns[rows.stop]
        assert found.token == ended["token_id"]
        assert found.ending == STATUSES[ended["status"]] or STATUSES[ended["status"]] == "cut"
        path += len(found.path)
    assert path == result.rounds["accepted_len"].sum()


def test_every_rule_that_judged_retells_every_round(result: SpeculationResult) -> None:
    assert result.rule in result.rules
    for rule in result.rules:
        for number in range(len(result.rounds)):
            found = replay_round(result, rule, number)
            assert found is not None
            assert found.outcomes[0] == "root"
            assert all(found.outcomes[node] == "accepted" for node in found.path)
            assert str(found.token) in result.choice_text


def test_what_was_not_judged_is_refused(result: SpeculationResult) -> None:
    with pytest.raises(ValueError, match="rule='none' was not evaluated"):
        replay_round(result, "none", 0)
    with pytest.raises(ValueError, match="round=99"):
        replay_round(result, result.rule, 99)


def test_levels_are_the_steps_of_every_walk(result: SpeculationResult) -> None:
    found = levels(result)
    rounds = result.rounds
    assert (found.accepted >= 0).sum() == rounds["accepted_len"].sum()
    # Every walk ends at a level that accepts nothing, or at a node without verified children.
    last = [tree_rows(result, n).stop for n in range(len(rounds))]
    ended = [result.node_columns["parent"][row] for row in last]
    guess = result.node_columns["draw_order"] >= 0
    kept = guess & (result.node_columns["status"] != STATUSES.index("pruned_before_verify"))
    parents = set(result.node_columns["parent"][kept].tolist())
    assert (found.accepted < 0).sum() == sum(int(node) in parents for node in ended)


def test_shares_add_up_to_the_levels(result: SpeculationResult) -> None:
    found = levels(result)
    accepted = int((found.accepted >= 0).sum())
    for shares in (by_depth(found), by_rank(found), by_entropy(found)):
        assert sum(share.happened for share in shares) == accepted
    assert sum(share.count for share in by_depth(found)) == len(found.accepted)
    vector = acceptance_vector(by_rank(found))
    assert 0 <= sum(vector) <= 1 + 1e-9


def test_expected_and_real_acceptance_count_every_verified_guess(
    result: SpeculationResult,
) -> None:
    shares = calibration(result, "est_value")
    assert sum(share.count for share in shares) == result.rounds["verified"].sum()
    assert sum(share.happened for share in shares) == result.rounds["accepted_len"].sum()
    outcomes = outcome_counts(result)
    assert sum(outcomes.values()) == result.rounds["drafted"].sum()
    tested = calibration(result, "accept_prob")
    counted = outcomes.get("accepted", 0) + outcomes.get("cut", 0) + outcomes.get("rejected", 0)
    assert sum(share.count for share in tested) == counted


def test_pace_is_time_by_tokens(result: SpeculationResult) -> None:
    found = pace(result)
    assert found.total_ms == pytest.approx(1e3 / result.tokens_per_s)
    assert found.speedup == pytest.approx(result.tokens_per_s / result.plain_tokens_per_s)


def test_the_vector_is_scaled_where_counts_pass_one() -> None:
    assert acceptance_vector([Share(0, 4, 2), Share(1, 2, 1)]) == [0.5, 0.5]
    np.testing.assert_allclose(
        acceptance_vector([Share(0, 4, 4), Share(2, 2, 1)]), [2 / 3, 0, 1 / 3]
    )
    assert acceptance_vector([]) == []


def test_a_bin_of_entropies_stands_at_their_mean_and_counts_its_own_levels() -> None:
    entropies = np.array([9.0, np.nan, 1.0, 5.0, 2.0], np.float32)
    accepted = np.array([-1, 0, 2, -1, 0], np.int32)
    found = Levels(np.ones(5, np.int32), accepted, (np.zeros(1, np.int32),) * 5, entropies)
    assert by_entropy(found, bins=2) == [Share(1.5, 2, 2), Share(7.0, 2, 0)]
    assert by_entropy(found, bins=3) == [Share(1.5, 2, 2), Share(5.0, 1, 0), Share(9.0, 1, 0)]
