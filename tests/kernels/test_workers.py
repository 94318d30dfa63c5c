"""The worker pool and the choice of a matrix product."""

import threading

import pytest
import torch

from tokenarium.kernels.attention_stats import product, workers


@pytest.fixture
def two_threads():
    keep = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(keep)


def test_workers_do_every_job_single_threaded_and_leave_others_alone(two_threads):
    seen, later = [], []
    workers.run([lambda: seen.append(torch.get_num_threads()) for _ in range(12)], 5)
    assert seen == [1] * 12
    assert torch.get_num_threads() == 2
    fresh = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    fresh.start()
    fresh.join()
    assert later == [2]


def test_workers_raise_what_a_job_raised():
    def fail():
        raise RuntimeError("no such panel")

    with pytest.raises(RuntimeError, match="no such panel"):
        workers.run([fail], 1)


def test_products_agree():
    a, b = torch.randn(37, 20), torch.randn(55, 20)
    torch.testing.assert_close(product.mkl(a, b), a @ b.T)
    torch.testing.assert_close(product.fastest()[0](a, b), a @ b.T)


@pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this build of torch has no oneDNN"
)
def test_onednn_product_is_still_reachable():
    a, b = torch.randn(37, 20), torch.randn(55, 20)
    torch.testing.assert_close(product.onednn(a, b), a @ b.T)


@pytest.mark.parametrize(
    ("made_by", "expected"),
    [("AuthenticAMD", "onednn"), ("GenuineIntel", "mkl"), ("HygonGenuine", "onednn"), ("", "mkl")],
)
@pytest.mark.skipif(
    not torch.backends.mkl.is_available() or not torch.backends.mkldnn.is_available(),
    reason="this build of torch lacks MKL or oneDNN",
)
def test_product_follows_from_the_maker_alone(monkeypatch, tmp_path, made_by, expected):
    info = tmp_path / "cpuinfo"
    info.write_text(f"processor : 0\nvendor_id\t: {made_by}\n" if made_by else "CPU part : 0xd0c\n")
    monkeypatch.setattr(product, "CPU_INFO", info)
    chosen, reason = product.fastest.__wrapped__()
    assert chosen is getattr(product, expected)
    assert made_by in reason


def test_maker_is_read_from_the_name_where_there_is_no_cpuinfo(monkeypatch, tmp_path):
    monkeypatch.setattr(product, "CPU_INFO", tmp_path / "none")
    named = "AMD64 Family 25 Model 33 Stepping 0, AuthenticAMD"
    monkeypatch.setattr(product.platform, "processor", lambda: named)
    assert product.maker() == "AuthenticAMD"
    monkeypatch.setattr(product.platform, "processor", lambda: "arm")
    assert product.maker() == ""


def test_missing_onednn_product_falls_back_and_says_so(monkeypatch):
    def gone(*_):
        raise AttributeError("no attribute '_linear_pointwise'")

    monkeypatch.setattr(product, "onednn", gone)
    monkeypatch.setattr(product, "maker", lambda: "AuthenticAMD")
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    chosen, reason = product.fastest.__wrapped__()
    assert chosen is product.mkl
    assert "_linear_pointwise" in reason
