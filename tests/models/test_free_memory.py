"""Bytes are known before a weight is read."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig

from tokenarium.backend.cost import free_memory as memory
from tokenarium.backend.cost.fits import (
    Need,
    need,
    past_context,
    refuse_beyond_time,
    refuse_model_unless_fits,
    refuse_text_unless_fits,
    refuse_unless_free,
)
from tokenarium.backend.cost.free_memory import count_parameters, free_bytes
from tokenarium.backend.cost.work import (
    KEPT_BYTES,
    STREAM_BYTES,
    Bytes,
    Choices,
    Sizes,
    of_result,
    on_device,
)
from tokenarium.backend.models.refusal import DoesNotFit


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


CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SMALL = LlamaConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, vocab_size=100)


def test_need_counts_weights_in_the_asked_format():
    full, half = (need(1000, SMALL, kind, CPU) for kind in (torch.float32, torch.bfloat16))
    assert full.weights_bytes == 4000
    assert half.weights_bytes == 2000
    assert full.total(1000) > half.total(1000)


def test_need_reads_sizes_given_per_layer():
    config = LlamaConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4)
    plain = need(1000, config, torch.float32, CPU)
    object.__setattr__(config, "intermediate_size", [16, config.intermediate_size])
    assert need(1000, config, torch.float32, CPU) == plain


def test_need_counts_results_only_where_they_are_held():
    on_cpu, on_gpu = (need(0, SMALL, torch.float32, device) for device in (CPU, CUDA))
    results = of_result(Sizes.of(SMALL), Choices()).total(1000)
    assert on_cpu.total(1000) >= on_gpu.total(1000) + results


def test_bytes_add_up_and_stop_at_their_caps():
    work = Bytes(10, 2, ((5, 100),)) + Bytes(1, 1, ((1, 7),))
    assert [work.total(tokens) for tokens in (0, 1, 20, 30)] == [11, 20, 11 + 60 + 107, 208]
    assert [work.most_tokens(free, 1000) for free in (10, 19, 20, 207, 208)] == [0, 0, 1, 29, 30]
    assert work.most_tokens(10**9, 1000) == 999


def test_streams_and_what_is_kept_are_bounded():
    sizes = Sizes.of(SMALL)
    lens, bare = (on_device(sizes, torch.float32, Choices(lens=on), CPU) for on in (True, False))
    assert lens.total(100) - bare.total(100) == 4 * 64 * 2 * 100
    assert lens.total(10**8) == bare.total(10**8), "both streams are larger than the bound"
    assert sum(most for _, most in lens.capped) == STREAM_BYTES + KEPT_BYTES


def test_refuse_unless_fits_says_needed_free_and_what_would_help():
    wanted = Need(weights_bytes=8_000_000_000, work=Bytes(0, 1_000_000))
    refuse_model_unless_fits("m", wanted, 10_000_000_000, 2000, torch.float32)
    refuse_model_unless_fits("m", wanted, None, 10**9, torch.float32)
    with pytest.raises(DoesNotFit) as caught:
        refuse_model_unless_fits("m", wanted, 9_000_000_000, 2000, torch.float32)
    said = str(caught.value)
    for part in ("10.0 GB", "8.0 GB of weights", "9.0 GB are free", "bfloat16", "1000 tokens"):
        assert part in said
    with pytest.raises(DoesNotFit) as caught:
        refuse_model_unless_fits("m", wanted, 7_000_000_000, 2000, torch.bfloat16)
    assert "bfloat16" not in str(caught.value)
    assert "allow at most" not in str(caught.value)


@dataclass
class Shelved:
    """All of a ``LoadedModel`` that its memory depends on."""

    model: SimpleNamespace
    device: torch.device = CPU
    dtype: torch.dtype = torch.float32
    name: str = "local/tiny"


def test_refuse_run_names_the_largest_length_that_fits(monkeypatch):
    loaded = Shelved(SimpleNamespace(config=SMALL))
    wanted = need(0, SMALL, torch.float32, CPU)
    monkeypatch.setattr(memory, "free_bytes", lambda _: wanted.total(700))
    refuse_text_unless_fits(loaded, 700, Choices())
    with pytest.raises(ValueError, match=r"local/tiny needs .* at most 700 tokens") as caught:
        refuse_text_unless_fits(loaded, 701, Choices())
    assert not isinstance(caught.value, DoesNotFit), "the model itself is not refused"
    assert "set logit_lens=False" in str(caught.value)
    refuse_text_unless_fits(loaded, 701, Choices(lens=False))
    with pytest.raises(ValueError, match="at most") as caught:
        refuse_text_unless_fits(loaded, 30_000, Choices())
    assert "logit_lens" not in str(caught.value), "it would not help"
    monkeypatch.setattr(memory, "free_bytes", lambda _: 1000)
    with pytest.raises(ValueError, match="0 MB are free: choose a smaller model"):
        refuse_text_unless_fits(loaded, 5, Choices())
    monkeypatch.setattr(memory, "free_bytes", lambda _: None)
    refuse_text_unless_fits(loaded, 10**9, Choices())


@pytest.mark.parametrize("short", ["cuda", "cpu"])
def test_refuse_run_looks_at_the_device_and_at_main_memory(monkeypatch, short):
    loaded = Shelved(SimpleNamespace(config=SMALL), device=CUDA)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2**60 * (device.type != short))
    with pytest.raises(ValueError, match=f"of {short} memory"):
        refuse_text_unless_fits(loaded, 5, Choices())


def test_refuse_beyond_time_needs_a_clear_margin():
    for total_ms in (None, 0.0, 15_000.0):
        refuse_beyond_time(total_ms, 10)
    with pytest.raises(ValueError, match=r"about 15 seconds, .* and 10 are allowed here: "):
        refuse_beyond_time(15_001.0, 10)


def test_refuse_unless_free_says_needed_free_and_the_remedies(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda _: 2_000_000)
    refuse_unless_free(CPU, 2_000_000, "5 tokens", "the model", ["shorten the prompt"])
    with pytest.raises(ValueError, match="5 tokens need 3 MB of memory beside the model, but 2 MB"):
        refuse_unless_free(CPU, 3_000_000, "5 tokens", "the model", ["shorten", "lower"])
    monkeypatch.setattr(memory, "free_bytes", lambda _: -1)
    with pytest.raises(ValueError, match=r"but 0 MB are free: shorten, or lower$"):
        refuse_unless_free(CPU, 1, "5 tokens", "the model", ["shorten", "lower"])
    monkeypatch.setattr(memory, "free_bytes", lambda _: None)
    refuse_unless_free(CPU, 10**15, "5 tokens", "the model", [])


def test_past_context_is_refused_without_positions_and_said_with_them():
    learned = SimpleNamespace(context=8, reads_past_context=False)
    rotary = SimpleNamespace(context=8, reads_past_context=True)
    for loaded in (learned, rotary):
        assert past_context(loaded, 8, "too long") == ()
    with pytest.raises(ValueError, match=r"^too long$"):
        past_context(learned, 9, "too long")
    note = "tokens from 8 on are beyond the context that x was trained for"
    assert past_context(rotary, 9, "too long", "that x") == (note,)


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
