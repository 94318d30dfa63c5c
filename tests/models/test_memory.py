"""Bytes are known before a weight is read."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig

from backend.models import memory
from backend.models.memory import Need, count_parameters, free_bytes, need, refuse_unless_fits
from backend.models.refusal import DoesNotFit


def test_count_parameters_equals_the_tensors_of_all_shards(saved, tmp_path):
    tensors = load_file(saved("llama").folder / "model.safetensors")
    expected = sum(tensor.numel() for tensor in tensors.values())
    assert count_parameters(saved("llama").folder) == expected
    names = sorted(tensors)
    shards = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    index = {name: file for file, part in shards.items() for name in part}
    for file, part in shards.items():
        save_file({name: tensors[name] for name in part}, tmp_path / file)
    save_file(tensors, tmp_path / "consolidated.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(
        str({"weight_map": index}).replace("'", '"')
    )
    assert count_parameters(tmp_path) == expected


def test_need_counts_weights_in_the_asked_format():
    config = LlamaConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4)
    full, half = (need(1000, config, kind) for kind in (torch.float32, torch.bfloat16))
    assert full.weights_bytes == 4000
    assert half.weights_bytes == 2000
    assert full.per_token_bytes > half.per_token_bytes
    # At the least the residual stream of 3 depths and the keys and values of 2 layers.
    assert full.per_token_bytes >= 4 * (3 * 64 + 2 * 2 * 64)


def test_need_reads_sizes_given_per_layer():
    config = LlamaConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4)
    plain = need(1000, config, torch.float32)
    object.__setattr__(config, "intermediate_size", [16, config.intermediate_size])
    assert need(1000, config, torch.float32) == plain


def test_refuse_unless_fits_says_needed_free_and_what_would_help():
    wanted = Need(weights_bytes=8_000_000_000, fixed_bytes=0, per_token_bytes=1_000_000)
    refuse_unless_fits("m", wanted, 10_000_000_000, 2000, torch.float32)
    refuse_unless_fits("m", wanted, None, 10**9, torch.float32)
    with pytest.raises(DoesNotFit) as caught:
        refuse_unless_fits("m", wanted, 9_000_000_000, 2000, torch.float32)
    said = str(caught.value)
    for part in ("10.0 GB", "8.0 GB of weights", "9.0 GB are free", "bfloat16", "1000 tokens"):
        assert part in said
    with pytest.raises(DoesNotFit) as caught:
        refuse_unless_fits("m", wanted, 7_000_000_000, 2000, torch.bfloat16)
    assert "bfloat16" not in str(caught.value)
    assert "allow at most" not in str(caught.value)


def test_free_bytes_is_the_smaller_of_machine_and_container(tmp_path, monkeypatch):
    table = tmp_path / "meminfo"
    table.write_text("MemTotal:  4000 kB\nMemAvailable:    2000 kB\n")
    assert memory._machine_free(table) == 2000 * 1024
    assert memory._machine_free(tmp_path / "absent") is None
    (tmp_path / "memory.max").write_text("5000000\n")
    (tmp_path / "memory.current").write_text("4500000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 100000\nactive_file 200000\n")
    assert memory._container_free(tmp_path) == 800_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._container_free(tmp_path) is None
    monkeypatch.setattr(memory, "_machine_free", lambda _: 7)
    monkeypatch.setattr(memory, "_container_free", lambda _: 5)
    assert free_bytes(torch.device("cpu")) == 5
    monkeypatch.setattr(memory, "_machine_free", lambda _: None)
    monkeypatch.setattr(memory, "_container_free", lambda _: None)
    assert free_bytes(torch.device("cpu")) is None
