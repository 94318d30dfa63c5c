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


def _bits(numbers, order=range(8)):
    """Pack every eight numbers of the last axis into one word, the first of ``order`` lowest."""
    words = sum(numbers[..., start::8].long() << (4 * at) for at, start in enumerate(order))
    return words.where(words < 2**31, words - 2**32).to(torch.int32)


def _groups(weights):
    """Yield name, plain weight, numbers [in, out], zeros and scales [in / 32, out] of layers."""
    for name, value in _projections(weights).items():
        wide, long = value.shape
        numbers = torch.randint(0, 16, (long, wide))
        zeros = torch.randint(1, 16, (long // 32, wide))
        scales = (torch.rand(long // 32, wide) * 0.02 + 0.01).half()
        group = torch.arange(long) // 32
        plain = (scales.float()[group] * (numbers - zeros[group])).T
        yield name, plain, numbers, zeros, scales, group


def _gptq(weights):
    parts, plain = {}, {}
    for name, value, numbers, zeros, scales, group in _groups(weights):
        stem, plain[name] = name.removesuffix("weight"), value
        parts[f"{stem}qweight"] = _bits(numbers.T).T.contiguous()
        parts[f"{stem}qzeros"] = _bits(zeros - 1)
        parts[f"{stem}scales"], parts[f"{stem}g_idx"] = scales, group.int()
    return parts, plain


def _awq(weights):
    parts, plain = {}, {}
    order = (0, 2, 4, 6, 1, 3, 5, 7)
    for name, value, numbers, zeros, scales, _ in _groups(weights):
        stem, plain[name] = name.removesuffix("weight"), value
        parts[f"{stem}qweight"] = _bits(numbers, order)
        parts[f"{stem}qzeros"], parts[f"{stem}scales"] = _bits(zeros, order), scales
    return parts, plain


@pytest.mark.external
@pytest.mark.skipif(not find_spec("gptqmodel"), reason="gptqmodel is not installed")
@pytest.mark.parametrize(
    ("make", "method"),
    [
        (_gptq, {"quant_method": "gptq", "desc_act": False, "sym": False}),
        (_awq, {"quant_method": "awq", "zero_point": True, "version": "gemm"}),
    ],
)
def test_weights_that_stay_packed_compute_what_their_format_says(tmp_path, save, make, method):
    save(tmp_path, "llama", hidden_size=64, intermediate_size=64, head_dim=16)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    parts, plain = make(weights)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager").eval()
    model.load_state_dict({**model.state_dict(), **plain})
    kept = {name: value for name, value in weights.items() if name not in plain}
    save_file(kept | parts, file, metadata={"format": "pt"})
    _say(tmp_path, {**method, "bits": 4, "group_size": 32, "lm_head": False})
    loaded = _load(tmp_path)
    assert loaded.weights == f"quantised with {method['quant_method']}"
    ids = (torch.arange(60) * 7919 % 250)[None]
    with torch.inference_mode():
        found, expected = loaded.model(ids).logits, model(ids).logits
    # Their kernels multiply in halves of the precision that is asked for.
    assert float((found - expected).abs().max()) < 0.01 * float(expected.abs().max())


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


def test_a_package_that_another_one_needs_is_named(tmp_path, save, monkeypatch):
    def without(*_):
        raise ModuleNotFoundError("No module named 'loguru.core'", name="loguru.core")

    save(tmp_path, "llama")
    monkeypatch.setattr("tokenarium.backend.models.loading.find_structure", without)
    with pytest.raises(ModelRefused, match=r"No module named .*: run 'pip install loguru'"):
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
