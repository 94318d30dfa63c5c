"""The simulation against laws of queues that hold whatever is drawn."""

import pytest

from tests.load.simulation import Machines, Outcome, faster, most_visitors, simulated

RUN = {"runs": [{"replica": 0.0, "workers": 0.5, "database": 0.0}]}
ONLY = {"runs": 1.0}


def median(outcome: Outcome) -> float:
    return outcome.quantile("runs", 0.5)


def test_answers_of_a_busy_worker_take_what_the_visitors_leave_it() -> None:
    # Forty visitors of a mean pause of 4 s and one worker of 0.5 s: 40 x 0.5 - 4 (Little).
    crowd = simulated(RUN, 40, Machines(1, 1, queue=100), ONLY, length_s=400.0)
    assert median(crowd) == pytest.approx(16.0, rel=0.05)
    assert crowd.busy["workers"] == pytest.approx(1.0, abs=0.02)
    assert not crowd.refused
    two = simulated(RUN, 40, Machines(1, 2, queue=100), ONLY, length_s=400.0)
    assert median(two) == pytest.approx(6.0, rel=0.1)
    one = simulated(RUN, 1, Machines(1, 1), ONLY)
    assert median(one) == pytest.approx(0.5)


def test_a_full_queue_refuses() -> None:
    crowd = simulated(RUN, 40, Machines(1, 1, queue=4), ONLY)
    assert crowd.refused
    assert max(crowd.waits["runs"]) <= 6 * 0.5


def test_workers_stand_back_where_processors_are_few() -> None:
    both = {
        "looks": [{"replica": 0.02, "workers": 0.0, "database": 0.0}],
        "runs": [{"replica": 0.0, "workers": 5.0, "database": 0.0}],
    }
    crowd = simulated(both, 40, Machines(1, 4, cores=1), {"looks": 0.5, "runs": 0.5})
    assert crowd.quantile("looks", 0.95) < 0.3
    assert crowd.busy["workers"] > 0.1


def test_the_most_visitors_are_those_before_somebody_waits_too_long() -> None:
    count, broken = most_visitors(RUN, Machines(1, 1, queue=100), ONLY)
    assert broken == "workers"
    # A wait of at most 10 s: (10 + 4) / 0.5 visitors.
    assert count == pytest.approx(28, abs=3)
    assert most_visitors(RUN, Machines(1, 1), ONLY, most=5) == (5, "nothing")
    tenth = faster(RUN, 10)
    assert tenth["runs"][0]["workers"] == pytest.approx(0.05)
    assert most_visitors(tenth, Machines(1, 1, queue=1000), ONLY)[0] == pytest.approx(280, rel=0.1)
