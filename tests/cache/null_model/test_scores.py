"""What scores are worth on noise: against policies run on attention that says nothing."""

from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from tests.models.conftest import save_model
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.null_model.scores import NullModelScores
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.request import CacheRequest, PolicySpec
from tokenarium.backend.cache.result import CacheResult
from tokenarium.backend.cache.runner import follow_policies
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.runs.events import CancelToken
from tokenarium.kernels.attention_stats import Want

STEPS, BUDGET = 9, 20


@pytest.fixture(scope="session")
def indifferent(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A Llama whose queries are zero: every token attends evenly to all it sees."""
    folder = tmp_path_factory.mktemp("indifferent")
    save_model(folder, "llama", max_position_embeddings=2048)
    loaded = load(ModelSource("local/indifferent", folder, None, "same"), "float32", "cpu", 2048)
    for layer in loaded.model.model.layers:
        layer.self_attn.q_proj.weight.data.zero_()
    return loaded


def run(loaded: LoadedModel, said: str, *policies: Any, **values: Any) -> CacheResult:
    defaults = {"model": "tiny", "budget": BUDGET, "max_new_tokens": STEPS, "oracle": False}
    request = CacheRequest(text=said, policies=list(policies), **(defaults | values))
    return follow_policies(request, loaded, 2048, lambda _: None, CancelToken())


LINEAR = [
    PolicySpec("h2o"),
    PolicySpec("h2o", reduction="sum"),
    PolicySpec("a2sf"),
    PolicySpec("snapkv"),
    PolicySpec("pyramidkv", beta=3),
    PolicySpec("tova"),
    PolicySpec("tova", reduction="max"),
    PolicySpec("adakv", base="h2o"),
]


@pytest.mark.parametrize("spec", LINEAR, ids=lambda spec: f"{spec.slug}-{spec.parameters}"[:30])
def test_scores_on_noise_are_those_of_even_attention(indifferent, letters, spec) -> None:
    result = run(indifferent, letters(60), spec)
    assert len(result.score_at)
    assert np.isfinite(result.score_near).any(1).all()
    np.testing.assert_allclose(result.noise_near, result.score_near, rtol=1e-5)
    np.testing.assert_allclose(result.noise_pooled, result.score_pooled, rtol=1e-5)


@pytest.mark.parametrize("slug", ["token_select", "tidal_decode"])
def test_votes_on_noise_are_even_too(indifferent, letters, slug) -> None:
    result = run(indifferent, letters(60), PolicySpec(slug))
    steps = set(result.score_at[:, 1].tolist())
    assert steps == set(range(1, len(result.step_ms[0])))
    for (_, step, _, _), near, noise in zip(
        result.score_at, result.score_near, result.noise_near, strict=True
    ):
        even = 1 / (len(result.prompt_ids) + step)
        np.testing.assert_allclose(noise, even, rtol=1e-5)
        np.testing.assert_allclose(near, even, rtol=1e-5)


def test_h2o_on_noise_is_the_sum_of_even_shares_by_hand(twins, letters) -> None:
    """Row i of the prompt gives 1 / (i + 1), a step 1 / entries held; content does not matter."""
    loaded, _ = twins("llama")
    result = run(loaded, letters(60), "h2o")
    prompt = len(result.prompt_ids)
    shares = [1 / (i + 1) for i in range(prompt)] + [1 / (BUDGET + 1)] * STEPS
    assert not np.allclose(result.noise_near, result.score_near, rtol=0.01)
    for (_, step, _, _), places, noise in zip(
        result.score_at, result.score_positions, result.noise_near, strict=True
    ):
        expected = [sum(shares[p : prompt + step]) for p in places]
        np.testing.assert_allclose(noise, expected, rtol=1e-5)
    told = result.runs[0].score(3, 1, 0)
    np.testing.assert_allclose(
        told.noise_near, [sum(shares[p : prompt + 3]) for p in told.positions], rtol=1e-5
    )
    assert told.noise_pooled.shape == (64,)


def test_scissorhands_on_noise_counts_as_often_as_chance_has_it(twins, letters, monkeypatch):
    """A random weight of n is below 1 / n with probability 1 - (1 - 1 / n) ** (n - 1)."""
    loaded, _ = twins("llama")
    monkeypatch.setattr("tokenarium.backend.cache.null_model.scores.DRAWS", 300)
    result = run(loaded, letters(60), PolicySpec("scissorhands", history=6), max_new_tokens=1)
    prompt = len(result.prompt_ids)
    below = [1 - (1 - 1 / (i + 1)) ** i for i in range(prompt)]
    for places, noise in zip(result.score_positions, result.noise_near, strict=True):
        expected = [-sum(below[max(p, prompt - 6) :]) for p in places]
        np.testing.assert_allclose(noise, expected, atol=0.2)


def test_what_is_no_sum_is_drawn(twins, letters) -> None:
    loaded, _ = twins("llama")
    said = letters(60)
    mean, most = (run(loaded, said, PolicySpec("h2o", reduction=r)) for r in ("mean", "max"))
    assert Policy.registry.find("h2o")(reduction="max").null_baseline() == "drawn"
    assert (most.noise_near >= 0).all()
    assert np.nanmean(most.noise_near) > np.nanmean(mean.noise_near)  # a maximum of random sums
    again = run(loaded, said, PolicySpec("h2o", reduction="max"))
    np.testing.assert_array_equal(most.noise_near, again.noise_near)
    other = run(loaded, said, PolicySpec("h2o", reduction="max"), seed=1)
    assert not np.array_equal(most.noise_near, other.noise_near)


def test_a_score_of_the_entry_alone_expects_the_mean_of_those_that_compete(twins, letters):
    loaded, _ = twins("llama")
    sequence = CachedSequence(loaded, Policy.registry.find("expected_attention")(sink=3), BUDGET)
    sequence.keep_scores = True
    noise = NullModelScores(sequence, 0)
    sequence.read(list(range(5, 65)))
    drop = sequence.dropped[0]
    [expected, *_] = noise.expected(sequence.dropped)
    mean = drop.scores[:, 3:].mean(1, keepdim=True).expand(-1, 60)
    torch.testing.assert_close(expected, mean)


def test_positions_are_the_same_on_noise(twins, letters) -> None:
    loaded, _ = twins("llama")
    result = run(loaded, letters(60), "recent", "streaming_llm")
    np.testing.assert_array_equal(result.noise_near, result.score_near)
    for one in result.runs:
        for step in range(one.steps):
            assert one.noise_share(step, 1, 0) == 1


def test_chance_is_what_noise_keeps_of_scores_that_are_the_entry_s_own(twins, letters) -> None:
    """After the prompt every token but the newest stays with the same probability."""
    loaded, _ = twins("llama")
    result = run(loaded, letters(300), "random", "knorm", budget=100, max_new_tokens=1)
    prompt = len(result.prompt_ids)
    likely = result.runs[0].kept_by_noise(0, 1)
    assert likely[-1] == 1
    assert likely[:-1].mean() == pytest.approx(99 / (prompt - 1), abs=2 / 255)
    assert likely[: prompt // 2].mean() == pytest.approx(99 / (prompt - 1), abs=0.06)
    share = np.mean([result.runs[1].noise_share(0, layer, 0) for layer in range(3)])
    assert share == pytest.approx(100 / prompt, abs=0.06)


def test_noise_keeps_the_oldest_by_accumulated_attention(twins, letters) -> None:
    loaded, _ = twins("llama")
    result = run(loaded, letters(300), "h2o", budget=60, max_new_tokens=12)
    one, prompt = result.runs[0], len(result.prompt_ids)
    for step in (0, one.steps - 1):
        likely = one.kept_by_noise(step, 2)
        assert likely.shape == (prompt + step,)
        assert likely[:15].min() > 0.9
        assert (likely[-30:] == 1).all()  # the window
        assert likely[60:-30].mean() < 0.1
        assert likely.sum() == pytest.approx(60, abs=0.5)
    kept = one.kept(5, 1, 1)
    share = one.kept_by_noise(5, 1)[kept].mean()
    assert one.noise_share(5, 1, 1) == pytest.approx(share)


def test_layers_with_budgets_of_their_own_have_noise_of_their_own(twins, letters) -> None:
    loaded, _ = twins("llama")
    result = run(loaded, letters(100), PolicySpec("pyramidkv", beta=4), budget=30)
    one = result.runs[0]
    budgets = result.layer_budgets[0]
    assert len(set(budgets.tolist())) == 3
    for layer, budget in enumerate(budgets):
        assert one.kept_by_noise(0, layer).sum() == pytest.approx(budget, abs=0.5)
    assert one.kept_by_noise(4, 0).sum() == pytest.approx(budgets[0] + 4, abs=0.5)


def test_every_policy_that_drops_is_told_of(twins, letters) -> None:
    loaded, _ = twins("llama")
    for kind in Policy.registry.all():
        result = run(loaded, letters(70), kind.slug, max_new_tokens=4)
        one = result.runs[0]
        shares = [one.noise_share(step, 2, 1) for step in range(one.steps)]
        if kind.when == "never":
            assert shares == [None] * one.steps, kind.slug
            continue
        assert all(0 < share <= 1 for share in shares), kind.slug
        finite = np.isfinite(result.score_near)
        assert finite.any(), kind.slug
        assert np.isfinite(result.noise_near[finite]).all(), kind.slug
        told = result.score_positions >= 0
        assert (np.isfinite(result.noise_near) <= told).all(), kind.slug


def test_prompt_distill_on_noise_lets_any_token_go_on(twins, letters) -> None:
    loaded, _ = twins("llama")
    result = run(loaded, letters(200), PolicySpec("prompt_distill", truncate=False), budget=50)
    prompt = len(result.prompt_ids)
    likely = result.runs[0].kept_by_noise(0, 2)
    assert likely.sum() == pytest.approx(50, abs=0.5)
    assert likely[-1] == 1
    assert likely[: prompt // 2].mean() == pytest.approx(49 / (prompt - 1), abs=0.08)


def test_without_noise_nothing_is_told(twins, letters) -> None:
    loaded, _ = twins("llama")
    with_noise = run(loaded, letters(60), "h2o")
    without = run(loaded, letters(60), "h2o", noise=False)
    np.testing.assert_array_equal(without.score_near, with_noise.score_near)
    np.testing.assert_array_equal(without.evicted_at, with_noise.evicted_at)
    assert np.isnan(without.noise_near).all()
    assert np.isnan(without.noise_pooled).all()
    assert without.runs[0].noise_share(3, 1, 0) is None
    assert len(without.noise_kept) == 0


def test_what_is_told_of_noise_stays_under_its_size(twins, letters, monkeypatch) -> None:
    loaded, _ = twins("llama")
    monkeypatch.setattr("tokenarium.backend.cache.ledger.MOST_NOISE_BYTES", 1500)
    result = run(loaded, letters(60), "h2o", "recent")
    one = result.runs[0]
    assert 400 < result.noise_kept.nbytes <= 1500
    last = int(result.noise_at[:, 1].max())
    assert 0 < last < one.steps
    later = one.kept_by_noise(one.steps - 1, 0)
    np.testing.assert_array_equal(later[: 61 + last], one.kept_by_noise(last, 0))
    assert (later[61 + last :] == 1).all()


@pytest.fixture
def sharpest():
    """A policy that wants of the prompt what noise does not make."""

    class Sharpest(Policy):
        slug: ClassVar[str] = "sharpest"
        title: ClassVar[str] = "Sharpest"
        null_scores: ClassVar = "even"

        def want(self, length):
            return Want(entropy=True)

        def observe_prompt(self, view, stats):
            view.put("entropy", view.per_kv_head(-stats.entropy))

        def scores(self, view):
            return view.state("entropy")

    yield Sharpest
    Policy.registry._entries.pop("sharpest")


def test_a_policy_of_other_statistics_runs_and_is_compared_with_a_shuffle(twins, letters, sharpest):
    loaded, _ = twins("llama")
    result = run(loaded, letters(60), "sharpest")
    assert result.runs[0].noise_share(3, 1, 0) is None
    np.testing.assert_allclose(np.nanstd(result.noise_near, 1), 0, atol=1e-6)
