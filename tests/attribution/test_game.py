"""Values of changed texts against one pass each of transformers' own class."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.attribution.conftest import OTHER, game_of, log_probability, random_ids
from tests.trace.conftest import Twins
from tokenarium.backend.attribution.rounded import Products
from tokenarium.backend.attribution.rows import packed, row_of

FAMILIES = ("llama", "mistral", "gpt2", "gemma2", "gpt_oss")


def kept_sets(units: int) -> Any:
    """The text itself, nothing, each unit left out, some sets at random."""
    some = np.random.default_rng(1).random((9, units)) < 0.6
    whole, nothing = np.ones((1, units), bool), np.zeros((1, units), bool)
    return np.concatenate((whole, nothing, ~np.eye(units, dtype=bool), some))


@pytest.mark.parametrize("family", FAMILIES)
def test_deleted_units_are_read_as_the_text_without_them(twins: Twins, family: str) -> None:
    loaded, oracle = twins(family)
    ids, widths = random_ids(23), [1, 3, 2, 5, 1, 4, 7]
    game = game_of(loaded, ids, widths=widths, against=OTHER)
    kept = kept_sets(len(widths))
    with torch.no_grad():
        found = game.values(kept)
    stays = np.repeat(kept, widths, axis=1)
    for value, row in zip(found, stays, strict=True):
        left = [key for key, stay in zip(ids, row, strict=True) if stay] or [0]
        assert value == pytest.approx(log_probability(oracle, left, OTHER), abs=2e-5)
    assert game.whole == pytest.approx(log_probability(oracle, ids, OTHER), abs=2e-5)
    assert any("nothing is left" in note for note in game.notes)


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2"])
def test_masked_units_stay_in_place_unseen(twins: Twins, family: str) -> None:
    loaded, oracle = twins(family)
    ids = random_ids(21)
    game = game_of(loaded, ids)
    kept = kept_sets(len(ids))
    with torch.no_grad():
        found = game.values(kept, "mask")
    window = getattr(oracle.config, "sliding_window", None)
    place = torch.arange(len(ids))
    distance = place[:, None] - place
    kinds = getattr(oracle.config, "layer_types", None)
    if window is not None and kinds is not None:
        pytest.skip("transformers takes one mask for layers of both kinds")
    for value, row in zip(found, kept, strict=True):
        unseen = (distance < 0) | (~torch.as_tensor(row)[None, :] & (distance != 0))
        if window is not None:
            unseen |= distance >= window
        mask = torch.zeros(unseen.shape).masked_fill(unseen, torch.finfo(torch.float32).min)
        expected = log_probability(oracle, ids, attention_mask=mask[None, None])
        assert value == pytest.approx(expected, abs=2e-5)


def test_replaced_units_are_other_tokens_in_the_same_places(llama: Any) -> None:
    loaded, oracle = llama
    ids = random_ids(12)
    game = game_of(loaded, ids, seed=3)
    kept = kept_sets(len(ids))
    with torch.no_grad():
        found = game.values(kept, "replace", 1)
        again = game_of(loaded, ids, seed=3).values(kept, "replace", 1)
        other = game.values(kept, "replace", 0)
        drawn = game._replacement(1)
    np.testing.assert_allclose(found, again, atol=1e-6)
    assert np.abs(found - other)[1:].max() > 1e-3
    assert (np.array(ids)[1:] != drawn[1:]).all()
    for value, row in zip(found, kept, strict=True):
        text = np.where(row, ids, drawn).tolist()
        assert value == pytest.approx(log_probability(oracle, text), abs=2e-5)


def test_a_set_is_read_once_and_passes_are_counted(llama: Any) -> None:
    loaded, _ = llama
    game = game_of(loaded, random_ids(10))
    calls: list[tuple[int, ...]] = []
    handle = loaded.body.register_forward_pre_hook(
        lambda _, args, given: calls.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    with torch.no_grad():
        game.values(kept_sets(10))
        first = sum(rows for rows, _ in calls)
        game.values(kept_sets(10))
    handle.remove()
    assert sum(rows for rows, _ in calls) == first
    assert game.reader.passes == 1 + len(np.unique(kept_sets(10), axis=0))
    assert game.reader.token_steps == 10 + sum(rows * width for rows, width in calls)


def test_rows_are_packed_once_each_with_little_padding() -> None:
    text = random_ids(60)
    rows = [row_of(n, text[:n] + text[n + 1 :], text) for n in range(60)]
    batches = list(packed(rows, True))
    assert sorted(row.number for batch in batches for row in batch.rows) == list(range(60))
    for batch in batches:
        assert all(len(row.ids) > batch.shared for row in batch.rows)
        assert all(list(row.ids[: batch.shared]) == text[: batch.shared] for row in batch.rows)
    own = sum(len(row.ids) - row.shared for row in rows)
    assert sum(len(batch.rows) * batch.width for batch in batches) < 1.4 * own
    assert {batch.shared for batch in packed(rows, False)} == {0}


def test_rounded_products_are_near_and_their_error_is_noted(llama: Any) -> None:
    loaded, _ = llama
    ids, kept = random_ids(30), kept_sets(30)
    exact = game_of(loaded, ids)
    game = game_of(loaded, ids, products=Products(loaded))
    for change in ("delete", "mask", "replace"):
        with torch.no_grad():
            rounded, expected = game.values(kept, change), exact.values(kept, change)
        error = np.abs(rounded - expected).max()
        assert 1e-7 < error < 0.05
    assert game.whole == exact.whole
    (note,) = (note for note in game.notes if "bfloat16" in note)
    assert 0 < float(note.partition("differ by ")[2].split()[0]) < 0.05
    assert not [part for part in loaded.body.modules() if "forward" in vars(part)]
