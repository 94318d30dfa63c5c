"""Settings that are copied: Python that runs, and presses that kvpress has with such arguments."""

import ast
from typing import Any

import pytest
import torch

from tests.benchmark.sweep.by_hand import NAMES, swept
from tests.models.conftest import save_model
from tokenarium.backend.benchmark.sweep.request import SweepRequest
from tokenarium.backend.benchmark.sweep.settings import BudgetSettings, budget_settings
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.request import PolicySpec

SLUGS = [
    kind.slug for kind in Policy.registry.all() if kind.__module__.startswith("tokenarium.backend.")
]
PRESSES = {
    "AdaKVPress": {"press", "alpha_safeguard"},
    "ExpectedAttentionPress": {"compression_ratio", "n_future_positions", "n_sink", "epsilon"},
    "KeyDiffPress": {"compression_ratio"},
    "KeyRerotationPress": {"press"},
    "KnormPress": {"compression_ratio"},
    "ObservedAttentionPress": {"compression_ratio"},
    "PyramidKVPress": {"compression_ratio", "window_size", "kernel_size", "beta"},
    "RandomPress": {"compression_ratio", "seed"},
    "SnapKVPress": {"compression_ratio", "window_size", "kernel_size"},
    "StreamingLLMPress": {"compression_ratio", "n_sink"},
    "TOVAPress": {"compression_ratio"},
}
"""As they stand in kvpress 0.5.4; tests/external compares what some of them keep."""
NONE = {
    *("a2sf", "full", "keyformer", "kvcrush", "lazy_eviction", "lm_infinite", "prompt_distill"),
    *("scissorhands", "sirllm", "tidal_decode", "token_select"),
    *("infllm", "hip", "mpcache", "squeezed"),  # they choose what is read
    *("head_roles", "razor_attention", "compress_kv", "cam"),
    *("spatten", "infllm_v2", "minicache", "token_merge"),
    *("kv_quant", "pitome", "think"),  # no budget of theirs is a press's compression ratio
}


def settings(slug: str, ratio: float = 0.25, **parameters: Any) -> BudgetSettings:
    """Return the settings of a policy whose only budget holds."""
    spec = PolicySpec(slug, parameters)
    request = SweepRequest(model="m", task="passkey", policies=(spec,), seed=7)
    NAMES.setdefault(slug, slug)
    budgets = {"full": {1.0: [0.0] * 8}}
    result = swept(budgets | ({} if slug == "full" else {slug: {ratio: [0.0] * 8}}))
    return budget_settings(request, result, result.choose(at_most=1).budgets[-1])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoModelForCausalLM

    folder = save_model(tmp_path_factory.mktemp("llama"), "llama")
    return AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()


@pytest.mark.parametrize("slug", [slug for slug in SLUGS if slug != "full"])
def test_python_runs_as_it_is_copied(slug: str, model: Any) -> None:
    text = settings(slug, 0.5).python
    assert "budget=0.5, budget_unit='ratio', seed=7" in text
    ids = torch.randint(5, 100, (1, 48), generator=torch.Generator().manual_seed(0))
    names: dict[str, Any] = {"model": model, "inputs": {"input_ids": ids}}
    exec(text.replace("max_new_tokens=64", "max_new_tokens=3"), names)
    assert names["ids"].shape == (1, 51)
    assert names["cache"].cache_bytes > 0


def test_python_names_what_is_not_a_default() -> None:
    assert "recent_share" not in settings("h2o").python
    assert "recent_share=0.25" in settings("h2o", recent_share=0.25).python
    assert settings("full") == BudgetSettings("", "")


@pytest.mark.parametrize("slug", SLUGS)
def test_press_is_one_that_kvpress_has(slug: str) -> None:
    found = settings(slug)
    assert bool(found.kvpress) is (slug not in NONE)
    if not found.kvpress:
        return
    tree = ast.parse(found.kvpress)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    made = {node.func.id: node for node in calls if isinstance(node.func, ast.Name)}
    made.pop("press")
    (imported,) = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.name for name in imported.names} == set(made)
    for name, call in made.items():
        assert {keyword.arg for keyword in call.keywords} <= PRESSES[name], name
    assert "compression_ratio=0.75" in found.kvpress
    assert found.differs


@pytest.mark.parametrize(
    ("slug", "parameters", "said"),
    [
        ("snapkv", {}, "SnapKVPress(compression_ratio=0.75, window_size=3, kernel_size=5)"),
        ("snapkv", {"window": 16}, "window_size=16"),
        ("streaming_llm", {}, "KeyRerotationPress(press=StreamingLLMPress("),
        ("streaming_llm", {"positions": "original"}, "press = StreamingLLMPress("),
        ("recent", {}, "n_sink=0"),
        ("adakv", {"base": "knorm"}, "AdaKVPress(press=KnormPress(compression_ratio=0.75), alpha_"),
        ("expected_attention", {}, "n_future_positions=256"),
    ],
)
def test_press_takes_the_parameters_as_they_were_set(
    slug: str, parameters: dict[str, Any], said: str
) -> None:
    assert said in settings(slug, **parameters).kvpress


@pytest.mark.parametrize(
    ("slug", "parameters", "said"),
    [
        ("h2o", {}, "attn_implementation='eager'"),
        ("h2o", {}, "drops once, after the prompt"),
        ("tova", {}, "always keeps the newest token"),
        ("knorm", {"positions": "rolled"}, "leaves kept keys where they stood"),
        ("snapkv", {"reduction": "max"}, "the mean over query heads"),
        ("adakv", {}, "frees no memory"),
    ],
)
def test_what_a_press_does_otherwise_is_said(
    slug: str, parameters: dict[str, Any], said: str
) -> None:
    assert said in " ".join(settings(slug, **parameters).differs)


def test_no_press_stands_for_a_base_that_has_none() -> None:
    assert settings("adakv", base="streaming_llm", base_parameters={}).kvpress == ""
    assert "drops once" not in " ".join(settings("snapkv").differs)
