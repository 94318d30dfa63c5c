"""What is recorded of searches, clusters and neighbouring layers, against what was read."""

from typing import Any

import numpy as np
import pytest

from tests.cache.asking import ask, run
from tests.cache.policies.eager import eager_layers
from tokenarium.backend.cache import grouping_record
from tokenarium.backend.cache.result import CacheResult

BLOCK = 2
POLICIES: list[Any] = [
    {"slug": "hip", "parameters": {"block": BLOCK, "first": 1, "newest": 3, "dense": 1}},
    {"slug": "squeezed", "parameters": {"clusters": 0.2, "question": 4}},
    {"slug": "minicache", "parameters": {}},
]
STEPS = 6


@pytest.fixture(scope="module")
def result(twins, letters) -> CacheResult:
    loaded, _ = twins("llama")
    values = {"budget": 20, "max_new_tokens": STEPS, "noise": False}
    return run(loaded, ask(letters(70), policies=POLICIES, **values))


def test_a_search_halves_what_it_opened_and_reads_what_it_found(result) -> None:
    hip = result.runs[0]
    assert hip.searched(STEPS, 0, 0) is None  # the first layer reads everything
    for step in range(1, STEPS):
        for layer, head in ((1, 0), (1, 1), (2, 0), (2, 1)):
            found = hip.searched(step, layer, head)
            assert found is not None
            assert found.step == step
            read = set(hip.selected(step, layer, head).tolist())
            for level in range(found.level.max() + 1):
                here = found.level == level
                opened = here & found.opened
                # The best are opened; as many as blocks are sought.
                assert found.scores[opened].min() >= found.scores[here & ~found.opened].max()
                inside = [
                    {*range(first, stop)}
                    for first, stop in zip(found.first[opened], found.stop[opened], strict=True)
                ]
                if level < found.level.max():
                    below = found.level == level + 1
                    parts = zip(found.first[below], found.stop[below], strict=True)
                    assert set().union(*inside) == {at for a, b in parts for at in range(a, b)}
                    size = (found.stop - found.first)[here].max()
                    assert (found.stop - found.first)[below].max() == size // 2
                else:
                    assert set().union(*inside) <= read
                    left = here & ~found.opened
                    parts = zip(found.first[left], found.stop[left], strict=True)
                    assert not {at for a, b in parts for at in range(a, b)} & read
                    assert (found.stop - found.first)[here].max() == BLOCK
    assert hip.clusters(1, 0) is None
    assert hip.likeness == ()


def test_clusters_are_read_whole_or_not_at_all(result) -> None:
    squeezed = result.runs[1]
    prompt, some = len(result.prompt_ids), False
    for layer in range(3):
        for head in range(2):
            member = squeezed.clusters(layer, head)
            assert (member[prompt - 4 :] == 0).all()
            assert (member[: prompt - 4] > 0).all()
            assert member.max() <= round(0.2 * (prompt - 4))
            for step in range(1, STEPS):
                read = np.isin(np.arange(prompt), squeezed.selected(step, layer, head))
                assert read[prompt - 4 :].all()
                for number in range(1, member.max() + 1):
                    own = read[member == number]
                    assert own.all() or not own.any()
                some |= not read.all()
    assert some
    assert squeezed.searched(STEPS, 1, 0) is None


def test_likeness_is_the_cosine_of_eager_keys_and_values(twins, result) -> None:
    _, oracle = twins("llama")
    layers = eager_layers(oracle, result.prompt_ids.tolist())
    expected = []
    for lower, upper in ((0, 1), (1, 2)):
        row: list[float] = [lower, upper]
        for name in ("keys", "values"):
            a, b = (getattr(layers[at], name).double() for at in (lower, upper))
            row.append(float(((a * b).sum(2) / (a.norm(dim=2) * b.norm(dim=2))).mean()))
        expected.append(row)
    np.testing.assert_allclose(result.runs[2].likeness, expected, atol=1e-5)
    assert result.state_bytes[2, 0] == 0  # nothing of the comparison is kept


def test_records_stay_under_their_size(twins, letters, monkeypatch, result) -> None:
    rows = result.search_at[:, 1]
    one = int((rows == 1).sum()) * (4 * grouping_record.ROW + 4)
    monkeypatch.setattr(grouping_record, "MOST_SEARCH_BYTES", STEPS // 2 * one)
    monkeypatch.setattr(grouping_record, "MOST_CLUSTER_BYTES", result.clusters.nbytes // 3)
    loaded, _ = twins("llama")
    values = {"budget": 20, "max_new_tokens": STEPS, "noise": False}
    few = run(loaded, ask(letters(70), policies=POLICIES, **values))
    assert sorted(set(few.search_at[:, 1].tolist())) == [1, 2, 4]
    assert few.runs[0].searched(3, 1, 0).step == 2
    assert sorted(set(few.cluster_at[:, 1].tolist())) == [0]
