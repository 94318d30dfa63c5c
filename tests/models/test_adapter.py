"""A LoRA adapter is merged into its base as PEFT would, or is refused with the remedy."""

import json
from importlib.util import find_spec

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tokenarium.backend.models.identity import fingerprint
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import available, resolve
from tokenarium.backend.models.refusal import ModelRefused
from tokenarium.backend.models.registry import ModelRegistry
from tokenarium.backend.settings import Settings

UP = "model.layers.1.mlp.up_proj"
QUERY = "model.layers.0.self_attn.q_proj"


@pytest.fixture
def settings(tmp_path, save):
    save(tmp_path / "base", "llama")
    return Settings(hosted=False, models_dir=tmp_path, database="", device="cpu")


def _adapter(folder, tensors, base="local/base", **changes):
    folder.mkdir(exist_ok=True)
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "base_model_name_or_path": base}
    (folder / "adapter_config.json").write_text(json.dumps(config | changes))
    named = {f"base_model.model.{name}": tensor for name, tensor in tensors.items()}
    save_file(named, folder / "adapter_model.safetensors")


def _pair(module, out=48, inner=32, rank=4, kind=""):
    torch.manual_seed(len(module))
    return {
        f"{module}.lora_{kind}A" + ("" if kind else ".weight"): torch.randn(rank, inner),
        f"{module}.lora_{kind}B" + ("" if kind else ".weight"): torch.randn(out, rank),
    }


def _load(settings, name="local/tuned"):
    return load(resolve(name, settings), torch.float32, "cpu", 512)


def _weights(loaded):
    return dict(loaded.model.named_parameters())


@pytest.mark.parametrize(
    ("changes", "scales"),
    [
        ({}, (2.0, 2.0)),
        ({"use_rslora": True}, (4.0, 4.0)),
        ({"alpha_pattern": {"up_proj": 2}}, (0.5, 2.0)),
        ({"alpha_pattern": {"p_proj": 2, "layers.0.self_attn.q_proj": 1}}, (2.0, 0.25)),
    ],
)
def test_an_adapter_is_added_to_its_base(settings, tmp_path, changes, scales):
    tensors = _pair(UP) | _pair(QUERY, out=32)
    _adapter(tmp_path / "tuned", tensors, **changes)
    base, tuned = _load(settings, "local/base"), _load(settings)
    assert "rank 4 is merged into 2 weights" in tuned.notes[0]
    expected = {name: weights.clone() for name, weights in _weights(base).items()}
    for module, scale in zip((UP, QUERY), scales, strict=True):
        change = tensors[f"{module}.lora_B.weight"] @ tensors[f"{module}.lora_A.weight"]
        expected[f"{module}.weight"] += scale * change
    for name, weights in _weights(tuned).items():
        torch.testing.assert_close(weights, expected[name])


def test_other_ranks_weights_of_conv1d_and_embeddings_are_added(settings, tmp_path, save):
    save(tmp_path / "base", "gpt2", tie_word_embeddings=False)
    inner = "transformer.h.1.mlp.c_fc"
    tensors = _pair(inner, rank=2) | _pair("transformer.wte", 32, 272, kind="embedding_")
    tensors["lm_head.weight"] = torch.randn(272, 32)
    _adapter(tmp_path / "tuned", tensors, rank_pattern={"c_fc": 2})
    base, tuned = _weights(_load(settings, "local/base")), _weights(_load(settings))
    change = 4 * (tensors[f"{inner}.lora_B.weight"] @ tensors[f"{inner}.lora_A.weight"]).T
    torch.testing.assert_close(tuned[f"{inner}.weight"], base[f"{inner}.weight"] + change)
    parts = [tensors[f"transformer.wte.lora_embedding_{part}"] for part in "AB"]
    found = tuned["transformer.wte.weight"]
    torch.testing.assert_close(found, base["transformer.wte.weight"] + 2 * (parts[1] @ parts[0]).T)
    torch.testing.assert_close(tuned["lm_head.weight"], tensors["lm_head.weight"])


def test_runs_of_an_adapter_are_told_apart_from_those_of_its_base(settings, tmp_path):
    _adapter(tmp_path / "tuned", _pair(UP))
    registry = ModelRegistry(settings, None)
    seen = set()
    for name in ("local/base", "local/tuned", "local/base"):
        source = resolve(name, settings)
        seen.add(registry.fingerprint(source))
        assert registry.fingerprint(source) == fingerprint(source)
    assert len(seen) == 2
    _adapter(tmp_path / "tuned", _pair(UP), lora_alpha=9)
    assert registry.fingerprint(resolve("local/tuned", settings)) not in seen
    titles = {source.name: source.title for source in available(settings)}
    assert titles["local/tuned"] == "tuned on base"
    assert resolve(str(tmp_path / "tuned"), settings).adapter == tmp_path / "tuned"


