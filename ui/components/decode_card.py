"""What a decoding run will take, and what it showed, in words."""

import numpy as np

from tokenarium.backend import LEAST_TRIALS, DecodeEstimate, DecodeResult
from tokenarium.ui.components.cost_card import card, peak, size
from tokenarium.ui.text import escape, many
from tokenarium.ui.why.number import number, source

LEAST_BASE, MOST_BASE = 0.2, 0.8
"""Shares of right answers of plain decoding between which strategies are told apart by trials."""


def decode_card(cost: DecodeEstimate) -> str:
    """Return passes of every lane and the time, as HTML."""
    facts = [
        (
            lane.title,
            f"at most {many(lane.passes, 'pass', 'passes')}, {lane.token_steps:,} tokens read"
            + (f", the prompt {lane.rereads:,} times anew" if lane.rereads else "")
            + (f", {lane.small_passes:,} of the small model" if lane.small_passes else "")
            + (f"; {lane.premise}" if lane.premise else ""),
        )
        for lane in cost.lanes
    ]
    for small in cost.small:
        weights = f"{size(small.weights_bytes)} of weights" if small.weights_bytes else "no weights"
        facts.append(
            ("Small model", f"{small.title}: {weights} more, under {size(small.work_bytes)} beside")
        )
    if cost.peak_bytes is not None:
        facts.append(("Peak memory", peak(cost.peak_bytes, cost.free_bytes)))
    if cost.total_ms is None:
        facts.append(("Time", "unknown before the first run of this model on this machine"))
    else:
        facts.append(("Time", f"at most about {cost.total_ms / 1e3:.1f} s in all"))
    return card("What Run will take", facts, "")


def decode_sentence(result: DecodeResult) -> str:
    """Return where plain decoding was most unsure, and where the others leave it, as HTML."""
    plain, *others = result.lanes
    known = np.isfinite(plain.entropy_nats)
    if not known.any():
        return ""
    worst = int(np.nanargmax(plain.entropy_nats))
    most = number(f"{plain.entropy_nats[worst]:.2f} nats", source("step_entropy", 0, worst))
    mean = number(f"{plain.entropy_nats[known].mean():.2f}", source("mean_entropy", 0))
    step = number(f"{worst + 1}", source("unsure_step", 0))
    said = [f"<b>{escape(plain.title)}</b> was most unsure at step {step} ({most}, mean {mean})."]
    if result.imported:
        what = "the given tokens' share of each distribution: entropies are lower bounds."
        return f'<p class="tk-sentence">{said[0]} Computed from {what}</p>'
    for lane in others:
        both = min(len(plain.token_ids), len(lane.token_ids))
        apart = np.flatnonzero(plain.token_ids[:both] != lane.token_ids[:both])
        where = "writes the same"
        if len(apart):
            at = number(f"{apart[0] + 1}", source("parting_step", lane.number))
            where = f"leaves it at step {at}"
        passes = number(many(lane.passes, "pass", "passes"), source("lane_passes", lane.number))
        read = number(f"{lane.token_steps:,} tokens", source("lane_steps", lane.number))
        said.append(f"{escape(lane.title)} {where}, for {passes}, {read} read.")
    said += _told_apart(result) + _calibrated(result)
    return f'<p class="tk-sentence">{" ".join(said)}</p>'


def _told_apart(result: DecodeResult) -> list[str]:
    """Return whether trials tell the strategies apart, as sentences."""
    plain, *others = [lane for lane in result.lanes if lane.number == 0 or lane.trials > 1]
    if plain.trials < 2 or not others:
        return []
    base = plain.trials_right / plain.trials
    if not LEAST_BASE <= base <= MOST_BASE:
        return [
            f"Plain decoding is right in {number(f'{base:.0%}', source('right_share', 0))} of its "
            "trials: outside 20 to 80 %, trials tell little about strategies."
        ]
    low, high = plain.right_interval
    apart = [
        lane for lane in others if lane.right_interval[0] > high or lane.right_interval[1] < low
    ]
    names = ", ".join(escape(lane.title) for lane in apart)
    return [
        f"By their trials' intervals {names} {'differs' if len(apart) == 1 else 'differ'} from it."
        if apart
        else "The intervals of right answers overlap with its own: no difference shows."
    ]


def _calibrated(result: DecodeResult) -> list[str]:
    """Return whether the model is right as often as it is sure, where trials tell, as sentences."""
    said = []
    for lane in result.lanes:
        known = lane.reliability
        if known is None:
            continue

        def of(name: str, value: float, *index: int, lane: int = lane.number) -> str:
            return number(f"{value:.2f}", source(name, lane, *index))

        low, high = (of("trial_end", end, place) for place, end in enumerate(known.interval))
        more = known.error > known.null.high
        trials = number(many(known.trials, "trial"), source("trial_count", lane.number))
        said.append(
            f"In {trials} of this prompt {escape(lane.title)} is sure by "
            f"{of('trial_sure', known.mean_confidence)} and right in "
            f"{of('trial_right', known.share_right)}: expected calibration error "
            f"{of('trial_error', known.error)} (95 % interval {low} to {high}), "
            f"{'above' if more else 'not above'} the "
            f"{of('trial_chance', known.null.high)} that a calibrated model would show in so many."
        )
    few = [lane for lane in result.lanes if 1 < lane.trials < LEAST_TRIALS]
    if few:
        most = max(few, key=lambda lane: lane.trials)
        trials = number(many(most.trials, "trial"), source("trials", most.number))
        said.append(
            f"{trials} of a prompt are too few to say whether the model is right "
            f"as often as it is sure: ask for at least {LEAST_TRIALS}."
        )
    return said
