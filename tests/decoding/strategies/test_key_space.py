"""Rows of the unembedding by hand: who is lowered, and by how much."""

import math

import pytest
import torch

from tests.decoding.table import TableReader, lane_of, random_table, written
from tokenarium.backend.decoding.strategies.key_space import KeySpace
from tokenarium.backend.decoding.strategies.sampling import Sampling

V = 8


def test_logits_fall_by_the_cosine_with_the_likeliest_row() -> None:
    table = random_table(V, 3, 1.0)
    lane = lane_of(KeySpace(push=4), TableReader(table), most=1)
    KeySpace(push=4).decode(lane)
    row, keys = table[0, 1], TableReader(table).vocabulary_keys()
    best = int(row.argmax())
    wanted = row.clone()
    for token in range(V):
        a, b = keys[token], keys[best]
        cosine = float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))
        if token != best:
            wanted[token] -= 4 * max(0.0, cosine)
    probs = torch.softmax(wanted, -1)[lane.records[0].top_ids[:V].tolist()]
    torch.testing.assert_close(torch.tensor(lane.records[0].top_probs[-1][:V]), probs)
    rows = [row for row in lane.journal.rows if row[7] == 1]
    cosines = [row[5] for row in rows]
    assert len(rows) == 5
    assert cosines == sorted(cosines, reverse=True)
    assert best not in [row[3] for row in rows]


@pytest.mark.parametrize("seed", range(3))
def test_orthogonal_rows_change_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    table = random_table(V, seed, 1.0)
    drawn = written(KeySpace(push=50), table, most=12, seed=seed).new
    monkeypatch.setattr(TableReader, "vocabulary_keys", lambda self: torch.eye(len(self.table)))
    plain = written(Sampling(), table, most=12, seed=seed).new
    assert written(KeySpace(push=50), table, most=12, seed=seed).new == plain
    assert drawn != plain