@pytest.mark.parametrize(
    ("tensors", "changes", "words"),
    [
        (_pair(UP), {"use_dora": True}, "adapter with use_dora=True.*merge_and_unload"),
        (_pair(UP), {"peft_type": "IA3"}, "adapter with peft_type='IA3'.*merge_and_unload"),
        (_pair(UP), {"init_lora_weights": "pissa_niter_4"}, "adapter with init_lora_weights="),
        (_pair(UP), {"rank_pattern": {"(a+)+$": 1}}, "a pattern in rank_pattern"),
        (_pair(UP), {"r": "many"}, r"damaged adapter_config\.json"),
        (_pair(UP), {"r": 8}, "have rank 4, and its adapter_config.json says r=8"),
        (_pair(UP, out=40), {}, r"up_proj would change \[40, 32\] of \[48, 32\]"),
        (_pair("model.layers.9.mlp.up_proj"), {}, "does not fit its base"),
        ({f"{UP}.lora_A.weight": torch.zeros(4, 32)}, {}, "up_proj has only A of an A and a B"),
        ({"lm_head.weight": torch.zeros(3, 3)}, {}, r"lm_head.weight has shape \[3, 3\]"),
        ({f"{UP}.lora_magnitude_vector": torch.zeros(48)}, {}, "does not fit its base"),
    ],
)
def test_an_adapter_that_cannot_be_merged_is_refused(settings, tmp_path, tensors, changes, words):
    _adapter(tmp_path / "tuned", tensors, **changes)
    with pytest.raises(ModelRefused, match=f"local/tuned.*{words}|{words}.*local/tuned"):
        _load(settings)


def test_an_adapter_of_an_embedding_that_the_head_shares_is_refused(settings, tmp_path, save):
    save(tmp_path / "base", "llama", tie_word_embeddings=True)
    _adapter(tmp_path / "tuned", _pair("model.embed_tokens", 32, 272, kind="embedding_"))
    with pytest.raises(ModelRefused, match=r"embed_tokens.weight was trained alone.*lm_head"):
        _load(settings)


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("/nowhere/llama", "not at hand .*set base_model_name_or_path.*merge_and_unload"),
        ("local/tuned", r"not at hand .it is an adapter itself."),
        ("", r"adapter_config\.json names no base"),
        (3, r"adapter_config\.json names no base"),
    ],
)
def test_a_base_that_is_not_there_is_refused_with_the_remedy(settings, tmp_path, base, words):
    _adapter(tmp_path / "tuned", _pair(UP), base)
    with pytest.raises(ValueError, match=words):
        resolve("local/tuned", settings)
    (listed,) = (source for source in available(settings) if source.name == "local/tuned")
    assert listed.refused


def test_a_pickled_adapter_is_refused(settings, tmp_path):
    _adapter(tmp_path / "tuned", _pair(UP))
    (tmp_path / "tuned" / "adapter_model.safetensors").rename(tmp_path / "tuned/adapter_model.bin")
    with pytest.raises(ValueError, match="only safetensors are read"):
        resolve("local/tuned", settings)


@pytest.mark.external
@pytest.mark.skipif(not find_spec("peft"), reason="peft is not installed")
@pytest.mark.parametrize("stabilised", [False, True])
def test_a_merged_adapter_equals_that_of_peft(settings, tmp_path, stabilised):
    import peft

    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    config = peft.LoraConfig(
        r=4,
        lora_alpha=6,
        target_modules=["q_proj", "up_proj", "embed_tokens"],
        modules_to_save=["lm_head"],
        rank_pattern={"layers.1.mlp.up_proj": 2},
        alpha_pattern={"q_proj": 3},
        use_rslora=stabilised,
        init_lora_weights=False,
    )
    tuned = peft.get_peft_model(model, config)
    with torch.no_grad():
        tuned.base_model.model.lm_head.modules_to_save["default"].weight += 0.5
    tuned.save_pretrained(tmp_path / "tuned")
    assert "embed_tokens" in str(load_file(tmp_path / "tuned/adapter_model.safetensors").keys())
    merged = dict(tuned.merge_and_unload().named_parameters())
    for name, weights in _weights(_load(settings)).items():
        torch.testing.assert_close(weights, merged[name])
