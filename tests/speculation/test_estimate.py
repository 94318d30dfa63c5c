"""What state can save: the break-even against the formula, and runs whose numbers are known."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tokenarium.backend import SpeculateRequest
from tokenarium.backend.speculation.estimate import break_even, estimate
from tokenarium.backend.speculation.node_schema import NODE, ROUND, STATUSES
from tokenarium.backend.speculation.sequoia import speedup

REQUEST = SpeculateRequest(model="m", prompt="x", draft_len=2, max_new_tokens=10)


def run(draft_ms: float, plain_ms: float, outcomes: str) -> Any:
    """Return a run of one chain of guesses, each (a)ccepted, (r)ejected or (n)ot tested."""
    words = {"a": "accepted", "r": "rejected", "n": "not_reached"}
    nodes = np.zeros(len(outcomes) + 1, NODE)
    nodes["parent"] = np.arange(-1, len(outcomes))
    nodes["depth"] = np.arange(len(outcomes) + 1)
    nodes["draw_order"] = [-1] + [0] * len(outcomes)
    nodes["status"] = [0, *(STATUSES.index(words[fate]) for fate in outcomes)]
    rounds = np.zeros(1, ROUND)
    rounds["depth"], rounds["draft_ms"], rounds["verify_ms"] = len(outcomes), draft_ms, 2 * plain_ms
    return SimpleNamespace(
        node_columns=nodes,
        rounds=rounds,
        token_ids=np.zeros(outcomes.count("a") + 1, np.int32),
        token_node=np.zeros(0, np.int32),
        plain_ids=np.zeros(3, np.int32),
        plain_step_ms=np.full(3, plain_ms, np.float32),
    )


@pytest.mark.parametrize("draft_len", [1, 3, 8])
@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.4, 0.9])
def test_at_break_even_nothing_is_won(draft_len: int, ratio: float) -> None:
    found = break_even(draft_len, ratio)
    assert found is not None
    assert speedup(found, draft_len, ratio) == pytest.approx(1, abs=1e-9)
    assert speedup(min(1, found + 0.01), draft_len, ratio) > 1


def test_a_draft_as_dear_as_the_target_never_pays() -> None:
    assert break_even(4, 1.0) is None
    assert break_even(4, 1.5) is None


def test_runs_tell_acceptance_and_cost() -> None:
    # Levels tested: a, r of the first, a, a of the second; state a level takes 2 of 10 ms.
    found = estimate(REQUEST, [(run(4, 10, "ar"), 50.0), (run(4, 10, "aa"), 60.0)])
    assert (found.runs, found.draft_len) == (2, 2)
    assert found.acceptance == pytest.approx(3 / 4)
    assert found.cost_ratio == pytest.approx(0.2)
    assert found.verify_ratio == pytest.approx(2)
    assert found.expected == pytest.approx((1 - 0.75**3) / (0.25 * (2 * 0.2 + 1)))
    assert found.measured == pytest.approx(np.median([10 / (24 / 2), 10 / (24 / 3)]))
    # Two passes of the draft at .2 and a verifying one at 2, for 1 + .75 + .75^2 tokens.
    assert found.expected_here == pytest.approx((1 + 0.75 + 0.75**2) / (2 * 0.2 + 2))
    assert replace(found, measured=1.2).pays == "yes"
    assert estimate(REQUEST, [(run(4, 10, "rr"), 50.0)]).pays == "no"
    assert found.pays == "about even"
    assert found.total_ms == pytest.approx(10 * np.median([50 / 2, 60 / 3]))


def test_untested_guesses_are_no_levels() -> None:
    found = estimate(REQUEST, [(run(4, 10, "rn"), 50.0)])
    assert found.acceptance == 0


def test_nothing_is_known_before_the_first_run() -> None:
    found = estimate(REQUEST, [])
    assert (found.runs, found.pays, found.expected_here) == (0, "unknown", None)
    assert (found.acceptance, found.expected, found.break_even, found.total_ms) == (None,) * 4
