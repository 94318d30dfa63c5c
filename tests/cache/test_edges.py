"""What is at the edge of what a run under policies takes, and what it makes of it."""

import gc
import math
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.cache.policies.given import choice
from tests.models.conftest import save_model
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policies.adakv import AdaKV
from tokenarium.backend.cache.policies.kvcrush import KVCrush
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.request import CacheRequest, PolicySpec
from tokenarium.backend.cache.result import CacheResult
from tokenarium.backend.cache.runner import follow_policies
from tokenarium.backend.cache.wrapper_policy import Wrapper
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.runs.events import Cancelled, CancelToken, Progress

SLUGS = [
    policy.slug
    for policy in Policy.registry.all()
    if policy.__module__.startswith("tokenarium.backend.")
]


def run(loaded: LoadedModel, said: str, *policies: Any, **values: Any) -> CacheResult:
    defaults = {"model": "tiny", "budget": 13, "max_new_tokens": 4}
    request = CacheRequest(text=said, policies=list(policies), **(defaults | values))
    return follow_policies(request, loaded, 2048, lambda _: None, CancelToken())


@pytest.mark.parametrize("said", ["a", "🙂é\u202e日本\u0000"], ids=["one letter", "unicode"])
def test_prompts_of_a_letter_or_of_many_scripts_run_under_every_policy(twins, said: str) -> None:
    loaded, _ = twins("llama")
    for slug in SLUGS:
        result = run(loaded, said, slug)
        one = result.runs[0]
        assert loaded.tokenizer.decode(result.prompt_ids, skip_special_tokens=True) == said
        assert np.isfinite(one.kl_nats).all(), slug
        for step in range(one.steps):
            assert len(one.kept(step, 0, 0))
            assert one.noise_share(step, 2, 1) in (None, 1) or one.noise_share(step, 2, 1) < 1


@pytest.mark.parametrize(
    ("budget", "unit"), [(1.0, "ratio"), (1e7, "tokens"), (1e4, "megabytes")], ids=str
)
def test_a_budget_above_the_text_is_the_full_cache(twins, letters, budget, unit) -> None:
    loaded, _ = twins("llama")
    for slug in SLUGS:
        result = run(loaded, letters(40), slug, budget=budget, budget_unit=unit, max_new_tokens=1)
        assert (result.evicted_at < 0).all(), slug
        assert result.kl_nats[0, 0] == pytest.approx(0, abs=1e-9), slug
        assert result.runs[0].noise_share(0, 1, 1) in (None, 1), slug


@pytest.fixture(scope="module")
def windowed(tmp_path_factory: pytest.TempPathFactory):
    """Models with windows in some layers, or in all, and their eager twins."""

    def made(family: str, layers: int, **more: object) -> tuple[LoadedModel, Any]:
        folder = tmp_path_factory.mktemp(family)
        save_model(folder, family, num_hidden_layers=layers, **more)
        source = ModelSource(f"local/{family}", folder, None, family)
        oracle = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
        return load(source, "float32", "cpu", 2048), oracle.float().eval()

    kinds = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
    return {
        "some": made("gemma3_text", 4, layer_types=kinds),
        "all": made("mistral", 3),
    }


def test_layers_that_are_left_alone_lose_nothing_and_others_their_own(windowed, letters) -> None:
    loaded, oracle = windowed["some"]
    result = run(loaded, letters(50), "recent", "h2o", budget=20, max_new_tokens=6)
    prompt, one = len(result.prompt_ids), result.runs[0]
    ids = result.prompt_ids.tolist() + one.token_ids.tolist()
    with torch.inference_mode():
        attentions = oracle(torch.tensor([ids]), output_attentions=True).attentions
    for step in range(1, one.steps):
        query = prompt + step - 1
        for layer in (1, 3):
            row = attentions[layer][0, :, query].mean(0)
            lost = float(row[: query - 20].sum())
            assert result.lost_mass[0, step, layer] == pytest.approx(lost, abs=1e-5)
            assert lost > 0.1
    assert (result.lost_mass[:, 1:, [0, 2]] == 0).all()
    assert (result.topk_overlap[:, 1:, [0, 2]] == 1).all()
    assert (result.topk_overlap[1, 1:, [1, 3]] < 1).any()
    assert result.layer_budgets.tolist() == [[-1, 20, -1, 20]] * 2
    assert result.runs[1].noise_share(3, 0, 0) is None
    assert 0 < result.runs[1].noise_share(3, 1, 0) < 1


