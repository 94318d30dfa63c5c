"""From what lanes wrote down to the arrays of a result."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.decoding.drawing import Drawing, points_of
from tokenarium.backend.decoding.journal import BRANCH, TOKEN
from tokenarium.backend.decoding.lane import Lane
from tokenarium.backend.decoding.next_token import ALTERNATIVES
from tokenarium.backend.decoding.premise import NO_PREMISE, PREMISE, Premise

LANE: Final = np.dtype(
    [
        ("tokens", np.int32),
        ("passes", np.int32),
        ("token_steps", np.int32),
        ("seconds", np.float32),
    ]
)
"""Columns of a lane."""
SMALL: Final = np.dtype([("passes", np.int32), ("token_steps", np.int32), ("seconds", np.float32)])
"""What a lane spent with the small model."""

TRIALS: Final = np.dtype([("trials", np.int32), ("right", np.int32)])
"""How often a lane was written, and how many answer rightly."""


def arrays(lanes: Sequence[Lane], premises: Sequence[tuple[Premise | None, int]]) -> dict[str, Any]:
    """Return the quantities that are made of the lanes' own records, by name.

    Args:
        lanes: as far as they were written.
        premises: of each lane, and the passes that measuring it took.
    """
    reasons: dict[str, int] = {}
    journals = [lane.journal.array(number, reasons) for number, lane in enumerate(lanes)]
    widest = max((len(lane.pipeline.names) for lane in lanes), default=1)
    lines = [(row, *line) for row, lane in enumerate(lanes) for line in lane.lines.items()]
    count = sum(len(lane.records) for lane in lanes)
    found: dict[str, Any] = {
        "token_columns": np.concatenate([_tokens(lane, row) for row, lane in enumerate(lanes)]),
        "branch_columns": np.concatenate([_branches(lane, row) for row, lane in enumerate(lanes)]),
        "journal": np.concatenate(journals),
        "reasons": tuple(reasons),
        "writer": np.array([made.small for lane in lanes for made in lane.records], np.int8),
        "read_ahead": np.array(
            [place in lane.stepper.guessed for lane in lanes for place in range(len(lane.records))],
            np.int8,
        ),
        "small_columns": np.array([lane.small_spent for lane in lanes], SMALL),
        "stages": tuple(lane.pipeline.names for lane in lanes),
        "threshold_names": tuple(name for _, name, _ in lines),
        "threshold_lane": np.array([row for row, _, _ in lines], np.int32),
        "threshold_nats": np.array([nats for _, _, nats in lines], np.float32),
        "top_ids": np.full((count, ALTERNATIVES), -1, np.int32),
        "top_probs": np.full((count, widest, ALTERNATIVES), np.nan, np.float32),
        "tokens_left": np.full((count, widest), -1, np.int32),
        "stage_entropy_nats": np.full((count, widest), np.nan, np.float32),
    }
    found.update(_drawn(lanes, premises))
    records = [made for lane in lanes for made in lane.records]
    for row, made in enumerate(records):
        own = len(made.left)
        found["top_ids"][row] = made.top_ids
        found["top_probs"][row, :own] = made.top_probs
        found["tokens_left"][row, :own] = made.left
        found["stage_entropy_nats"][row, :own] = made.stage_entropy_nats
    return found


def _tokens(lane: Lane, number: int) -> NDArray[np.void]:
    found = np.zeros(len(lane.records), TOKEN)
    found["lane"] = number
    for name in (
        *("probability", "final_probability", "rank"),
        *("entropy_nats", "varentropy_nats2"),
    ):
        found[name] = [getattr(made, name) for made in lane.records]
    found["token_id"] = [made.token for made in lane.records]
    for place, name in enumerate(("branch", "passes", "token_steps", "seconds")):
        found[name] = [spent[place] for spent in lane.spent]
    return found


def _branches(lane: Lane, number: int) -> NDArray[np.void]:
    found = np.zeros(len(lane.branches), BRANCH)
    found["lane"] = number
    for row, branch in zip(found, lane.branches, strict=True):
        row["branch"], row["parent"], row["start"] = branch.number, branch.parent, branch.start
        row["tokens"], row["kept"] = len(branch.records) - branch.own, branch.kept
        row["log_prob"] = sum(branch.log_probs[branch.own :])
        row["score"] = branch.score
    return found


def nothing_drawn(lanes: int) -> dict[str, Any]:
    """Return premises and drawings of lanes that have none, by name."""
    return {
        "premise_columns": np.array([NO_PREMISE] * lanes, PREMISE),
        "premise_words": ((),) * lanes,
        "drawing_words": (),
        "drawing_lane": np.zeros(0, np.int32),
        "drawing_points": points_of([]),
    }


def _drawn(lanes: Sequence[Lane], premises: Sequence[tuple[Premise | None, int]]) -> dict[str, Any]:
    """Return premises, and all that is drawn beside the texts."""
    columns = np.array([NO_PREMISE] * len(lanes), PREMISE)
    drawings: list[tuple[int, Drawing]] = []
    words: list[tuple[str, ...]] = []
    for number, (lane, (premise, passes)) in enumerate(zip(lanes, premises, strict=True)):
        words.append(() if premise is None else (premise.claim, premise.measured))
        if premise is not None:
            holds = -1 if premise.holds is None else int(premise.holds)
            place = -1 if premise.drawing is None else len(drawings)
            columns[number] = premise.value, premise.bound, premise.below, holds, passes, place
            drawings += [] if premise.drawing is None else [(number, premise.drawing)]
        drawings += [(number, drawing) for drawing in lane.drawings]
    return {
        "premise_columns": columns,
        "premise_words": tuple(words),
        "drawing_words": tuple(drawing.words for _, drawing in drawings),
        "drawing_lane": np.array([number for number, _ in drawings], np.int32),
        "drawing_points": points_of([drawing for _, drawing in drawings]),
    }
