"""Patches against hooks on transformers' own class, and what must be 0 or 1."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.patching.conftest import kept, logits_of
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.patching.aligned import aligned, pairs_of
from tokenarium.backend.patching.request import PatchRequest
from tokenarium.backend.patching.result import PatchResult
from tokenarium.backend.patching.runner import patch
from tokenarium.backend.runs.events import Cancelled, CancelToken

TEXT, OTHER = "ABCDT", "ABXDU"


def run(loaded: LoadedModel, cancel: Any = None, **given: Any) -> PatchResult:
    asked = {"text": TEXT, "other": OTHER, "unit": "token", **given}
    request = PatchRequest(model="tiny", **asked)
    return patch(request, loaded, 2048, lambda _: None, cancel or CancelToken())


@pytest.mark.parametrize(("family", "into"), [("gpt2", "text"), ("gemma2", "other")])
def test_every_cell_is_what_hooks_apart_find(twins: Any, family: str, into: str) -> None:
    loaded, oracle = twins(family)
    result = run(loaded, into=into)
    texts = [ids.tolist()[:-1] for ids in (result.token_ids, result.other_ids)]
    base, source = texts[::-1] if into == "other" else texts
    known = kept(oracle, source, len(loaded.layers))

    def value(instead: Any) -> float:
        found = logits_of(oracle, base, instead)
        return float(found[result.target_id] - found[result.against_id])

    before = value({})
    after = logits_of(oracle, source)
    whole = float(after[result.target_id] - after[result.against_id]) - before
    for number, site in enumerate(result.sites):
        for layer in {1, len(loaded.layers) - 1}:
            every = known[site, layer]
            for column, (start, stop) in enumerate(result.units.tolist()):
                cell = torch.full_like(every, torch.nan)
                cell[start:stop] = every[start:stop]
                share = (value({(site, layer): cell}) - before) / whole
                found = result.recovered[number, layer, column]
                assert found == pytest.approx(share, abs=2e-4), (site, layer, column)
            share = (value({(site, layer): every}) - before) / whole
            assert result.whole[number, layer] == pytest.approx(share, abs=2e-4)


def test_everything_recovers_all_and_what_cannot_differ_nothing(twins: Any) -> None:
    loaded, _ = twins("llama")
    result = run(loaded)
    np.testing.assert_allclose(result.whole[0], 1, atol=1e-5)
    first = result.unit_text.index("C")
    assert (result.recovered[:, :, :first] == 0).all()
    np.testing.assert_allclose(result.recovered[0, 0, first], 1, atol=1e-5)
    assert (result.recovered[0, 0, first + 1 :] == 0).all(), "these embeddings are alike"
    assert np.abs(result.recovered[1:, :, first:]).max() > 1e-3
    assert result.counterpart[first] == "X"
    turned = run(loaded, text=OTHER, other=TEXT)
    np.testing.assert_allclose(turned.text_nats, -result.other_nats, atol=1e-5)
    np.testing.assert_allclose(turned.recovered, run(loaded, into="text").recovered, atol=1e-5)


def test_texts_of_other_lengths_are_aligned_at_their_ends(twins: Any) -> None:
    assert aligned([1, 2, 3], [1, 8, 9, 3]) == [(0, 0), (1, 2), (2, 3)]
    assert aligned([1, 2, 3], [1, 8, 2, 3]) == [(0, 0), (1, 2), (2, 3)]
    assert aligned([1, 8, 9, 3], [1, 3]) == [(0, 0), (3, 1)]
    loaded, _ = twins("llama")
    result = run(loaded, other="ABXYDU")
    assert result.counterpart[-2:] == ("Y", "D")
    assert "aligned at its end" in result.notes[-1]
    longer = run(loaded, text="ABXYDU", other=TEXT)
    column = longer.unit_text.index("X")
    assert np.isnan(longer.recovered[:, :, column]).all()
    assert pairs_of([], [1], [1]) == ()


def test_texts_that_cannot_be_compared_are_refused_in_words(twins: Any) -> None:
    loaded, _ = twins("llama")
    with pytest.raises(ValueError, match="as the text does"):
        run(loaded, other="ABXDT")
    with pytest.raises(ValueError, match="change words that matter"):
        run(loaded, other="ABCDU")
    with pytest.raises(ValueError, match="target=40"):
        run(loaded, target=40)
    assert run(loaded, target=None).target_text
    assert run(loaded, other="ABXDT", against="W").against_text == "W"
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        run(loaded, cancel)
