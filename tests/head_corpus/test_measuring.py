"""Heads over a corpus against a plain loop over transformers' eager attention."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tokenarium.backend.head_corpus import measuring
from tokenarium.backend.head_corpus.copies import earlier_copies
from tokenarium.backend.head_corpus.corpus import MEASURED, QUANTILES, read
from tokenarium.backend.head_corpus.measuring import measure
from tokenarium.backend.runs.events import Cancelled, CancelToken, Progress

TEXTS = (
    "ABCABC and ABC.",
    "A lamp, a book, a lamp.",
    "abcdefghij",
    "The cat saw the cat.",
    "xyxyx",
)
Models = Callable[[str], tuple[Any, Any]]


def naive(oracle: Any, ids: list[int]) -> dict[str, Any]:
    """Return the measures of one text, [L][H], from whole attention matrices, key by key."""
    with torch.no_grad():
        layers = oracle(torch.tensor([ids]), output_attentions=True).attentions
    found: dict[str, Any] = {name: [] for name in MEASURED}
    length = len(ids)
    for layer in layers:
        rows: dict[str, list[float]] = {name: [] for name in MEASURED}
        for a in layer[0].double().numpy():
            rows["sink"].append(np.mean([a[i, 0] for i in range(length)]))
            rows["previous"].append(np.mean([a[i, i - 1] for i in range(1, length)]))
            rows["self"].append(np.mean([a[i, i] for i in range(length)]))
            far = np.mean([sum(a[i, j] * (i - j) for j in range(i + 1)) for i in range(length)])
            rows["distance"].append(far / np.mean([i / 2 for i in range(length)]))
            logs = [-sum(p * np.log(p) for p in a[i, : i + 1] if p > 0) for i in range(length)]
            uniform = np.mean([np.log(i + 1) for i in range(length)])
            rows["entropy"].append(np.mean(logs) / uniform)
            for name, after in (("echo", 0), ("induction", 1)):
                masses = []
                for i in range(length):
                    keys = [j + after for j in range(i) if ids[j] == ids[i]]
                    keys = [key for key in keys if 0 < key < i]
                    if keys:
                        masses.append(sum(a[i, key] for key in keys))
                rows[name].append(np.mean(masses) if masses else np.nan)
        for name, values in rows.items():
            found[name].append(values)
    return found


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_statistics_are_those_of_a_plain_loop(twins: Models, family: str) -> None:
    loaded, oracle = twins(family)
    corpus = measure(loaded, TEXTS, limit=200)
    ids = [loaded.tokenizer(text)["input_ids"] for text in TEXTS]
    assert list(corpus.about.tokens) == [len(each) for each in ids]
    each = [naive(oracle, tokens) for tokens in ids]
    for place, name in enumerate(MEASURED):
        values = np.array([one[name] for one in each])
        known = np.isfinite(values)
        assert known.any()
        wanted = {
            "mean": np.nanmean(values, 0),
            "deviation": np.nanstd(values, 0, ddof=1),
            "count": known.sum(0),
            "strongest": np.nanargmax(values, 0),
        }
        for part, right in wanted.items():
            found = getattr(corpus, part)[place]
            np.testing.assert_allclose(found, right, 1e-4, 1e-5, err_msg=f"{name}: {part}")
        for row, share in enumerate(QUANTILES):
            right = np.nanquantile(values, share, axis=0)
            np.testing.assert_allclose(corpus.quantiles[row, place], right, 1e-4, 1e-5)
    copies = MEASURED.index("echo")
    assert (corpus.count[copies] < len(TEXTS)).all()  # a text without a repeat has no echo


def test_copies_are_those_of_the_worked_example() -> None:
    ids = [1, 2, 3, 4, 2, 3]
    assert np.argwhere(earlier_copies(ids, 0)).tolist() == [[4, 1], [5, 2]]
    assert np.argwhere(earlier_copies(ids, 1)).tolist() == [[4, 2], [5, 3]]
    assert not earlier_copies([7, 1, 7], 0).any()  # the first token is no copy
    assert not earlier_copies([1, 7, 7], 1).any()  # a query is not what followed


def test_a_cancelled_measurement_goes_on_where_it_stopped(
    twins: Models,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded, _ = twins("llama")
    cancel, partial = CancelToken(), tmp_path / "partial.npz"

    def after_three(event: Any) -> None:
        if isinstance(event, Progress) and event.done == 3:
            cancel.cancel()

    with pytest.raises(Cancelled):
        measure(loaded, TEXTS, limit=200, emit=after_three, cancel=cancel, partial=partial)
    read_now = []
    one = measuring._one

    def counted(loaded: Any, text: str, *others: Any) -> Any:
        read_now.append(text)
        return one(loaded, text, *others)

    monkeypatch.setattr(measuring, "_one", counted)
    resumed = measure(loaded, TEXTS, limit=200, partial=partial)
    assert read_now == list(TEXTS[3:])
    assert not partial.exists()
    whole = measure(loaded, TEXTS, limit=200)
    np.testing.assert_array_equal(resumed.mean, whole.mean)
    assert resumed.about == whole.about
    whole.save(tmp_path / "kept")
    again = read(tmp_path / "kept")
    assert again is not None
    assert again.about == whole.about
    for name in ("mean", "deviation", "quantiles", "count", "strongest"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))


def test_what_was_begun_with_other_texts_is_not_gone_on_with(
    twins: Models,
    tmp_path: Path,
) -> None:
    loaded, _ = twins("llama")
    partial = tmp_path / "partial.npz"
    with pytest.raises(ValueError, match="text 2 cannot be read"):
        measure(loaded, (TEXTS[0], "x" * 300), limit=200, partial=partial)
    assert partial.exists()
    found = measure(loaded, TEXTS[1:], limit=200, partial=partial)
    np.testing.assert_array_equal(found.mean, measure(loaded, TEXTS[1:], limit=200).mean)