def test_a_model_whose_layers_all_have_windows_runs_and_says_so(windowed, letters) -> None:
    loaded, _ = windowed["all"]
    # PyramidKV's highest layers have less than the window.
    pruning = [slug for slug in SLUGS if Policy.registry.find(slug).prunes_prompt]  # refused here
    allowed = [slug for slug in SLUGS if slug not in (*pruning, "full", "pyramidkv")]
    # Where heads with a role keep everything, the others have less than the window.
    alike = {slug: PolicySpec(slug, streaming=1.0) for slug in ("head_roles", "razor_attention")}
    for slug in allowed:
        result = run(loaded, letters(50), alike.get(slug, slug), budget=16)
        assert result.kl_nats[0] == pytest.approx([0] * result.kl_nats.shape[1], abs=1e-6), slug
        assert (result.lost_mass[0, 1:] == 0).all()
        assert any("acts in 0 of 3 layers" in note for note in result.notes[0]), slug
        assert result.runs[0].noise_share(2, 0, 0) is None


@pytest.mark.parametrize("policy", [KVCrush(share=0), AdaKV(floor=1), AdaKV(floor=0)], ids=str)
def test_scores_that_are_no_numbers_are_the_lowest(policy: Wrapper) -> None:
    nan = math.nan
    assert choice(policy, [[3.0, nan, 2.0, nan, 1.0]], 2) == [[0, 2]]
    assert choice(policy, [[3.0, nan, 2.0, nan, 1.0]], 4) in ([[0, 1, 2, 4]], [[0, 2, 3, 4]])
    assert choice(policy, [[nan] * 5], 2, (0, 1)) == [[0, 4]]
    assert choice(policy, [[math.inf, nan, 2.0, 1.0]], 2) == [[0, 2]]


@pytest.mark.parametrize("slug", ["full", "h2o", "snapkv", "prompt_distill", "token_select"])
def test_numbers_that_overflow_end_a_run_in_words(tmp_path, slug: str) -> None:
    """One token is no number, and all after it: the prompt is read before it, a step meets it."""
    save_model(tmp_path, "llama", max_position_embeddings=2048)
    loaded = load(ModelSource("local/nan", tmp_path, None, "nan"), "float32", "cpu", 2048)
    loaded.model.model.embed_tokens.weight.data[4] = math.nan
    sequence = CachedSequence(loaded, Policy.registry.find(slug)(), 20)
    sequence.read(list(range(5, 65)))
    sequence.read([5])
    with pytest.raises(ValueError, match="overflow float32 on this text"):
        sequence.read([4])


def test_cancelled_while_decoding_or_on_noise_a_run_ends_and_frees(twins, letters, monkeypatch):
    loaded, _ = twins("llama")
    request = CacheRequest(
        model="tiny", text=letters(60), policies=["h2o"], budget=13, max_new_tokens=8
    )
    keys: list[Any] = []
    told = CachedSequence.read

    def noted(self: CachedSequence, ids: list[int]) -> Any:
        keys.append(weakref.ref(self))
        return told(self, ids)

    monkeypatch.setattr(CachedSequence, "read", noted)
    for said in ("H2O: token", "H2O: noise"):
        token = CancelToken()

        def stop(event: Any, said: str = said, token: CancelToken = token) -> None:
            if isinstance(event, Progress) and event.doing == said and event.done >= 4:
                token.cancel()

        with pytest.raises(Cancelled):
            follow_policies(request, loaded, 2048, stop, token)
        gc.collect()
        assert keys
        assert all(ref() is None for ref in keys)
        keys.clear()


def test_the_same_policy_twice_is_one_too_many_however_it_is_said(letters) -> None:
    for again in ("h2o", PolicySpec("h2o", recent_share=0.5), {"slug": "h2o", "parameters": {}}):
        with pytest.raises(ValueError, match="h2o twice with the same parameters"):
            CacheRequest(model="tiny", text=letters(9), policies=["h2o", again])
    both = CacheRequest(
        model="tiny", text="a", policies=["h2o", PolicySpec("h2o", positions="rolled")]
    )
    assert len(both.policies) == 2


def test_what_a_policy_remembers_beside_entries_is_counted_apart(twins, letters) -> None:
    loaded, _ = twins("llama")
    result = run(loaded, letters(60), "h2o", "sirllm", "tidal_decode", max_new_tokens=6)
    h2o, sirllm, tidal = result.runs
    assert (h2o.state_bytes == 0).all()  # its sums are numbers of the entries, and in their bytes
    read = len(result.prompt_ids) + np.arange(sirllm.steps)
    assert (sirllm.state_bytes >= 4 * read).all()
    assert (sirllm.state_bytes <= 4 * read + 4 * 300 * (read + 1)).all()
    chosen = 2 * 13 * 8  # two heads' indices
    assert (tidal.state_bytes[1:] >= chosen).all()
    assert tidal.state_bytes[0] == 0
