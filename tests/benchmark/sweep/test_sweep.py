"""Sweeps on tiny random models: the grid, its numbers, going on after Cancel, refusals."""

from typing import Any

import numpy as np
import pytest
import torch

from tokenarium.backend.benchmark.accuracy import interval
from tokenarium.backend.benchmark.sweep import long_prompts, runner
from tokenarium.backend.benchmark.sweep.cell import Trials
from tokenarium.backend.benchmark.sweep.long_prompts import bytes_at
from tokenarium.backend.benchmark.sweep.request import PointRequest, SweepRequest
from tokenarium.backend.benchmark.sweep.result import SweepResult
from tokenarium.backend.benchmark.sweep.runner import FINISHED, FinishedCells, sweep
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.request import PolicySpec
from tokenarium.backend.runs.events import Cancelled, CancelToken, Partial, Progress

SMALL: dict[str, Any] = {
    "model": "tiny",
    "task": "passkey",
    "policies": ["recent", "h2o"],
    "budgets": (0.5, 0.2),
    "depths": (0.0, 1.0),
    "length": 160,
    "trials": 2,
}
TIMES = ("prefill_ms", "step_ms_p50", "step_ms_p90")


def run(loaded: Any, emit: Any = None, cancel: Any = None, **values: Any) -> SweepResult:
    request = SweepRequest(**(SMALL | values))
    return sweep(request, loaded, 2048, emit or (lambda _: None), cancel or CancelToken())


def without_times(result: SweepResult) -> dict[str, np.ndarray]:
    return {name: value for name, value in result.arrays().items() if name not in TIMES}


