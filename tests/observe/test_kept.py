"""What is kept of a run's attention, and when it is forgotten."""

import sys
import threading

import pytest
import torch

from tokenarium.backend.observe import AttentionCall
from tokenarium.backend.observe.kept_attention import KeptAttention, Reading

ONE, OTHER = (Reading("f", "torch.float32 cpu", digest) for digest in "ab")


def call(layer: int, tokens: int = 8, **values: object) -> AttentionCall:
    q, k = torch.randn(1, 4, tokens, 2), torch.randn(1, 2, tokens, 2)
    return AttentionCall(layer=layer, q=q, k=k, v=k, scaling=1.0, offset=0, **values)


SIZE = call(0).q.nbytes + call(0).k.nbytes


def test_kept_comes_back_by_reading_and_layer():
    kept = KeptAttention()
    calls = {(reading, layer): call(layer) for reading in (ONE, OTHER) for layer in (0, 1)}
    for (reading, _), made in calls.items():
        kept.put(reading, made)
    for (reading, layer), made in calls.items():
        found = kept.get(reading, layer)
        assert torch.equal(found.q, made.q)
        assert torch.equal(found.k, made.k)
    assert kept.get(ONE, 2) is None
    assert kept.get(None, 0) is None
    assert kept.held_bytes == 4 * SIZE


def test_kept_drops_the_least_recently_used_above_its_bound():
    kept = KeptAttention(most_bytes=2 * SIZE)
    kept.put(ONE, call(0))
    kept.put(ONE, call(1))
    assert kept.get(ONE, 0)
    kept.put(ONE, call(2))
    assert [layer for layer in range(3) if kept.get(ONE, layer)] == [0, 2]
    kept.put(ONE, call(2))
    assert kept.held_bytes == 2 * SIZE
    kept.put(OTHER, call(0, tokens=100))
    assert kept.held_bytes == 0, "what is larger than the bound is not kept"


def test_kept_holds_no_more_of_a_fused_tensor_than_its_part():
    kept = KeptAttention()
    fused = torch.randn(1, 4, 8, 6)
    q, k, v = fused.split(2, dim=-1)
    kept.put(ONE, AttentionCall(layer=0, q=q, k=k, v=v, scaling=1.0, offset=0))
    found = kept.get(ONE, 0)
    assert torch.equal(found.q, q)
    assert found.q.untyped_storage().nbytes() == q.nbytes
    assert found.k.untyped_storage().nbytes() == k.nbytes


def test_kept_leaves_out_layers_with_a_mask_and_runs_without_identity():
    kept = KeptAttention()
    kept.put(ONE, call(0, mask=torch.zeros(1, 1, 8, 8)))
    kept.put(None, call(0))
    assert kept.get(ONE, 0) is None
    assert kept.held_bytes == 0


def test_kept_is_whole_after_many_threads():
    kept = KeptAttention(most_bytes=5 * SIZE)
    failures: list[Exception] = []
    calls = [call(layer) for layer in range(7)]

    def work(digest: str) -> None:
        try:
            for turn in range(1000):
                kept.put(Reading("f", "x", digest), calls[turn % 7])
                kept.get(Reading("f", "x", digest), turn % 3)
        except (LookupError, RuntimeError) as error:
            failures.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads meet often
    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    assert failures == []
    assert kept.held_bytes == 5 * SIZE
    kept.clear()
    assert kept.held_bytes == 0


@pytest.mark.parametrize("change", ["fingerprint", "dtype", "device", "ids"])
def test_reading_differs_where_queries_and_keys_may(change):
    class Loaded:
        fingerprint, dtype, device = "f", torch.float32, torch.device("cpu")

    same = Reading.of(Loaded(), [1, 23])
    assert same == Reading.of(Loaded(), [1, 23])
    others = {"fingerprint": "g", "dtype": torch.bfloat16, "device": torch.device("meta")}
    other = Loaded()
    if change != "ids":
        setattr(other, change, others[change])
    assert same != Reading.of(other, [12, 3] if change == "ids" else [1, 23])
    assert Reading.of(Loaded(), [0] * 4096) is not None
    assert Reading.of(Loaded(), [0] * 4097) is None
