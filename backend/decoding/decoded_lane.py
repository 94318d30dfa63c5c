"""One lane of a decoding run, cut out of the result."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.decoding.drawing import Drawing, drawing_of
from tokenarium.backend.decoding.premise import NO_PREMISE, PREMISE, Premise

if TYPE_CHECKING:
    from tokenarium.backend.decoding.reliability import Reliability
    from tokenarium.backend.decoding.result import DecodeResult


@dataclass(frozen=True)
class DecodedLane:
    """What one strategy wrote; n new tokens, S stages, A alternatives."""

    number: int
    """0 is plain decoding."""
    strategy: str
    """Slug."""
    title: str
    parameters: dict[str, Any]
    text: str
    ended: str
    token_ids: NDArray[np.int32]
    """[n]; -1 where a mixture of embeddings was read."""
    token_text: tuple[str, ...]
    """n pieces."""
    entropy_nats: NDArray[np.float32]
    """[n] of the model's distribution before each token."""
    varentropy_nats2: NDArray[np.float32]
    """[n] likewise."""
    passes: int
    """Forward passes, that over the prompt not counted."""
    token_steps: int
    """Tokens read in them."""
    seconds: float
    tokens: NDArray[Any]
    """[n] rows of ``token_columns``."""
    stages: tuple[str, ...]
    """S names, ``model`` first."""
    top_ids: NDArray[np.int32]
    """[n, A]."""
    top_probs: NDArray[np.float32]
    """[n, S, A]."""
    tokens_left: NDArray[np.int32]
    """[n, S]."""
    stage_entropy_nats: NDArray[np.float32]
    """[n, S]."""
    thresholds: dict[str, float]
    """Entropies at which it acts, in nats."""
    journal: NDArray[Any]
    """Rows of the run's journal; ``reason`` is an index into the run's ``reasons``."""
    branches: NDArray[Any]
    """Rows of ``branch_columns``."""
    written_by_small: NDArray[np.bool_]
    """[n] whether the small model of two wrote it."""
    guessed: NDArray[np.bool_]
    """[n] whether a drafter guessed it, so that what follows it cost no pass of its own."""
    small_passes: int
    """Of the small model, or the drafter's; 0 without one."""
    premise: Premise | None
    """Whether what the strategy builds on holds; None where nothing is asked of the model, and in
    runs of an earlier version."""
    premise_passes: int
    """That measuring it took."""
    drawings: tuple[Drawing, ...]
    """What the strategy drew beside its text."""
    right: bool | None
    """Whether it answers its prompt; None where no answer is known."""
    trials: int
    """How often it was written, by other seeds too; 0 where no answer is known."""
    trials_right: int
    """How many of them answer rightly."""
    trial_rows: NDArray[Any] | None
    """Of each trial, how sure the model was; None in runs of an earlier version."""

    @cached_property
    def reliability(self) -> "Reliability | None":
        """Whether it is right as often as the model is sure; None with too few trials."""
        from tokenarium.backend.decoding.reliability import Reliability

        return None if self.trial_rows is None else Reliability.of(self.trial_rows)

    @property
    def right_interval(self) -> tuple[float, float]:
        """Between which shares of right answers the true one lies, at 95 % (Wilson, 1927)."""
        from tokenarium.backend.judging.counting import wilson

        return wilson(self.trials_right, self.trials)

    @staticmethod
    def of(result: "DecodeResult", lane: int) -> "DecodedLane":
        """Return a lane of a result."""
        tokens = result.token_columns
        own = np.flatnonzero(tokens["lane"] == lane)
        stages = len(result.stages[lane])
        cost = result.lane_columns[lane]
        ids = tokens["token_id"][own]
        writer, small, right = result.writer, result.small_columns, result.right
        ahead, tried, rows = result.read_ahead, result.trial_columns, result.trial_rows
        known, measured = _drawings(result, lane), _premise_row(result, lane)
        premise = _premise(result, lane, known)
        return DecodedLane(
            number=lane,
            strategy=result.strategies[lane],
            title=result.titles[lane],
            parameters=json.loads(result.parameters[lane]),
            text=result.text[lane],
            ended=result.ended[lane],
            token_ids=ids,
            token_text=tuple(result.choice_text.get(str(key), "") for key in ids.tolist()),
            entropy_nats=tokens["entropy_nats"][own],
            varentropy_nats2=tokens["varentropy_nats2"][own],
            passes=int(cost["passes"]),
            token_steps=int(cost["token_steps"]),
            seconds=float(cost["seconds"]),
            tokens=tokens[own],
            stages=result.stages[lane],
            top_ids=result.top_ids[own],
            top_probs=result.top_probs[own, :stages],
            tokens_left=result.tokens_left[own, :stages],
            stage_entropy_nats=result.stage_entropy_nats[own, :stages],
            thresholds={
                name: float(nats)
                for name, own, nats in zip(
                    result.threshold_names,
                    result.threshold_lane,
                    result.threshold_nats,
                    strict=True,
                )
                if own == lane
            },
            journal=result.journal[result.journal["lane"] == lane],
            branches=result.branch_columns[result.branch_columns["lane"] == lane],
            written_by_small=np.zeros(len(own), np.bool_) if writer is None else writer[own] == 1,
            guessed=np.zeros(len(own), np.bool_) if ahead is None else ahead[own] == 1,
            premise=premise,
            premise_passes=0 if premise is None else int(measured["passes"]),
            drawings=tuple(drawing for key, drawing in known.items() if key != measured["drawing"]),
            small_passes=0 if small is None else int(small["passes"][lane]),
            trials=0 if tried is None else int(tried["trials"][lane]),
            trials_right=0 if tried is None else int(tried["right"][lane]),
            trial_rows=None if rows is None else rows[rows["lane"] == lane],
            right=None if right is None or right[lane] < 0 else bool(right[lane]),
        )


def _drawings(result: "DecodeResult", lane: int) -> dict[int, Drawing]:
    """Return a lane's drawings by their numbers."""
    points, words, lanes = result.drawing_points, result.drawing_words, result.drawing_lane
    if points is None or words is None or lanes is None:
        return {}
    numbers = np.flatnonzero(lanes == lane).tolist()
    return {key: drawing_of(words[key], points[points["drawing"] == key]) for key in numbers}


def _premise_row(result: "DecodeResult", lane: int) -> Any:
    if result.premise_columns is None:
        return np.array(NO_PREMISE, PREMISE)
    return result.premise_columns[lane]


def _premise(result: "DecodeResult", lane: int, known: dict[int, Drawing]) -> Premise | None:
    """Return what was found of a lane's premise; None where nothing was asked."""
    if result.premise_words is None or not result.premise_words[lane]:
        return None
    row = _premise_row(result, lane)
    claim, measured = result.premise_words[lane]
    value, bound = float(row["value"]), float(row["bound"])
    return Premise(
        claim, measured, value, bound, bool(row["below"]), known.get(int(row["drawing"]))
    )
