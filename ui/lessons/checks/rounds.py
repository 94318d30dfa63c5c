"""The chosen round, or the chosen guess in it, has a property."""

from tokenarium.ui.lessons.checks import check
from tokenarium.ui.lessons.seen import Seen, Verdict
from tokenarium.ui.text import one_line

WORDS = {
    "accepted": "a guess that stayed",
    "rejected": "a guess that was tested and failed",
    "not_reached": "a guess that was not tested, because one before it failed",
    "residual_resample": "the large model's own token, in place of a guess that failed",
    "bonus": "the large model's own token, after guesses that all stayed",
    "root": "the newest token of the text when the round began",
}


@check
def round_accepts(seen: Seen, least: float) -> Verdict:
    """Say whether at least so many guesses of the chosen round stayed."""
    place, row = _round(seen)
    kept, drafted = int(row["accepted_len"]), int(row["drafted"])
    said = f"In round {place + 1}, {kept} of {drafted} guesses stayed"
    if kept >= least:
        return Verdict(True, f"{said}.")
    return Verdict(False, f"{said}; look for a round with at least {least:.0f}.")


@check
def guess_is(seen: Seen, status: str) -> Verdict:
    """Say whether the chosen token of the tree has a fate, such as ``rejected``."""
    place, _ = _round(seen)
    if seen.node is None:
        return Verdict(False, f"Press a token of the tree: look for {WORDS[status]}.")
    nodes = seen.speculation.nodes
    of_round = nodes[nodes["round"] == place]
    node = of_round[min(seen.node, len(of_round) - 1)]
    fate = str(node["status"])
    said = f"“{one_line(str(node['text'])).strip()}” is {WORDS.get(fate, fate)}"
    if fate == status:
        return Verdict(True, f"{said}.")
    return Verdict(False, f"{said}; look for {WORDS[status]}.")


def _round(seen: Seen) -> tuple[int, dict[str, int]]:
    rounds = seen.speculation.rounds
    place = min(seen.round, len(rounds) - 1)
    return place, {name: int(rounds[place][name]) for name in ("accepted_len", "drafted")}
