"""Sentences and the card state numbers of the run, or say that there are none."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from tests.ui.hand_made import HEADS, trace, unfinished
from tokenarium.backend import ModelInfo, Run, TraceRequest, TraceResult
from tokenarium.ui.components.sentence import facts_of, pill, sentence, status
from tokenarium.ui.components.token_card import token_card
from tokenarium.ui.figures.heads import METRICS, head_values, metrics_of
from tokenarium.ui.shell.selection import Chosen, Selection
from tokenarium.ui.why.number import unmarked

HOSTILE = "<script>${alert(1)}{{x}}`"


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", unmarked(html)).split())


def seen(card: str) -> str:
    """Return the words of a card while its definitions are folded."""
    return words(re.sub(r"</summary>.*?</details>", " ", card, flags=re.DOTALL))


def attended(length: int, share: float, to: int = 0) -> np.ndarray:
    """Return received attention of which one token has ``share`` and the others the rest alike."""
    sums = np.full(length, (1 - share) * length / (length - 1))
    sums[to] = share * length
    received = sums / np.arange(length, 0, -1)
    return np.tile(received.astype(np.float32), (2, HEADS, 1))


def test_below_64_tokens_only_the_most_attended_token_is_stated() -> None:
    said = words(sentence(trace(63, received_mass=attended(63, 0.4)), "m"))
    assert said.startswith(
        "40% of all attention goes to the first token, “&lt;|bos|&gt;” ; whether it is an "
        "attention sink can be said from 64 tokens on."
    )


def test_sinks_are_counted_from_64_tokens_on() -> None:
    scores = np.float32([[0.31, 0.3, 0.1, 0.9], [0.29, 0.0, 0.5, 0.3]])
    said = words(sentence(trace(64, sink_score=scores, received_mass=attended(64, 0.4)), "m"))
    assert said.startswith(
        "40% of all attention goes to the first token, “&lt;|bos|&gt;” : 3 of 8 heads give over "
        "30% of theirs. Such a token is called an attention sink ."
    )


def test_another_token_may_be_the_most_attended() -> None:
    scores = np.float32([[0.31, 0.3, 0.1, 0.9], [0.29, 0.0, 0.5, 0.3]])
    result = trace(64, sink_score=scores, received_mass=attended(64, 0.25, to=7))
    said = words(sentence(result, "m"))
    assert "25% of all attention goes to token 7, “w7” : 3 of 8 heads give the first token" in said


def test_heads_that_layers_do_not_have_are_not_counted() -> None:
    scores = np.full((2, HEADS), np.nan, np.float32)
    scores[0] = 0.9
    said = words(sentence(trace(64, sink_score=scores, received_mass=attended(64, 0.4)), "m"))
    assert f"{HEADS} of {HEADS} heads" in said


def test_a_run_without_sinks_says_so() -> None:
    said = words(sentence(trace(64, sink_score=np.zeros((2, HEADS), np.float32)), "m"))
    assert (
        "there is no attention sink: 0 of 8 heads give over 30% of theirs to the first token"
        in said
    )


def test_what_happens_beyond_the_trained_context_is_said() -> None:
    surprisal = np.concatenate([np.full(60, 2.0), np.full(20, 5.0)]).astype(np.float32)
    surprisal[0] = np.nan
    said = words(sentence(trace(80, surprisal_nats=surprisal, context=60), "m"))
    assert "trained on 60 tokens at most: the mean surprisal is 2.00 nats" in said
    assert "5.00 beyond" in said
    assert "trained on" not in words(sentence(trace(80, surprisal_nats=surprisal), "m"))


def test_the_most_surprising_token_is_named() -> None:
    surprisal = np.float32([np.nan, 1, 7.25, 3, 2])
    said = words(sentence(trace(5, surprisal_nats=surprisal), "m"))
    assert "“w2” (7.2 nats)" in said


def test_one_token_has_no_most_surprising() -> None:
    assert "surprising" not in sentence(trace(1), "m")


def test_a_partial_run_says_how_far_it_came() -> None:
    said = words(sentence(unfinished(80), "m", partial=True))
    assert said.startswith("partial 0 of 2 layers measured, 80 tokens")
    assert "sink" not in said


def test_notes_and_names_are_text() -> None:
    said = sentence(trace(5, notes=(HOSTILE,)), HOSTILE)
    assert "<script" not in said
    assert "${" not in said
    assert "{{" not in said


def test_status_announces_errors_only() -> None:
    assert 'role="alert"' in status("bad", "error")
    assert 'role="status"' in status("busy", "busy")
    assert 'value="0.250"' in status("busy", "busy", 0.25)
    assert "<script" not in status(HOSTILE)


def test_pill_shows_the_reason_of_a_refusal() -> None:
    info = ModelInfo("m", "Title", "refused", None, None, None, None, None, 'no "room"')
    shown = pill(info)
    assert "Title: refused" in words(shown)
    assert 'title="no &quot;room&quot;"' in shown


def test_facts_say_how_the_run_was_made(small: TraceResult) -> None:
    run = Run(
        "r7",
        TraceRequest(model="m", text="t"),
        small,
        datetime.now(UTC),
        12.4,
        {"device": "cpu", "dtype": "float32", "commit": "abc", "threads": 2},
        cached=True,
    )
    assert words(facts_of(run)) == (
        "run r7 · computed in 12 ms (from the store) · device cpu · dtype float32 · commit abc"
    )


def test_card_shows_the_chosen_tokens_numbers(small: TraceResult) -> None:
    said = seen(token_card(small, Selection("r", 3, layer=1, head=2).within(small)))
    assert "token 3 of 5 · id 103 · characters 6 to 9" in said
    assert "surprisal 3.5 nats (p = 3.02%)" in said
    assert "rank 2" in said
    assert "entropy after it 13 nats" in said
    assert f"key norm {small.key_norm[1, 1, 3]:.4g}" in said
    assert f"received attention {small.received_mass[1, 2, 3]:.4g}" in said
    assert f"received attention, all heads {small.received_mass[:, :, 3].mean():.4g}" in said


def test_card_lists_what_was_expected_here_and_next(small: TraceResult) -> None:
    card = token_card(small, Selection("r", 3).within(small))
    here, following = card.split("Expected here")[1].split("Expected next")
    assert "t2k0" in here
    assert "t3k0" in following
    assert here.count("tk-hit") == 1
    assert "▸" not in following
    assert "50.0 %" in here


def test_card_of_the_first_token_expects_nothing_before_it(small: TraceResult) -> None:
    card = token_card(small, Selection("r", 0).within(small))
    assert "Expected here" not in card
    assert "surprisal n/a" in seen(card)
    assert "added, not typed" in card


def test_card_of_an_unfinished_run_has_no_number() -> None:
    result = unfinished(5)
    said = words(token_card(result, Selection(None, 3).within(result)))
    assert "nan" not in said
    assert said.count("n/a") == 11


def test_card_shows_hostile_tokens_as_text() -> None:
    result = trace(5, token_text=(HOSTILE,) * 5, top_text=((HOSTILE,) * 3,) * 5)
    card = token_card(result, Selection("r", 3).within(result))
    assert "<script" not in card
    assert not set(card) & set("${}`")


def test_attention_to_a_learned_sink_is_said_where_the_model_has_one() -> None:
    plain = trace(70)
    assert "learned sink" not in sentence(plain, "m")
    mass = np.full_like(plain.first_mass, 0.995)
    sunk = replace(plain, learned_sink_mass=mass)
    assert "<b>99.5%</b> of all attention goes to the learned sink" in unmarked(sentence(sunk, "m"))
    assert "to the learned sink" not in token_card(plain, Chosen(token=3))
    assert "to the learned sink" in token_card(sunk, Chosen(token=3))
    assert "learned_sink" not in metrics_of(plain)
    assert head_values(sunk, "learned_sink") == pytest.approx(mass.mean(-1))
    assert list(metrics_of(sunk)) == list(METRICS)
