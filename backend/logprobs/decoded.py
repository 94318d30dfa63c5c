"""A response with log probabilities as the result of a decoding run, as far as it says."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tokenarium.backend.decoding.arrays import LANE, SMALL, TRIALS, nothing_drawn
from tokenarium.backend.decoding.journal import ACTIONS, BRANCH, JOURNAL, TOKEN
from tokenarium.backend.decoding.next_token import ALTERNATIVES
from tokenarium.backend.decoding.reliability import TRIAL
from tokenarium.backend.decoding.result import DecodeResult
from tokenarium.backend.logprobs.response import GivenText, GivenToken
from tokenarium.backend.runs.read_text import without_turns

SLUG, TITLE = "imported", "As another server wrote it"
ENTROPY_NOTE = (
    "entropies are lower bounds: what lies outside of the given likeliest tokens counts as one "
    "token; NaN where none are given"
)
ID_NOTE = "a response names tokens by their text: ids are numbers of this run alone"
COST_NOTE = "passes and time are not reported: -1 and NaN"


def as_decoded(texts: Sequence[GivenText]) -> DecodeResult:
    """Return the texts of a response as lanes of a decoding run; no model is needed.

    Entropy and varentropy are of the given likeliest tokens and one that stands for all others.
    """
    numbers: dict[str, int] = {}
    for text in texts:
        for token in text.tokens:
            for name in (token.text, *(name for name, _ in token.top)):
                numbers.setdefault(name, len(numbers))
    flat = [(lane, place, t) for lane, x in enumerate(texts) for place, t in enumerate(x.tokens)]
    count, nan = len(flat), float("nan")
    tokens, journal = np.zeros(count, TOKEN), np.zeros(count, JOURNAL)
    top_ids = np.full((count, ALTERNATIVES), -1, np.int32)
    top_probs = np.full((count, 1, ALTERNATIVES), np.nan, np.float32)
    for row, (lane, place, token) in enumerate(flat):
        probs = np.exp([log for _, log in token.top[:ALTERNATIVES]])
        top_ids[row, : len(probs)] = [numbers[name] for name, _ in token.top[:ALTERNATIVES]]
        top_probs[row, 0, : len(probs)] = probs
        entropy, varentropy = bounds(token)
        known: dict[str, Any] = {
            "lane": lane,
            "probability": np.exp(token.log_prob),
            "rank": rank(token),
            "entropy_nats": entropy,
            "varentropy_nats2": varentropy,
        }
        own = {"token_id": numbers[token.text], "final_probability": nan, "seconds": nan}
        _fill(tokens, row, known | own | {"passes": -1, "token_steps": -1})
        step = {"token": numbers[token.text], "action": ACTIONS.index("take"), "step": place}
        blank = {"parent": -1, "score": nan, "reason": -1}
        after = bounds(texts[lane].tokens[place + 1]) if place + 1 < _size(texts[lane]) else None
        later = after or (nan, nan)
        entropies = {"entropy_after_nats": later[0], "varentropy_after_nats2": later[1]}
        _fill(journal, row, known | step | blank | entropies)
    lanes = np.zeros(len(texts), LANE)
    lanes["tokens"] = [_size(text) for text in texts]
    lanes["passes"] = lanes["token_steps"] = -1
    lanes["seconds"] = nan
    prompt = next((text.prompt for text in texts if text.prompt), "")
    return DecodeResult(
        strategies=(SLUG,) * len(texts),
        titles=(TITLE,) * len(texts),
        parameters=("{}",) * len(texts),
        prompt_ids=np.zeros(0, np.int32),
        prompt_text=(),
        prompt=prompt,
        **without_turns(0),
        text=tuple(text.text for text in texts),
        ended=tuple(text.ended for text in texts),
        token_columns=tokens,
        stages=(("model",),) * len(texts),
        top_ids=top_ids,
        top_probs=top_probs,
        tokens_left=np.full((count, 1), -1, np.int32),
        stage_entropy_nats=tokens["entropy_nats"][:, None].copy(),
        journal=journal,
        reasons=(),
        branch_columns=np.zeros(0, BRANCH),
        choice_text={str(number): name for name, number in numbers.items()},
        lane_columns=lanes,
        prefill_ms=nan,
        writer=np.zeros(count, np.int8),
        read_ahead=np.zeros(count, np.int8),
        small_columns=np.zeros(len(texts), SMALL),
        right=np.full(len(texts), -1, np.int8),
        trial_columns=np.zeros(len(texts), TRIALS),
        trial_rows=np.zeros(0, TRIAL),
        **nothing_drawn(len(texts)),
        notes=(ID_NOTE, ENTROPY_NOTE, COST_NOTE),
        **_no_thresholds(),
    )


def rank(token: GivenToken) -> int:
    """Return how many tokens are likelier, as far as given; -1 where that is not known."""
    likelier = sum(log > token.log_prob for _, log in token.top)
    named = any(name == token.text for name, _ in token.top)
    return likelier if named else -1


def bounds(token: GivenToken) -> tuple[float, float]:
    """Return entropy and varentropy of the given tokens and one for all others; NaN without any.

    To lump tokens together never raises the entropy: it is a lower bound.
    """
    if not token.top:
        return float("nan"), float("nan")
    known = dict(token.top)
    known.setdefault(token.text, token.log_prob)
    probs = np.exp(list(known.values()))
    rest = max(0.0, 1 - float(probs.sum()))
    probs = np.append(probs, rest)
    probs = probs[probs > 0] / probs.sum()
    surprisal = -np.log(probs)
    entropy = float((probs * surprisal).sum())
    return entropy, float((probs * (surprisal - entropy) ** 2).sum())


def _size(text: GivenText) -> int:
    return len(text.tokens)


def _fill(rows: "np.ndarray[Any, Any]", row: int, values: dict[str, Any]) -> None:
    for name, value in values.items():
        rows[name][row] = value


def _no_thresholds() -> dict[str, Any]:
    return {
        "threshold_names": (),
        "threshold_lane": np.zeros(0, np.int32),
        "threshold_nats": np.zeros(0, np.float32),
    }
