"""Every family loads and computes what transformers computes, or is refused with the reason."""

import json
import shutil
import socket

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, BloomConfig, GPT2Config, OPTConfig

from tokenarium.backend.models.context import UNLIMITED, context_of
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.models.refusal import DoesNotFit, ModelRefused
from tokenarium.backend.observe import NAME, Recorder, recording

CPU = torch.device("cpu")
SUPPORTED = [
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "phi3",
    "gemma2",
    "gemma3_text",
    "gpt2",
    "gpt_neox",
    "opt",
    "gpt_oss",
    "cohere",
    "granite",
]


def _copy(source: ModelSource, folder):
    shutil.copytree(source.folder, folder, dirs_exist_ok=True)
    return ModelSource("local/copy", folder, None, "copy")


def _change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("family", SUPPORTED)
def test_load_tells_rotary_positions_from_learned_ones(saved, family):
    loaded = load(saved(family), torch.float32, CPU, 128)
    assert loaded.reads_past_context == (family not in ("gpt2", "opt"))


@pytest.mark.parametrize("family", SUPPORTED)
def test_load_supported_family_equals_eager_beyond_its_window(saved, family):
    source = saved(family)
    loaded = load(source, torch.float32, CPU, 4096)
    oracle = AutoModelForCausalLM.from_pretrained(source.folder, attn_implementation="eager").eval()
    ids = torch.randint(2, 258, (1, 101), generator=torch.Generator().manual_seed(1))
    hidden = []
    hook = loaded.layers[-1].register_forward_hook(
        lambda _, __, out: hidden.append(out if torch.is_tensor(out) else out[0])
    )
    recorder = Recorder()
    with torch.inference_mode(), recording(recorder):
        ours = loaded.model(input_ids=ids).logits
        normed = hidden[0] if loaded.final_norm is None else loaded.final_norm(hidden[0])
        rebuilt = loaded.unembed(normed)
        theirs = oracle(input_ids=ids).logits
    hook.remove()
    assert loaded.verdict is not None
    assert loaded.verdict.supported
    assert loaded.verdict.max_difference < 1e-5
    assert loaded.model.config._attn_implementation == NAME
    assert recorder.order == list(range(3))
    assert len(loaded.layers) == 3
    assert loaded.context == 128
    np.testing.assert_allclose(ours, theirs, atol=3e-5, rtol=1e-4)
    np.testing.assert_allclose(rebuilt, theirs, atol=3e-5, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt_oss", "gpt2"])
def test_load_half_precision_on_cpu_works(saved, family, dtype):
    loaded = load(saved(family), dtype, "cpu", 4096)
    assert loaded.dtype == getattr(torch, dtype)
    assert next(loaded.model.parameters()).dtype == loaded.dtype
    assert loaded.verdict.supported


@pytest.mark.parametrize(
    ("family", "what"),
    [
        ("bert", "which is an encoder, made to read both sides of a token"),
        ("bart", "which is a decoder that also reads what an encoder made of another text"),
        ("mamba", "which has no attention"),
    ],
)
def test_load_what_is_no_decoder_with_attention_is_refused_in_its_own_words(
    tmp_path, save, family, what
):
    source = ModelSource("b", save(tmp_path, family), None, "b")
    with pytest.raises(ModelRefused, match=f"'{family}', {what}"):
        load(source, torch.float32, CPU, 4096)


def test_load_bidirectional_model_is_refused(tmp_path, save):
    folder = save(tmp_path, "bert")
    with pytest.raises(ModelRefused, match="is an encoder"):
        load(ModelSource("b", folder, None, "b"), torch.float32, CPU, 4096)


def test_load_leaves_the_model_in_eval_without_gradients_or_hooks(saved):
    loaded = load(saved("llama"), torch.float32, CPU, 4096)
    assert not loaded.model.training
    assert not any(weights.requires_grad for weights in loaded.model.parameters())
    assert not any(
        module._forward_hooks or module._forward_pre_hooks for module in loaded.model.modules()
    )


def test_load_local_folder_opens_no_connection(saved, monkeypatch):
    def refuse(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert load(saved("llama"), torch.float32, CPU, 4096).context == 128


def test_load_pickled_weights_are_refused(saved, tmp_path):
    source = _copy(saved("llama"), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelRefused, match=r"only pickled weights.*save_pretrained"):
        load(source, torch.float32, CPU, 4096)


def test_load_folder_without_weights_is_refused(saved, tmp_path):
    source = _copy(saved("llama"), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelRefused, match="has no weights: only safetensors"):
        load(source, torch.float32, CPU, 4096)


def test_load_git_lfs_pointer_is_refused(saved, tmp_path):
    source = _copy(saved("llama"), tmp_path)
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelRefused, match="git lfs pull"):
        load(source, torch.float32, CPU, 4096)


def test_load_truncated_weights_are_refused(saved, tmp_path):
    source = _copy(saved("llama"), tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelRefused, match="no whole safetensors file"):
        load(source, torch.float32, CPU, 4096)


def test_load_missing_shard_is_refused(saved, tmp_path):
    source = _copy(saved("llama"), tmp_path)
    index = {"metadata": {}, "weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelRefused, match=r"model-00001-of-00001\.safetensors .* is missing"):
        load(source, torch.float32, CPU, 4096)


def test_load_remote_code_is_refused(saved, tmp_path):
    source = _copy(saved("llama"), tmp_path)
    (tmp_path / "modeling_own.py").write_text("raise SystemExit('remote code was run')")
    own = {"AutoConfig": "modeling_own.C", "AutoModelForCausalLM": "modeling_own.M"}
    _change_config(tmp_path, model_type="own", auto_map=own)
    with pytest.raises(ModelRefused, match="brings its own code, which is not run"):
        load(source, torch.float32, CPU, 4096)


def test_load_built_in_type_ignores_remote_code(saved, tmp_path):
    source = _copy(saved("phi3"), tmp_path)
    (tmp_path / "modeling_own.py").write_text("raise SystemExit('remote code was run')")
    own = {"AutoConfig": "modeling_own.C", "AutoModelForCausalLM": "modeling_own.M"}
    _change_config(tmp_path, auto_map=own)
    loaded = load(source, torch.float32, CPU, 4096)
    assert type(loaded.model).__module__.startswith("transformers.")


def test_load_weights_of_another_shape_are_refused(saved, tmp_path):
    source = _copy(saved("llama"), tmp_path)
    _change_config(tmp_path, num_hidden_layers=4)
    with pytest.raises(ModelRefused, match=r"lacks 9 of its tensors, such as model\.layers\.3\."):
        load(source, torch.float32, CPU, 4096)


def test_load_damaged_config_is_refused(saved, tmp_path):
    source = _copy(saved("llama"), tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelRefused, match=r"damaged config\.json"):
        load(source, torch.float32, CPU, 4096)


def test_load_without_tokenizer_is_refused(saved, tmp_path):
    source = _copy(saved("llama"), tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "tokenizer_config.json").unlink()
    with pytest.raises(ModelRefused, match="tokenizer"):
        load(source, torch.float32, CPU, 4096)


def test_load_tokenizer_of_another_model_is_refused(tmp_path, save):
    folder = save(tmp_path, "llama", vocab_size=100)
    with pytest.raises(ModelRefused, match="ids up to 263, but embeddings for 100"):
        load(ModelSource("b", folder, None, "b"), torch.float32, CPU, 4096)


def test_load_model_that_would_not_fit_is_refused_before_its_weights_are_read(saved, monkeypatch):
    monkeypatch.setattr("tokenarium.backend.models.loading.free_bytes", lambda _: 60_000_000)
    monkeypatch.setattr("tokenarium.backend.models.loading._read_model", None)
    with pytest.raises(DoesNotFit, match=r"needs \d+ MB .* dtype=bfloat16"):
        load(saved("llama"), torch.float32, CPU, 4096)


def test_load_config_that_transformers_rejects_is_refused(saved, tmp_path):
    source = _copy(saved("llama"), tmp_path)
    _change_config(tmp_path, max_position_embeddings=None)
    with pytest.raises(ModelRefused, match="'max_position_embeddings' expected int"):
        load(source, torch.float32, CPU, 4096)


def test_context_of_a_model_without_limit_is_unlimited():
    assert context_of(BloomConfig()) == UNLIMITED
    assert context_of(GPT2Config(n_positions=77)) == 77
    assert context_of(OPTConfig(max_position_embeddings=99)) == 99
