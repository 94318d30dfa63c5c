"""Soft steps: mixtures by hand, and the table model, which follows a mixture exactly."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.decoding.table import random_table, written
from tests.speculation.conftest import loaded_from
from tokenarium.backend.decoding.calibration import Calibration
from tokenarium.backend.decoding.soft import mixture
from tokenarium.backend.decoding.strategies.soft_thinking import SoftThinking
from tokenarium.backend.decoding.strategies.soft_tokens import SoftTokens
from tokenarium.backend.decoding.strategies.swireasoning import SwiReasoning
from tokenarium.backend.decoding.watching_reader import WatchingReader

V = 6
FLAT = Calibration(np.full(9, 9.0, np.float32), np.ones(9, np.float32))


def test_a_mixture_is_of_the_likeliest_tokens_by_their_share() -> None:
    probs = torch.tensor([0.1, 0.4, 0.3, 0.2])
    ids, weights = mixture(probs, 3, 0.6)
    assert ids == [1, 2]
    assert weights.tolist() == pytest.approx([4 / 7, 3 / 7])
    ids, weights = mixture(probs, 3, 0.0, 0.5)
    assert ids == [1, 2, 3]
    assert weights.tolist() == pytest.approx([16 / 29, 9 / 29, 4 / 29])


def test_after_soft_steps_comes_what_follows_the_mixtures() -> None:
    table = random_table(V, 1, 1.0)
    strategy = SoftThinking(tokens=2, surest=0.0, soft_steps=2, cold_nats=0.0)
    lane = written(strategy, table, most=4)
    assert lane.new[:2] == [-1, -1]
    first = torch.eye(V)[1]
    before, rows = torch.eye(V)[0], []
    for made in lane.records:
        row = torch.einsum("a,b,abv->v", before, first, table)
        probs = torch.softmax(row, -1)
        assert made.entropy_nats == pytest.approx(float(-(probs * probs.log()).sum()), rel=1e-4)
        ids, weights = mixture(probs, 2, 0.001)
        own = torch.zeros(V).index_put((torch.tensor(ids),), weights)
        hard = torch.eye(V)[int(probs.argmax())]
        before, first = first, own if made.token < 0 else hard
        rows.append(int(probs.argmax()))
    assert lane.new[2:] == rows[2:]


def test_it_is_hard_where_unsure_after_its_steps_and_when_cold() -> None:
    table = random_table(V, 1, 1.0)
    assert -1 not in written(SoftThinking(surest=1.0), table, most=6).new
    assert -1 not in written(SoftThinking(tokens=1), table, most=6).new
    lane = written(SoftThinking(surest=0, cold_nats=5, cold_steps=3), table, most=6)
    assert lane.new[:3] == [-1, -1, lane.new[2]]
    assert -1 not in lane.new[2:]


def test_noise_is_a_share_of_the_embeddings_entries() -> None:
    table = random_table(V, 2, 1.0)
    quiet = written(SoftTokens(noise=0, soft_steps=3), table, most=5)
    loud = [written(SoftTokens(noise=1, soft_steps=3), table, most=5, seed=s) for s in (0, 0, 1)]
    assert quiet.new[:3] == [-1] * 3
    each = [[made.entropy_nats for made in lane.records] for lane in (quiet, *loud)]
    assert each[1] == each[2] != each[3]
    assert each[0][0] == each[1][0]
    assert each[0][1] != each[1][1]
    reader = written(SoftTokens(noise=0.5, soft_steps=1, tokens=2), table).stepper._reader
    [read] = reader.soft.values()
    eps = np.random.default_rng([0, 1]).standard_normal(V)
    ids, weights = mixture(torch.softmax(table[0, 1], -1), 2, 0.0, 0.5)
    clean = torch.zeros(V).index_put((torch.tensor(ids),), weights).numpy()
    np.testing.assert_allclose(read.numpy(), clean + 0.5 * V**-0.5 * eps, atol=1e-5)


def test_modes_switch_by_the_entropy_at_the_last_switch() -> None:
    table = random_table(V, 4, 1.5)
    lane = written(SwiReasoning(dwell=2), table, most=40, calibration=FLAT)
    latent, stayed, reference, switches = False, 0, lane.records[0].entropy_nats, 0
    for made in lane.records:
        entropy = made.entropy_nats
        if latent and entropy < reference:
            latent, stayed, reference = False, 0, entropy
        elif not latent and entropy > reference and stayed >= 2 and switches < 8:
            latent, stayed, reference, switches = True, 0, entropy, switches + 1
        assert (made.token < 0) == latent
        stayed += 1
    assert switches > 2
    low = Calibration(np.zeros(9, np.float32), np.ones(9, np.float32))
    assert -1 not in written(SwiReasoning(dwell=2), table, most=40, calibration=low).new


def test_a_mixture_of_one_token_is_read_as_the_token(tmp_path: Path) -> None:
    loaded = loaded_from(tmp_path)
    hard, soft = (WatchingReader(loaded, 16) for _ in range(2))
    for reader in (hard, soft):
        reader.extend_states([3, 9, 4])
    found = soft.extend_states([0], soft.embed([11]))
    torch.testing.assert_close(found, hard.extend_states([11]), atol=0, rtol=0)
