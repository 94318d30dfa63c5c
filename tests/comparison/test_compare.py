"""Runs beside each other: numbers worked by hand, and what is refused."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from tests.ui.hand_made import trace
from tokenarium.backend import (
    CacheRequest,
    Lab,
    LensRequest,
    RunComparison,
    SpeculateRequest,
    TraceRequest,
    UserError,
)
from tokenarium.backend.comparison.compare import compare_runs
from tokenarium.backend.runs.run import Run

CAT = ("<s>", "the", " cat", " sat")
DOG = ("<s>", "the", " dog", " sat", ".")


def run(number: int, request: Any, result: Any, **environment: Any) -> Run:
    return Run(f"run-{number}", request, result, datetime.now(UTC), 1.0, environment, False)


def read(number: int, pieces: tuple[str, ...], ids: list[int], **changes: Any) -> Run:
    stops = np.cumsum([0 if piece == "<s>" else len(piece) for piece in pieces])
    starts = np.concatenate([[0], stops[:-1]])
    text = "".join(pieces).removeprefix("<s>")
    result = trace(
        len(pieces),
        token_ids=np.array(ids, np.int32),
        token_text=pieces,
        offsets=np.stack([starts, stops], -1).astype(np.int32),
        text=text,
        **changes,
    )
    return run(number, TraceRequest(model=f"model/{number}", text=text), result)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def pair() -> RunComparison:
    first = read(1, CAT, [7, 1, 2, 3], surprisal_nats=floats(np.nan, 1, 2, 3))
    second = read(2, DOG, [7, 1, 5, 3, 4], surprisal_nats=floats(np.nan, 1.5, 9, 0.25, 7))
    return compare_runs([first, second])


def test_traces_differ_at_aligned_tokens_only() -> None:
    found = pair()
    assert found.places == ("<s>", "the", " sat")
    assert found.difference("surprisal_nats")[1].tolist()[1:] == [0.5, -2.75]
    largest = found.largest("surprisal_nats")
    assert largest is not None
    assert (largest.lane, largest.place, largest.first, largest.other) == (1, 2, 3, 0.25)
    assert largest.difference == -2.75
    assert [lane.places.tolist() for lane in found.lanes] == [[0, 1, -1, 2], [0, 1, -1, 2, -1]]
    assert repr(found) == (
        "<RunComparison of 2 trace runs: 3 tokens, 3 of 4 and 3 of 5 tokens aligned by token>"
    )


def test_spans_of_two_tokenizers_sum_surprisal_and_take_the_last_entropy() -> None:
    first = read(
        1, ("an", "other", " cat"), [1, 2, 3],
        surprisal_nats=floats(1, 2, 4), entropy_nats=floats(5, 6, 7),
    )  # fmt: skip
    second = read(
        2, ("another", " c", "at"), [8, 9, 10],
        surprisal_nats=floats(2.5, 1, 2), entropy_nats=floats(1, 2, 3),
    )  # fmt: skip
    found = compare_runs([first, second])
    assert found.places == ("another", " cat")
    assert found.measure("surprisal_nats").values.tolist() == [[3, 4], [2.5, 3]]
    assert found.measure("entropy_nats").values.tolist() == [[6, 7], [1, 3]]
    received = [each.result.received_by_token() for each in (first, second)]  # type: ignore[attr-defined]
    assert found.measure("received_mass").values == pytest.approx(
        np.array(
            [
                [received[0][:2].sum(), received[0][2]],
                [received[1][0], received[1][1:].sum()],
            ]
        )
    )


def test_heads_are_the_second_less_the_first_and_not_paired_where_shapes_differ() -> None:
    first, second = read(1, CAT, [7, 1, 2, 3]), read(2, CAT, [7, 1, 2, 3])
    second = dataclasses.replace(
        second,
        result=dataclasses.replace(second.result, self_mass=first.result.self_mass * 3),  # type: ignore[attr-defined]
    )
    found = compare_runs([first, second])
    assert found.head_difference("self")[1] == pytest.approx(2 * first.result.self_mass)  # type: ignore[attr-defined]
    assert not found.head_difference("previous").any()
    small = dataclasses.replace(
        second, result=dataclasses.replace(second.result, sink_score=np.zeros((1, 4), np.float32))
    )
    apart = compare_runs([first, small])
    assert not apart.heads
    assert "2 layers of 4 heads" in apart.notes[0]
    with pytest.raises(UserError, match="cannot be paired"):
        apart.head_difference("sink")


def test_means_of_traces_are_of_the_difference() -> None:
    ids = list(range(40))
    pieces = tuple(f" w{i}" for i in ids)
    nats = np.linspace(1, 9, 40, dtype=np.float32)
    first = read(1, pieces, ids, surprisal_nats=nats)
    found = compare_runs([first, read(2, pieces, ids, surprisal_nats=nats + 0.5)])
    mean = found.mean("surprisal_nats")[1]
    assert mean is not None
    assert (mean.n, mean.low) == (40, pytest.approx(0.5, abs=1e-5))
    assert mean.high == pytest.approx(0.5, abs=1e-5)


def test_tables_have_what_was_compared() -> None:
    found = pair()
    assert found.tables == ("place", "lane", "head")
    rows = found.table("place").to_pylist()
    assert [(row["run"], row["token"]) for row in rows] == [
        (f"run-{lane}", place) for lane in (1, 2) for place in range(3)
    ]
    assert rows[5]["name"] == " sat"
    assert rows[5]["surprisal_nats_difference"] == -2.75
    assert found.table("lane").column("aligned").to_pylist() == [None, 3]
    assert found.table("head").num_rows == 2 * 2 * 4
    with pytest.raises(UserError, match="choose place, lane, head"):
        found.table("heads")
    with pytest.raises(UserError, match="choose surprisal_nats, entropy_nats, received_mass"):
        found.difference("rank")


def test_figures_draw_the_same_numbers() -> None:
    found = pair()
    lines = found.figure("places", measure="entropy_nats")
    assert [line.y.tolist() for line in lines.data] == found.measure("entropy_nats").values.tolist()
    [line] = found.figure("differences").data
    assert line.y.tolist()[1:] == [0.5, -2.75]
    assert lines.layout.meta["x"] == "token"
    grid = found.figure("head_differences", measure="self").data[0]
    assert (grid.zmin, grid.zmax) == (-1, 1), "no difference is in the middle of the scale"
    assert np.asarray(found.figure("head_values").data[1].z) == pytest.approx(
        found.heads["sink"][1]
    )
    with pytest.raises(UserError, match="places, differences"):
        found.figure("sinks")


def test_names_say_what_differs() -> None:
    found = pair()
    names = [lane.name for lane in found.lanes]
    assert names == ["model/1 · “the cat sat”", "model/2 · “the dog sat.”"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A lab with the shipped examples, which computes nothing."""
    from tokenarium.backend import Settings

    folder = tmp_path_factory.mktemp("lab")
    with Lab(Settings(database=f"duckdb:///{folder / 'runs.duckdb'}", device="cpu")) as opened:
        yield opened


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (["example-first-token"], "2 to 6"),
        ([f"example-{n}" for n in range(7)], "ids has 7"),
        (["example-first-token"] * 2, "does not differ from itself"),
        (["example-first-token", "no-such-run"], "no-such-run"),
        (["example-first-token", "example-what-is-kept"], "compare runs of one kind"),
        ("example-first-token", "give a list"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(lab: Lab, ids: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        lab.compare(ids)


def test_kinds_without_a_comparison_are_refused(lab: Lab) -> None:
    kinds = {kind.slug for kind in lab.kinds() if kind.compare}
    assert kinds == {"trace", "cache", "speculate", "sweep", "decode"}
    request = LensRequest.model_construct(model="m")
    with pytest.raises(UserError, match="run-1 is a lens: runs of these kinds can be compared"):
        compare_runs([run(1, request, trace(3)), run(2, request, trace(3))])


def test_speculative_runs_are_paired_by_round(lab: Lab) -> None:
    ids = [each.run_id for each in lab.examples(SpeculateRequest.kind)][:2]
    found = lab.compare(ids)
    for row, each in enumerate(found.runs):
        result: Any = each.result
        rounds = len(result.rounds)
        accepted = found.measure("accepted").values[row]
        assert accepted[:rounds].tolist() == result.accepted_in_text.tolist()
        assert np.isnan(accepted[rounds:]).all()
        mean = found.mean("token_ms")[row]
        assert mean is not None
        assert mean.value == pytest.approx(1000 / result.tokens_per_s, rel=1e-4)
        assert found.lanes[row].places.max() == rounds - 1


def test_strategies_are_compared_with_the_same_of_the_first_run(lab: Lab) -> None:
    stored = lab.open("example-where-it-hesitates")
    result: Any = stored.result
    columns = result.token_columns.copy()
    columns["entropy_nats"] *= 2
    other = dataclasses.replace(
        result, token_columns=columns, strategies=("greedy", "beam", "sampling")
    )
    found = compare_runs([stored, dataclasses.replace(stored, id="other", result=other)])
    assert [lane.reference for lane in found.lanes] == [0, 1, 2, 0, 0, 2]
    assert [lane.baseline for lane in found.lanes] == [True, False, False] * 2
    second = result.lanes[2]
    length = len(second.token_ids)
    assert found.difference("entropy_nats")[5, :length] == pytest.approx(second.entropy_nats)
    assert found.measure("surprisal_nats").values[5, :length] == pytest.approx(
        -np.log(second.tokens["probability"])
    )
    assert found.measure("passes").values[2, :length].sum() == second.tokens["passes"][-1]
    assert [each is None for each in found.alignments] == [True] * 3 + [False] * 3
    assert found.lanes[5].texts == second.token_text


def test_policies_are_compared_with_the_same_of_the_first_run(lab: Lab) -> None:
    stored = lab.open(lab.examples(CacheRequest.kind)[0].run_id)
    result: Any = stored.result
    less = dataclasses.replace(result, kl_nats=result.kl_nats / 2)
    found = compare_runs([stored, dataclasses.replace(stored, id="other", result=less)])
    count = len(result.policies)
    assert [lane.reference for lane in found.lanes] == [*range(count), *range(count)]
    assert not np.nan_to_num(found.difference()[:count]).any()
    steps = result.runs[0].steps
    assert found.difference()[count, :steps] == pytest.approx(-result.kl_nats[0, :steps] / 2)
    assert found.measure("lost_mass").values[1, :steps] == pytest.approx(
        result.lost_mass[1, :steps].mean(-1), nan_ok=True
    )
    untouched = [label == "nothing" for label in result.labels * 2]
    assert [lane.baseline for lane in found.lanes] == untouched


def test_sweeps_are_paired_by_policy_budget_and_depth(lab: Lab) -> None:
    stored = lab.open(lab.examples("sweep")[0].run_id)
    result: Any = stored.result
    order = np.arange(len(result.policy))[::-1]
    turned = dataclasses.replace(
        result,
        **{
            name: getattr(result, name)[order]
            for name in ("policy", "ratio", "depth", "accuracy", "kl_nats", "perplexity",
                         "cache_bytes", "step_ms_p50")
        },
        refused=tuple(result.refused[at] for at in order),
    )  # fmt: skip
    found = compare_runs([stored, dataclasses.replace(stored, id="other", result=turned)])
    assert len(found.places) == sum(not refused for refused in result.refused)
    assert not found.difference("accuracy")[1].any()
    assert found.measure("accuracy").values[0].tolist() == [
        float(value) for value, no in zip(result.accuracy, result.refused, strict=True) if not no
    ]


def test_another_visitors_run_is_refused_on_a_hosted_space(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: Callable[..., Run] = lab.open

    def hosted(run_id: str, *, visitor: str = "", **_: Any) -> Run:
        owner = "mine" if run_id == "example-first-token" else "another visitor"
        return dataclasses.replace(opened(run_id), owner=owner)

    monkeypatch.setattr(lab, "open", hosted)
    with pytest.raises(UserError, match="example-two-questions is another visitor's run"):
        lab.compare(["example-first-token", "example-two-questions"], visitor="mine")
