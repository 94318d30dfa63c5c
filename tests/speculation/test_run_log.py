"""The log of a run: recorded when it is asked for, judged at the end, the same as at once."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from tests.speculation.conftest import text_ids
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation import run_log
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.drafters.early_exit import EarlyExit
from tokenarium.backend.speculation.engine import Round, Speculator
from tokenarium.backend.speculation.matrix import valid_rules
from tokenarium.backend.speculation.rule import Rule
from tokenarium.backend.speculation.run_log import RunLog

RULES = tuple(rule() for rule in valid_rules(EarlyExit, 1.0))


@pytest.fixture(scope="module")
def some_rounds(target: LoadedModel) -> list[Round]:
    rule = Rule.registry.find("speculative_sampling")()
    speculator = Speculator.of_models(
        target, None, EarlyExit(), rule, Processors(1.0), text_ids(20), draft_len=3,
        tree_budget=4, max_new_tokens=12, seed=0,
    )  # fmt: skip
    speculator.begin()
    return [speculator.round(8) for _ in range(4)]


def filled(found: list[Round]) -> Iterator[RunLog]:
    log = RunLog(RULES)
    for each in found:
        log.add(each, len(each.tokens))
        yield log


def same(one: dict[str, Any], other: dict[str, Any], but: tuple[str, ...] = ()) -> None:
    for name in set(one) - set(but):
        values, others = one[name], other[name]
        if name == "rounds":
            values, others = (
                np.concatenate([each[n] for n in each.dtype.names if n != "explain_ms"])
                for each in (values, others)
            )
        assert values.tobytes() == others.tobytes(), name


def test_rounds_judged_at_the_end_are_what_they_are_at_once(
    some_rounds: list[Round], monkeypatch: pytest.MonkeyPatch
) -> None:
    [*_, late] = filled(some_rounds)
    assert not late.rounds, "a round is not recorded before anybody asks"
    partly = late.arrays(judged=False)
    assert len(partly["rounds"]) == 4
    assert np.isnan(partly["judged_accept"]).all()
    whole = late.arrays()
    same(whole, partly, but=("judged_accept", "judged_next"))
    assert np.isfinite(whole["judged_accept"]).any()
    assert (whole["rounds"]["explain_ms"] > partly["rounds"]["explain_ms"] - 1e-6).all()
    monkeypatch.setattr(run_log, "MOST_HELD", 0)
    [*_, at_once] = filled(some_rounds)
    assert len(at_once.rounds) == 4
    same(at_once.arrays(judged=False), whole)


def test_divergence_and_entropy_are_those_of_the_distributions(some_rounds: list[Round]) -> None:
    [*_, log] = filled(some_rounds)
    found = log.arrays()["node_columns"]
    tree, targets = some_rounds[0].tree, some_rounds[0].targets
    p, q = targets[0].double(), tree.draft_probs[0].double()
    assert found["kl_nats"][0] == pytest.approx(float((p * (p / q).log()).sum()), abs=1e-5)
    assert found["target_entropy"][0] == pytest.approx(-float((p * p.log()).sum()), abs=1e-5)
    assert found["tv_overlap"][0] == pytest.approx(float(torch.minimum(p, q).sum()), abs=1e-6)
    gone = tree.draft_probs[0].clone()
    gone[int(p.argmax())] = 0
    tree.draft_probs[0], kept = gone, tree.draft_probs[0]
    [*_, log] = filled(some_rounds)
    assert log.arrays()["node_columns"]["kl_nats"][0] == np.inf
    tree.draft_probs[0] = kept
