"""What a layer's cache holds after any course of appending and dropping."""

import pytest
import torch

from tokenarium.backend.cache.entries import LEAST_ROOM, Entries
from tokenarium.backend.cache.kept_indices import AllBut

G, D = 2, 4


class Twin:
    """The same as plain lists: one list of (position, number) a head."""

    def __init__(self, length: int) -> None:
        self.heads = [list(range(length)) for _ in range(G)]
        self.mass = [[0.0] * length for _ in range(G)]

    def append(self, positions: list[int]) -> None:
        for g in range(G):
            self.heads[g] += positions
            self.mass[g] += [0.0] * len(positions)

    def keep(self, kept: list[list[int]]) -> list[list[int]]:
        gone = [[p for i, p in enumerate(self.heads[g]) if i not in kept[g]] for g in range(G)]
        self.heads = [[self.heads[g][i] for i in kept[g]] for g in range(G)]
        self.mass = [[self.mass[g][i] for i in kept[g]] for g in range(G)]
        return gone


def vectors(positions: torch.Tensor, groups: int = G) -> torch.Tensor:
    """A key for each head and position that tells both."""
    head = torch.arange(groups)[:, None, None] * 1000.0
    return (head + positions[None, :, None]).expand(-1, -1, D)


def started(length: int) -> Entries:
    positions = torch.arange(length)
    return Entries(vectors(positions), -vectors(positions), positions)


def same(entries: Entries, twin: Twin) -> None:
    for g in range(G):
        assert entries.head("positions", g).tolist() == twin.heads[g]
        keys = [1000.0 * g + p for p in twin.heads[g]]
        assert entries.head("keys", g)[:, 1].tolist() == keys
        assert entries.head("values", g)[:, 2].tolist() == [-key for key in keys]
        if "mass" in entries.buffers:
            assert entries.head("mass", g).tolist() == twin.mass[g]
    rows = entries.rows("positions")
    assert rows.shape == (G, max(map(len, twin.heads)))
    held = entries.present()
    assert [rows[g][held[g]].tolist() for g in range(G)] == twin.heads


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("length", [1, 7, 300])
def test_entries_are_those_of_plain_lists(length: int, ragged: bool) -> None:
    draw = torch.Generator().manual_seed(length)
    entries, twin, seen = started(length), Twin(length), length
    for step in range(90):
        new = 1 + 2 * (step % 7 == 3)
        positions = torch.arange(seen, seen + new)
        entries.append(vectors(positions), -vectors(positions), positions)
        twin.append(positions.tolist())
        seen += new
        mass = torch.rand(entries.rows("positions").shape, generator=draw)
        entries.put("mass", mass)
        twin.mass = [mass[g, : len(twin.heads[g])].tolist() for g in range(G)]
        if step % 3 == 1:
            kept = []
            for g in range(G):
                count = len(twin.heads[g])
                left = max(1, count - 1 - 40 * (step == 40) - 3 * ragged * g)
                order = torch.randperm(count, generator=draw)[:left]
                kept.append(order.sort().values)
            dropped = entries.keep(kept)
            gone = twin.keep([rows.tolist() for rows in kept])
            assert [positions.tolist() for positions in dropped] == gone
        same(entries, twin)


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("index", [0, 3, 99, 198, 199])
def test_dropping_one_entry_a_step_keeps_order_and_storage(index: int, told: bool) -> None:
    entries, twin = started(200), Twin(200)
    storage = entries.nbytes
    for position in range(200, 280):
        here = torch.tensor([position])
        entries.append(vectors(here), -vectors(here), here)
        twin.append([position])
        other = (index + 3) % 201
        kept = AllBut(torch.tensor([[index], [other]]), 201)
        assert [len(rows) for rows in kept] == [200, 200]
        dropped = entries.keep(kept if told else list(kept))
        gone = twin.keep([rows.tolist() for rows in kept])
        assert [positions.tolist() for positions in dropped] == gone
        same(entries, twin)
    assert entries.nbytes == storage


def test_nbytes_shrink_with_what_is_dropped() -> None:
    entries = started(1000)
    bytes_of_one = G * (2 * D * 4 + 4)
    assert 1000 * bytes_of_one <= entries.nbytes <= 1000 * bytes_of_one * (1 + 1 / 32)
    entries.keep([torch.arange(64)] * G)
    assert entries.nbytes == (64 + LEAST_ROOM) * bytes_of_one
    entries.put("mass", torch.zeros(G, 64))
    assert entries.nbytes == (64 + LEAST_ROOM) * (bytes_of_one + G * 4)


def test_ragged_heads_free_their_own_bytes() -> None:
    entries = started(1000)
    entries.keep([torch.arange(64), torch.arange(200)])
    rows = 64 + LEAST_ROOM + 200 + LEAST_ROOM
    assert entries.nbytes == rows * (2 * D * 4 + 4)
    assert not entries.even


def test_oldest_and_newest_entries_are_forgotten_in_place() -> None:
    entries = started(10)
    entries.forget_oldest(3)
    entries.forget_newest(2)
    assert entries.rows("positions").tolist() == [[3, 4, 5, 6, 7]] * G
    here = torch.tensor([8, 9])
    entries.append(vectors(here), -vectors(here), here)
    assert entries.rows("keys")[1, :, 0].tolist() == [1003.0 + i for i in range(7)]


def test_entries_share_no_storage_with_what_they_were_made_of() -> None:
    keys = torch.zeros(1, 1, D)
    entries = Entries(keys, keys, torch.zeros(1, dtype=torch.int64))
    entries.buffers["keys"].fill_(1)
    assert not keys.any()
