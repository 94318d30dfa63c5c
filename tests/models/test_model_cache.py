"""Models stay while there is room, and one run at a time uses each."""

import threading

import pytest
import torch

from tokenarium.backend.models import model_cache as cache
from tokenarium.backend.models.loading import load as real_load
from tokenarium.backend.models.model_cache import ModelCache
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.models.refusal import DoesNotFit, ModelRefused

CPU = torch.device("cpu")


@pytest.fixture
def loads(monkeypatch):
    """Names in the order they were loaded."""
    order = []

    def load(source, *rest):
        order.append(source.name)
        return real_load(source, *rest)

    monkeypatch.setattr(cache, "load", load)
    return order


def test_shelf_loads_once_per_model_and_dtype(saved, loads):
    shelf = ModelCache()
    first = shelf.get(saved("llama"), "float32", "cpu", 512)
    assert shelf.get(saved("llama"), torch.float32, CPU, 512) is first
    half = shelf.get(saved("llama"), "bfloat16", "cpu", 512)
    assert half.dtype == torch.bfloat16
    assert loads == ["local/llama"] * 2


def test_shelf_reloads_a_model_whose_files_changed(tmp_path, save, loads):
    source = ModelSource("local/x", save(tmp_path, "llama"), None, "x")
    shelf = ModelCache()
    first = shelf.get(source, "float32", CPU, 512)
    save(tmp_path, "llama", rms_norm_eps=1e-3)
    second = shelf.get(source, "float32", CPU, 512)
    assert second.fingerprint != first.fingerprint
    assert second.model.config.rms_norm_eps == 1e-3
    assert len(loads) == 2


def test_shelf_unloads_the_least_recently_used_when_memory_is_short(saved, loads, monkeypatch):
    shelf = ModelCache()
    for family in ("llama", "qwen2", "llama"):
        shelf.get(saved(family), "float32", CPU, 512)
    room = iter([0, 2**40])
    monkeypatch.setattr("tokenarium.backend.models.loading.free_bytes", lambda _: next(room))
    shelf.get(saved("gpt2"), "float32", CPU, 512)
    assert shelf.state("local/qwen2") == "cold"
    assert shelf.state("local/llama") == "ready"
    assert shelf.state("local/gpt2") == "ready"


def test_shelf_keeps_a_model_in_use_and_refuses_the_other(saved, monkeypatch):
    shelf = ModelCache()
    with shelf.use(saved("llama"), "float32", CPU, 512):
        monkeypatch.setattr("tokenarium.backend.models.loading.free_bytes", lambda _: 0)
        with pytest.raises(DoesNotFit):
            shelf.get(saved("qwen2"), "float32", CPU, 512)
        assert shelf.state("local/llama") == "ready"
    with pytest.raises(DoesNotFit):
        shelf.get(saved("qwen2"), "float32", CPU, 512)
    assert shelf.state("local/llama") == "cold"


def test_shelf_keeps_at_most_max_bytes(saved):
    shelf = ModelCache(max_bytes=250_000)
    sizes = {}
    for family in ("llama", "qwen3"):
        model = shelf.get(saved(family), "float32", CPU, 512).model
        sizes[family] = sum(weights.nbytes for weights in model.parameters())
    assert max(sizes.values()) < 250_000 < sum(sizes.values())
    assert shelf.state("local/llama") == "cold"
    assert shelf.state("local/qwen3") == "ready"


def test_shelf_gives_a_model_to_one_run_at_a_time(saved):
    shelf = ModelCache()
    inside, most, lock = 0, 0, threading.Lock()

    def run():
        nonlocal inside, most
        for _ in range(5):
            with shelf.use(saved("llama"), "float32", CPU, 512):
                with lock:
                    inside += 1
                    most = max(most, inside)
                threading.Event().wait(0.001)
                with lock:
                    inside -= 1

    saved("llama")
    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_shelf_loads_once_for_many_threads(saved, loads):
    shelf, source = ModelCache(), saved("llama")
    got = []
    threads = [
        threading.Thread(target=lambda: got.append(shelf.get(source, "float32", CPU, 512)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == ["local/llama"]
    assert len({id(model) for model in got}) == 1


def test_shelf_state_goes_from_cold_over_loading_to_ready(saved, monkeypatch):
    shelf, source = ModelCache(), saved("llama")
    seen = []

    def load(*given):
        seen.append((shelf.state(source.name), shelf.loaded(source.name)))
        return real_load(*given)

    monkeypatch.setattr(cache, "load", load)
    assert shelf.state(source.name) == "cold"
    model = shelf.get(source, "float32", CPU, 512)
    assert seen == [("loading", None)]
    assert shelf.state(source.name) == "ready"
    assert shelf.loaded(source.name) is model
    shelf.clear()
    assert shelf.state(source.name) == "cold"
    assert shelf.loaded(source.name) is None


def test_shelf_forgets_a_model_that_was_refused(saved):
    shelf = ModelCache()
    with pytest.raises(ModelRefused):
        shelf.get(saved("bert"), "float32", CPU, 512)
    assert shelf.state("local/bert") == "cold"
    assert not shelf._places


def test_shelf_loads_a_model_while_the_tokenizer_of_another_is_tried(
    saved, save, tmp_path, monkeypatch
):
    shelf, waiting, done = ModelCache(), threading.Event(), threading.Event()
    slow = ModelSource("local/slow", save(tmp_path, "llama"), None, "slow")

    def tried(_, name):
        if name == slow.name:
            waiting.set()
            assert done.wait(60)
        return True

    monkeypatch.setattr(cache, "try_tokenizer", tried)
    thread = threading.Thread(target=shelf.get, args=(slow, "float32", CPU, 512))
    thread.start()
    assert waiting.wait(60)
    assert shelf.get(saved("llama"), "float32", CPU, 512).name == "local/llama"
    assert thread.is_alive()
    done.set()
    thread.join(60)
    assert shelf.loaded(slow.name)
