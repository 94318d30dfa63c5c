"""Quantised weights are what their format says, or are refused with what is missing."""

import json
from importlib.util import find_spec

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from tests.models.conftest import byte_tokenizer
from tokenarium.backend.models import quantised
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.models.refusal import ModelRefused

E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
"""Magnitudes of a 4-bit float with two bits of exponent (OCP Microscaling Formats, 2023)."""


def _load(folder):
    return load(ModelSource("local/m", folder, None, "m"), torch.float32, "cpu", 512)


def _quantise(folder, method, change):
    """Let ``change`` replace tensors of a saved model: {name: (parts, plain)} by suffix of part."""
    file = folder / "model.safetensors"
    weights, plain = load_file(file), {}
    for name, (parts, value) in change(weights).items():
        del weights[name]
        weights |= {f"{name}{suffix}": part for suffix, part in parts.items()}
        plain[name] = value
    save_file(weights, file, metadata={"format": "pt"})
    _say(folder, method)
    return plain


def _say(folder, method):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quantization_config": method}))


def _assert_plain(loaded, plain):
    found = dict(loaded.model.named_parameters())
    assert plain
    for name, value in plain.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-6)


def _mxfp4(weights):
    changed = {}
    for name, value in weights.items():
        if not name.endswith(("gate_up_proj", "down_proj")):
            continue
        experts, inner, outer = value.shape
        blocks = torch.randint(0, 256, (experts, outer, inner // 32, 16), dtype=torch.uint8)
        scales = torch.randint(121, 126, (experts, outer, inner // 32), dtype=torch.uint8)
        halves = torch.stack((blocks & 15, blocks >> 4), -1).flatten(-2).long()  # low nibble first
        numbers = torch.where(halves < 8, 1, -1) * E2M1[halves % 8]
        numbers = numbers * 2.0 ** (scales[..., None].float() - 127)
        parts = {"_blocks": blocks, "_scales": scales}
        changed[name] = (parts, numbers.flatten(-2).transpose(1, 2))
    return changed


def test_mxfp4_is_made_plain_and_said(tmp_path, save):
    save(tmp_path, "gpt_oss", intermediate_size=32)
    kept = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens"]
    method = {"quant_method": "mxfp4", "modules_to_not_convert": [*kept, "lm_head"]}
    plain = _quantise(tmp_path, method, _mxfp4)
    loaded = _load(tmp_path)
    _assert_plain(loaded, plain)
    assert loaded.weights == "quantised with mxfp4, dequantised"
    assert {weights.dtype for weights in loaded.model.parameters()} == {torch.float32}


def _projections(weights):
    return {name: value for name, value in weights.items() if "_proj" in name}


@pytest.mark.external
@pytest.mark.skipif(not find_spec("accelerate"), reason="accelerate is not installed")
def test_fp8_is_made_plain(tmp_path, save):
    def change(weights):
        changed = {}
        for name, value in _projections(weights).items():
            packed = (value * 100).to(torch.float8_e4m3fn)
            parts = {"": packed, "_scale_inv": torch.full((1, 1), 0.01)}
            changed[name] = (parts, packed.float() * 0.01)
        return changed

    save(tmp_path, "llama")
    method = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    plain = _quantise(tmp_path, method | {"activation_scheme": "dynamic"}, change)
    _assert_plain(_load(tmp_path), plain)


@pytest.mark.external
@pytest.mark.skipif(not find_spec("compressed_tensors"), reason="compressed-tensors is missing")
def test_compressed_tensors_are_made_plain(tmp_path, save):
    def change(weights):
        changed = {}
        for name, value in _projections(weights).items():
            scale = value.abs().amax(1, keepdim=True) / 127
            packed = (value / scale).round().to(torch.int8)
            changed[name] = ({"": packed, "_scale": scale}, packed.float() * scale)
        return changed

    save(tmp_path, "llama")
    numbers = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"}
    method = {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "ignore": ["lm_head"],
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": numbers}},
    }
    plain = _quantise(tmp_path, method, change)
    _assert_plain(_load(tmp_path), plain)


def _packed_by_bitsandbytes(save, folder, **sizes):
    whole = save(folder / "whole", "llama", hidden_size=64, head_dim=16, **sizes)
    packed = AutoModelForCausalLM.from_pretrained(
        whole,
        quantization_config=BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4"),
        device_map={"": "cpu"},
    )
    packed.save_pretrained(folder / "packed")
    byte_tokenizer().save_pretrained(folder / "packed")
    return folder / "packed"


@pytest.mark.external
@pytest.mark.skipif(not find_spec("bitsandbytes"), reason="bitsandbytes is not installed")
def test_bitsandbytes_is_made_plain(tmp_path, save):
    packed = _packed_by_bitsandbytes(save, tmp_path, intermediate_size=64)
    found = dict(_load(packed).model.named_parameters())
    for name, weights in load_file(tmp_path / "whole" / "model.safetensors").items():
        # Sixteen levels: off by less than half the widest gap, times the largest of a block of 64.
        most = 0.16 * float(weights.abs().max()) if "_proj" in name else 4e-3
        assert float((found[name] - weights).abs().max()) <= most, name


@pytest.mark.external
@pytest.mark.skipif(not find_spec("bitsandbytes"), reason="bitsandbytes is not installed")
def test_rows_that_bitsandbytes_unpacks_wrongly_are_refused(tmp_path, save):
    packed = _packed_by_bitsandbytes(save, tmp_path, intermediate_size=48)
    with pytest.raises(ModelRefused, match=r"down_proj has rows of 48 numbers, .* blocks of 64"):
        _load(packed)


@pytest.mark.parametrize("method", [name for name, needs in quantised.NEEDS.items() if needs])
def test_what_is_missing_is_named(tmp_path, save, monkeypatch, method):
    monkeypatch.setattr(quantised, "find_spec", lambda _: None)
    save(tmp_path, "llama")
    _say(tmp_path, {"quant_method": method, "bits": 4})
    wanted = " ".join(name.replace("_", "-") for name in quantised.NEEDS[method])
    with pytest.raises(ModelRefused, match=f"quantised with {method}.*run 'pip install {wanted}'"):
        _load(tmp_path)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"quant_method": "vptq"}, "quantised with vptq, which is not read here"),
        ({"quant_method": 3}, "quantised with 3, which is not read here"),
        ({"bits": 4, "group_size": 64}, "with a method that config.json does not name"),
        ({"load_in_4bit": True}, "quantised with bitsandbytes, which transformers reads with"),
        ([1], "quantization_config is a list and no object"),
    ],
)
def test_other_quantisation_is_refused_by_its_name(tmp_path, save, monkeypatch, given, words):
    monkeypatch.setattr(quantised, "find_spec", lambda _: None)
    save(tmp_path, "llama")
    _say(tmp_path, given)
    with pytest.raises(ModelRefused, match=words):
        _load(tmp_path)
    assert ModelSource("local/m", tmp_path, None, "m").weights in (
        "",
        "quantised with bitsandbytes, dequantised",
    )
