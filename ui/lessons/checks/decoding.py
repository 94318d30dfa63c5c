"""Checks on the Decode page: what a model was unsure of while it wrote."""

import numpy as np

from tokenarium.ui.lessons.checks import check
from tokenarium.ui.lessons.seen import Seen, Verdict
from tokenarium.ui.text import one_line


@check
def hesitates_most(seen: Seen) -> Verdict:
    """Say whether the entropy before the chosen token is the highest of its lane."""
    lane = seen.lane
    step = min(seen.chosen.step, len(lane.token_ids) - 1)
    nats, most = float(lane.entropy_nats[step]), float(np.nanmax(lane.entropy_nats))
    token = one_line(lane.token_text[step]).strip()
    said = f"Before “{token}”, step {step + 1} of {lane.title}, the entropy was {nats:.2f} nats"
    if nats >= most:
        return Verdict(True, f"{said}, the highest of this text.")
    return Verdict(False, f"{said}; somewhere in this text it was {most:.2f}.")
