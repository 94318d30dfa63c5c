"""Verdicts in words: what they name, what n they state, and that they are withheld."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from tests.ui.test_sentence import words
from tokenarium.backend import CacheResult, SpeculationResult
from tokenarium.backend.runs.examples import declared, read
from tokenarium.ui.components.cache_verdict import cache_sentence
from tokenarium.ui.components.speculate_tables import audit_badge, speculate_sentence


def shipped(slug: str) -> Any:
    return read(next(example for example in declared() if example.slug == slug)).result


@pytest.fixture(scope="module")
def kept() -> CacheResult:
    found = shipped("what-is-kept")
    assert isinstance(found, CacheResult)
    return found


@pytest.fixture(scope="module")
def guessed() -> SpeculationResult:
    found = shipped("said-before")
    assert isinstance(found, SpeculationResult)
    return found


def test_the_verdict_names_least_and_worst_and_why(kept: CacheResult) -> None:
    said = words(cache_sentence(kept, "some/model"))
    lost, nats = float(np.nanmean(kept.lost_mass[1])), kept.kl_nats.mean(1)
    assert said.startswith("At 37% of the memory H2O and StreamingLLM change the predictions least")
    assert f"({nats[3]:.3f} and {nats[2]:.3f} nats: too close to rank after 48 steps)" in said
    assert f"; Recent only {nats[1] / nats[3]:.0f} times more, because it loses" in said
    assert f"loses {lost:.0%} of the attention, and misses the first token, “The”, most." in said
    assert "n = 48 steps of one prompt, some/model. 95% intervals" in said
    assert "n = 48 steps of one prompt. 95% intervals" in words(cache_sentence(kept))
    assert "SnapKV holds 67% and changes them by" in said


def test_a_verdict_is_withheld_where_all_intervals_overlap(kept: CacheResult) -> None:
    same = dataclasses.replace(kept, kl_nats=np.tile(kept.kl_nats[3], (5, 1)))
    said = words(cache_sentence(same))
    assert "it cannot be said which policy changes the predictions least: the intervals of" in said
    assert "overlap" in said
    assert "times more" not in said


def test_without_a_full_cache_the_size_stands_for_its_share(kept: CacheResult) -> None:
    labels = ("evict", *kept.labels[1:])
    bytes_ = kept.cache_bytes.copy()
    bytes_[0] *= 9
    said = words(cache_sentence(dataclasses.replace(kept, labels=labels, cache_bytes=bytes_)))
    assert said.startswith("With a cache of 2.50 MiB H2O and StreamingLLM change")


def test_guessing_ahead_pays_or_does_not(guessed: SpeculationResult) -> None:
    said = words(speculate_sentence(guessed, "some/model"))
    assert " of the large model, some/model, " in said
    rounds = guessed.rounds
    each = (rounds["draft_ms"] + rounds["verify_ms"] + rounds["other_ms"]).sum() / 96
    times = f"{guessed.plain_step_ms.mean() / each:.2f} times"
    assert said.startswith(f"Guessing ahead pays here: on this machine the text came {times}")
    assert "n = 20 rounds and 96 plain steps; 95% intervals" in said
    slow = dataclasses.replace(guessed, plain_step_ms=guessed.plain_step_ms / 10)
    assert words(speculate_sentence(slow)).startswith("Guessing ahead does not pay here")


def test_a_speed_up_is_withheld_where_times_overlap(guessed: SpeculationResult) -> None:
    rounds = guessed.rounds
    each = (rounds["draft_ms"] + rounds["verify_ms"] + rounds["other_ms"]).sum() / 96
    plain = dataclasses.replace(guessed, plain_step_ms=np.full(96, each, np.float32))
    said = words(speculate_sentence(plain))
    assert said.startswith("Whether guessing ahead pays here cannot be said")
    assert "faster" not in said
    assert "slower" not in said


def test_few_rounds_are_no_verdict(guessed: SpeculationResult) -> None:
    few = dataclasses.replace(guessed, plain_step_ms=guessed.plain_step_ms[:15])
    assert "it cannot be said whether guessing ahead pays" in words(speculate_sentence(few))


def test_a_stored_audit_is_shown_in_the_words_of_the_page(guessed: SpeculationResult) -> None:
    assert {"draft law", "target law"} <= {one["name"] for one in guessed.audit["checks"]}
    said = words(audit_badge(guessed.audit))
    assert "draft distribution" in said
    assert "law" not in said.split()
