"""Rows read one behind the other see what each would see alone, and nothing is read twice."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.attribution.conftest import OTHER, game_of, log_probability, random_ids
from tests.trace.conftest import Twins
from tokenarium.backend.attribution import joined, reader, rows
from tokenarium.backend.attribution.joined import joins
from tokenarium.backend.observe import products


@pytest.mark.parametrize("family", ["mistral", "gpt_oss", "openai-gpt"])
def test_rows_side_by_side_and_behind_each_other_are_worth_the_same(
    twins: Twins, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, oracle = twins(family)
    ids = random_ids(25)
    kept = np.concatenate((np.random.default_rng(2).random((8, 25)) < 0.7, ~np.eye(25, dtype=bool)))
    monkeypatch.setattr(rows, "BATCH_TOKENS", 90)  # several passes of several rows each
    found: dict[bool, list[Any]] = {}
    for behind in (True, False):
        if not behind:
            monkeypatch.setattr(reader, "joins", lambda *_: False)
        game = game_of(loaded, ids, against=OTHER)
        with torch.no_grad():
            found[behind] = [
                game.values(kept, change) for change in ("delete", "mask", "zero_value", "replace")
            ]
    np.testing.assert_allclose(found[True], found[False], atol=1e-5)
    texts = [[key for key, stay in zip(ids, row, strict=True) if stay] for row in kept]
    expected = [log_probability(oracle, text, OTHER) for text in texts]
    np.testing.assert_allclose(found[False][0], expected, atol=2e-5)


def test_only_what_a_change_reaches_is_read(llama: Any) -> None:
    loaded, _ = llama
    length = 20
    for change, after in (("delete", 0), ("mask", 1), ("zero_value", 0), ("replace", 0)):
        game = game_of(loaded, list(range(60, 60 + length)))
        with torch.no_grad():
            game.values(~np.eye(length, dtype=bool), change)  # type: ignore[arg-type]
        left = length - 1 if change == "delete" else length
        own = sum(max(1, left - number - after) for number in range(length))
        assert game.reader.token_steps == length + own, change


def test_a_model_whose_tokens_meet_outside_attention_is_read_side_by_side(twins: Twins) -> None:
    loaded, _ = twins("qwen2")
    ids = random_ids(9)

    def leak(_: Any, __: Any, output: Any) -> Any:
        """Let a layer see the token before, as a convolution does."""
        return output + output.roll(1, 1)

    joined._tried.pop(loaded.model, None)
    handle = loaded.layers[0].register_forward_hook(leak)
    with torch.no_grad():
        assert not joins(loaded, ids)
        handle.remove()
        assert not joins(loaded, ids), "it is found out once"
        joined._tried.pop(loaded.model)
        assert joins(loaded, ids)
        assert not joins(loaded, ids[:2])


def test_products_by_onednn_are_those_of_the_layers(
    llama: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, _ = llama
    if products._product() is None:
        pytest.skip("this torch has no linear layer by oneDNN")
    part = products.linear_layers(loaded)[0]
    given = torch.randn(5, part.in_features, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = part(given)
        for faster in (False, True):
            monkeypatch.setattr(products, "onednn_is_faster", lambda faster=faster: faster)
            with products.quick_products(loaded):
                assert ("forward" in vars(part)) == faster
                torch.testing.assert_close(part(given), expected, atol=1e-6, rtol=1e-6)
            assert "forward" not in vars(part)
        with pytest.raises(KeyError), products.quick_products(loaded):
            raise KeyError
    assert "forward" not in vars(part)
