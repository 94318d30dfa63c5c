"""PiToMe merges what a pair-by-pair computation merges; equal entries merge without loss."""

import math

import pytest
import torch

from tests.cache.policies.conftest import Pair, kept
from tests.cache.policies.eager import eager_layers
from tokenarium.backend.cache import merging
from tokenarium.backend.cache.entries import Entries
from tokenarium.kernels.decode_attention import decode_attention

FIRST, NEWEST, MARGIN = 2, 5, 0.3


def cosine(a: list[float], b: list[float]) -> float:
    dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(math.fsum(x * x for x in a) * math.fsum(y * y for y in b))


def merged_by_hand(keys: torch.Tensor, budget: int) -> dict[int, list[int]]:
    """Members of every entry that is left, by its position; one pair at a time."""
    members = {position: [position] for position in range(len(keys))}
    means = {position: keys[position].double().tolist() for position in members}
    while len(members) > budget:
        left = sorted(members)
        free = [p for p in left if FIRST <= p < len(keys) - NEWEST]
        energy = {
            p: math.fsum(
                math.exp(-(((1 - cosine(means[p], means[j])) / (1 - MARGIN)) ** 2)) for j in left
            )
            / len(left)
            for p in free
        }
        order = sorted(free, key=lambda p: (-energy[p], p))
        pairs = min(len(left) - budget, len(free) // 2)
        gone, stay = order[: 2 * pairs : 2], order[1 : 2 * pairs : 2]
        near = {a: max(stay, key=lambda b: cosine(means[a], means[b])) for a in gone}
        for target in stay:
            together = [target, *(a for a in gone if near[a] == target)]
            if len(together) == 1:
                continue
            every = sorted(m for p in together for m in members[p])
            total = [math.fsum(len(members[p]) * means[p][d] for p in together) for d in range(8)]
            for p in together:
                del members[p], means[p]
            members[every[0]] = every
            means[every[0]] = [x / len(every) for x in total]
    return members


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    pair = Pair(*twins("llama"))
    ids = pair.prompt(40)
    given = {"first": FIRST, "newest": NEWEST, "margin": MARGIN}
    sequence = pair.under("pitome", 14, ids, **given)
    found = kept(sequence)
    for number, layer in enumerate(eager_layers(pair.eager, ids)):
        entries = sequence.layers[number].entries
        for g in range(len(layer.keys)):
            members = merged_by_hand(layer.keys[g], 14)
            assert found[number][g] == sorted(members)
            for name, every in (("keys", layer.keys[g]), ("values", layer.values[g])):
                means = torch.stack([every[members[p]].mean(0) for p in sorted(members)])
                torch.testing.assert_close(entries.rows(name)[g], means, rtol=1e-4, atol=1e-5)
            sizes = [len(members[p]) - 1 for p in sorted(members)]
            assert entries.rows("merged")[g].tolist() == sizes


def test_pitome_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)


def test_equal_entries_merge_without_loss():
    """This pins ln n: without it four equal entries would weigh as one."""
    draw = torch.Generator().manual_seed(0)
    keys, values = (torch.randn(1, 6, 4, generator=draw) for _ in range(2))
    many = [0, 1, 1, 1, 2, 3, 3, 4, 5, 1]
    entries = Entries(keys[:, many], values[:, many], torch.arange(10))
    merging.begin(entries)
    query = torch.randn(2, 1, 4, generator=draw)
    before = attended(entries, query)
    first = {row: many.index(row) for row in many}
    into = torch.tensor([first[row] for row in many])
    merging.merge(entries, [into])
    entries.keep([into.unique()])
    assert entries.rows("merged").tolist() == [[0, 3, 0, 1, 0, 0]]
    torch.testing.assert_close(attended(entries, query), before, rtol=1e-6, atol=1e-6)


def test_what_is_merged_twice_counts_all_its_parts():
    entries = Entries(torch.tensor([[[0.0], [2.0], [4.0], [9.0]]]), torch.ones(1, 4, 1),
                      torch.arange(4))  # fmt: skip
    merging.begin(entries)
    merging.merge(entries, [torch.tensor([0, 0, 2, 3])])
    entries.keep([torch.tensor([0, 2, 3])])
    merging.merge(entries, [torch.tensor([0, 0, 2])])
    entries.keep([torch.tensor([0, 2])])
    assert entries.rows("keys").flatten().tolist() == [2, 9]
    assert entries.rows("merged").tolist() == [[2, 0]]


def attended(entries: Entries, query: torch.Tensor) -> torch.Tensor:
    bias = merging.log_counts(entries).expand(2, -1)
    keys, values = entries.attended("keys"), entries.attended("values")
    return decode_attention(
        query, keys, values, entries.starts, entries.counts, scaling=0.5, bias=bias
    )[0]


def test_too_small_a_budget_is_refused(tiny):
    with pytest.raises(ValueError, match="raise budget to at least 8"):
        tiny().under("pitome", 7, tiny().prompt(20), first=2, newest=5)
