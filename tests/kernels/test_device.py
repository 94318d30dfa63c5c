"""Where the Triton kernels run, and what is said where they do not."""

import importlib.util

import pytest
import torch

from tokenarium.kernels import device
from tokenarium.kernels.attention_stats import implementation

CUDA = torch.device("cuda")


@pytest.fixture
def ask(monkeypatch):
    """Ask about a CUDA device that looks fit, whatever this machine has."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    return lambda: device.why_not_triton.__wrapped__(CUDA)


def test_why_not_triton_names_the_device():
    assert device.why_not_triton(torch.device("cpu")) == "no Triton kernels for cpu"
    assert implementation(torch.device("mps")) == ("pytorch panels", "no Triton kernels for mps")


def test_why_not_triton_without_a_cuda_device(ask, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert ask() == "this PyTorch finds no cuda device"


def test_why_not_triton_on_an_old_device(ask, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    assert ask() == "compute capability 7.5 is below 8.0"


def test_why_not_triton_on_amd(ask, monkeypatch):
    monkeypatch.setattr(torch.version, "hip", "7.0")
    assert "AMD" in ask()


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_why_not_triton_where_the_first_kernel_fails(ask, monkeypatch):
    from tokenarium.kernels.vocab_stats import triton

    def fail(*_):
        raise RuntimeError("Failed to find C compiler")

    monkeypatch.setattr(triton, "vocab_stats", fail)
    monkeypatch.setattr(torch, "zeros", lambda *_, device: None)
    assert ask() == "Triton does not work here: Failed to find C compiler"
    monkeypatch.setattr(triton, "vocab_stats", lambda *_: None)
    assert ask() is None


@pytest.mark.gpu
def test_triton_kernels_run_on_a_gpu():
    assert implementation(CUDA)[0] == "triton kernels"