def test_every_point_of_the_grid_is_there_once(twins) -> None:
    loaded, _ = twins("llama")
    result = run(loaded)
    assert result.policies == ("full", "recent", "h2o")
    assert result.labels == ("nothing", "evict", "evict")
    assert result.policy.tolist() == [0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert result.ratio.tolist() == pytest.approx([1, 1, *[0.5, 0.5, 0.2, 0.2] * 2])
    assert result.depth.tolist() == [0, 1] * 5
    assert result.finished
    assert (result.trials == 2).all()
    assert result.budget_tokens.tolist() == [160] * 2 + [80, 80, 32, 32] * 2
    for row, right in enumerate(result.correct):
        low, high = interval(int(right), 2)
        assert result.accuracy[row] == right / 2
        assert (result.accuracy_low[row], result.accuracy_high[row]) == pytest.approx((low, high))
    np.testing.assert_allclose(result.kl_nats[:2], 0, atol=1e-5)
    assert (result.top1_agree[:2] == 1).all()
    assert (result.kl_nats[2:] > 1e-3).all()
    recall, each = result.attention_recall, result.trial_attention_recall
    np.testing.assert_allclose(recall[:2], 1, atol=1e-6)
    np.testing.assert_allclose(recall, each.mean(1), rtol=1e-5)  # answers are equally long
    assert (recall[[2, 3, 6, 7]] > recall[[4, 5, 8, 9]]).all()  # half the prompt, a fifth
    assert 0 < recall.min() < recall[2:].max() < 1
    assert (result.cache_bytes[2:] < 0.8 * result.cache_bytes[0]).all()
    assert (result.step_ms_p90 >= result.step_ms_p50).all()
    again = SweepResult.from_stored(result.facts(), result.arrays())
    assert again.facts() == result.facts()


def test_the_full_cache_is_told_plainly_to_fail(twins) -> None:
    loaded, _ = twins("llama")
    result = run(loaded)
    assert result.verdict.startswith("whole answer: cannot do it even with the full cache: 0 of 4")
    assert "first token among those offered: cannot" in result.verdict


def test_an_answer_of_one_token_tells_policies_apart(twins) -> None:
    loaded, _ = twins("llama")
    values: dict[str, Any] = {"task": "copying", "parameters": {"expected": 1}, "depths": (0.1,)}
    result = run(loaded, policies=["recent", "random"], budgets=(0.1,), **values)
    full, recent, random = result.kl_nats
    assert full < 1e-5
    assert min(recent, random) > 1e-4
    assert recent != random
    assert len(set(result.first_probability.tolist())) == 3


def test_a_point_that_acts_in_no_layer_is_refused(twins) -> None:
    loaded, _ = twins("mistral")  # every layer has a window of 16
    values: dict[str, Any] = {"policies": ["recent"], "depths": (0.5,), "trials": 1}
    result = run(loaded, budgets=(0.5, 0.05), **values)
    assert "Recent only acts in 0 of 3 layers" in result.refused[1]
    assert result.refused[2] == ""
    assert result.acts_in.tolist() == [3, 0, 3]
    assert result.layers == 3
    assert result.kl_nats[2] > 1e-3


def test_a_cell_is_the_mean_over_its_trials(twins) -> None:
    """Surprisal by position against the oracle, on a text that both read whole."""
    loaded, oracle = twins("llama")
    values: dict[str, Any] = {
        "task": "perplexity",
        "parameters": {"predicted": 100},
        "policies": ["recent"],
        "budgets": (1.0,),
    }
    result = run(loaded, **values)
    request = SweepRequest(**(SMALL | values))
    made = runner.exercises(request, loaded, 2048, None, lambda: None)
    found = []
    for exercise in made:
        ids = torch.tensor([[*exercise.prompt, *exercise.answer]])
        with torch.inference_mode():
            logits = oracle(ids).logits[0, 159:-1].log_softmax(-1)
        found.append(-logits.gather(1, ids[0, 160:, None])[:, 0])
    expected = torch.stack(found).double()
    assert result.perplexity[0] == pytest.approx(float(expected.mean().exp()), rel=1e-4)
    edges = result.answer_edges
    assert edges[0] == 0
    assert edges[-1] == 100
    assert len(edges) == 65
    for part in range(64):
        mean = expected[:, edges[part] : edges[part + 1]].mean()
        assert result.answer_nats[0, part] == pytest.approx(float(mean), rel=1e-4)
    assert np.isnan(result.depth).all()
    assert result.verdict == ""


def test_the_same_seed_is_the_same_sweep(twins) -> None:
    loaded, _ = twins("llama")
    values: dict[str, Any] = {"policies": ["random"], "budgets": (0.3,), "depths": (0.5,)}
    first = run(loaded, **values)
    FINISHED.clear()
    again, other = run(loaded, **values), run(loaded, seed=1, **values)
    for name, value in without_times(first).items():
        np.testing.assert_array_equal(value, again.arrays()[name], err_msg=name)
    assert (first.kl_nats != other.kl_nats).any()


def test_cancelled_it_goes_on_where_it_stopped(twins, monkeypatch) -> None:
    loaded, _ = twins("llama")
    whole = run(loaded)
    FINISHED.clear()
    cancel, partial = CancelToken(), []

    def stop_after_three(event: Any) -> None:
        if isinstance(event, Partial):
            partial.append(event.result)
        if len(partial) == 3:
            cancel.cancel()

    with pytest.raises(Cancelled):
        run(loaded, stop_after_three, cancel)
    assert [len(result.policy) for result in partial] == [1, 2, 3]
    assert not partial[-1].finished
    measured = []
    real = Trials.measure
    monkeypatch.setattr(Trials, "measure", lambda *a: measured.append(1) or real(*a))
    result = run(loaded)
    assert len(measured) == 10 - 3
    for name, value in without_times(whole).items():
        np.testing.assert_array_equal(value, result.arrays()[name], err_msg=name)
    run(loaded, budgets=(0.5,))
    assert len(measured) == 7
    run(loaded, trials=1, budgets=(0.5,), depths=(0.0,))
    assert len(measured) == 7 + 3


@pytest.mark.parametrize("calls", [1, 30, 200])
def test_cancel_takes_effect_within_a_layer(twins, calls: int) -> None:
    loaded, _ = twins("llama")

    class Counting(CancelToken):
        checked = 0

        def check(self) -> None:
            self.checked += 1
            if self.checked == calls:
                self.cancel()
            super().check()

    cancel = Counting()
    with pytest.raises(Cancelled):
        run(loaded, cancel=cancel)
    assert cancel.checked == calls


def test_progress_names_what_is_done(twins) -> None:
    loaded, _ = twins("llama")
    events: list[Any] = []
    run(loaded, events.append)
    progress = [event for event in events if isinstance(event, Progress)]
    assert len(progress) == 21
    assert progress[0].doing == "Full cache, depth 0: trial 1 of 2"
    assert progress[4].doing.startswith("Full cache alone: whole answer: cannot do it")
    assert progress[6].doing == "Recent only at 0.5 of the prompt, depth 0: trial 2 of 2"
    assert [event.done for event in progress] == sorted([2, *[*range(10)] * 2])
    assert all(event.total == 10 for event in progress)


def test_prompts_are_judged_by_what_the_full_cache_says(twins) -> None:
    loaded, _ = twins("llama")
    result = run(
        loaded, task="", prompts=("one two three " * 6, "she said hello"), max_new_tokens=12
    )
    assert (result.trials == 2).all()
    assert result.correct[0] == 2
    assert result.accuracy[0] == 1
    assert result.perplexity[1:].min() >= result.perplexity[0] * 0.999
    assert len(result.policy) == 5
    assert result.answer_edges[-1] <= 12
    assert result.verdict == ""


def test_a_budget_below_the_smallest_is_told_not_raised(twins) -> None:
    loaded, _ = twins("llama")
    values: dict[str, Any] = {"policies": ["streaming_llm"], "depths": (0.5,)}
    result = run(loaded, budgets=(0.5, 0.02), **values)
    assert result.refused[:2] == ("", "")
    assert "budget=3 tokens per head is below the 5" in result.refused[2]
    assert np.isnan([result.accuracy[2], result.perplexity[2], result.answer_nats[2, 0]]).all()
    with pytest.raises(ValueError, match="budget=3 tokens per head is below the 5"):
        run(loaded, budgets=(0.02,), **values)
    learned, _ = twins("gpt2")
    with pytest.raises(ValueError, match="does not place its tokens by rotation"):
        run(learned, **values)


def test_a_task_over_the_limit_is_refused_with_what_would_fit(twins) -> None:
    loaded, _ = twins("llama")
    with pytest.raises(ValueError, match=r"are 2052 tokens, the limit is 2048: lower length by 4"):
        run(loaded, length=2047)
    with pytest.raises(ValueError, match=r"choose at most 2047"):
        run(loaded, task="", prompts=("a",), max_new_tokens=2048)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"task": ""}, "give a task, or prompts"),
        ({"prompts": ("a",)}, "give a task, or prompts"),
        ({"task": "nap"}, "task='nap' is unknown"),
        ({"parameters": {"digits": 0}}, "digits=0"),
        ({"budgets": (0.5, 0.5)}, "0.5 is there twice"),
        ({"budgets": (1.5,)}, "less than or equal to 1"),
        ({"depths": (-0.1,)}, "greater than or equal to 0"),
        ({"policies": ["nap"]}, "policy='nap' is unknown"),
        ({"policies": []}, "at least 1 item"),
        ({"trials": 0}, "greater than or equal to 1"),
    ],
)
def test_request_is_bounded(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SweepRequest(**(SMALL | values))


def test_defaults_left_out_or_spelled_out_are_the_same_question() -> None:
    plain, full = SweepRequest(**SMALL), SweepRequest(**(SMALL | {"parameters": {"digits": 5}}))
    assert plain.key("f") == full.key("f")
    stored = SweepRequest.model_validate(plain.model_dump(mode="json"))
    assert stored == plain
    full_too = SweepRequest(**(SMALL | {"policies": ["full", "recent", "h2o"]}))
    assert full_too.tried == plain.tried
    assert plain.tried[0] == PolicySpec("full")


def test_finished_points_are_bounded() -> None:
    kept = FinishedCells(most=2)
    cells = [object() for _ in range(3)]
    for name, cell in zip("abc", cells, strict=True):
        kept.put(name, cell)  # type: ignore[arg-type]
        kept.get("a")
    assert [kept.get(name) is not None for name in "abc"] == [True, False, True]


def test_a_point_is_listed_by_what_its_prompt_says() -> None:
    turns = ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"})

    def point(**asked: Any) -> PointRequest:
        return PointRequest(model="m", policies=("h2o",), budgets=(0.5,), depths=(0.5,), **asked)

    assert point(prompts=(turns, "other")).given_text == "Hi\nYes?"
    assert point(prompts=("a text", turns)).given_text == "a text"
    assert point(task="copying").given_text == ""


def test_points_are_the_means_of_their_exercises(twins) -> None:
    loaded, _ = twins("llama")
    result = run(loaded, trials=3, budgets=(0.5, 0.02), policies=["recent", "streaming_llm"])
    known = np.asarray([not reason for reason in result.refused])
    assert not known.all()
    pairs = {"kl_nats": "trial_kl_nats", "top1_agree": "trial_top1_agree"}
    pairs |= {"token_accuracy": "trial_token_accuracy"}
    for mean, each in pairs.items():
        values = getattr(result, each)
        assert values.shape == (len(result.policy), 3)
        np.testing.assert_allclose(values.mean(1), getattr(result, mean), rtol=1e-5, atol=1e-7)
        assert np.isnan(values[~known]).all()
    np.testing.assert_allclose(
        np.exp(result.trial_surprisal_nats.mean(1)), result.perplexity, rtol=1e-4
    )
    assert ((result.trial_token_accuracy == 1).sum(1)[known] == result.correct[known]).all()
    assert result.context == loaded.context


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_bytes_at_a_length_are_those_that_a_cache_holds_there(
    twins, monkeypatch, family: str
) -> None:
    loaded, _ = twins(family)
    monkeypatch.setattr(long_prompts, "LENGTHS", (150, 301))
    ids = torch.randint(5, 100, (301,), generator=torch.Generator().manual_seed(0)).tolist()
    for slug in ("full", "h2o", "snapkv", "pyramidkv", "streaming_llm", "token_select"):
        policy = PolicySpec(slug).policy
        for length, computed in zip((150, 301), bytes_at(loaded, policy, 0.25), strict=True):
            sequence = CachedSequence(loaded, policy, round(0.25 * length))
            sequence.read(ids[:length])
            assert sequence.cache_bytes == computed, (slug, length)
