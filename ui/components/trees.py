"""A tree of guesses as the browser draws it: one round, every node with its numbers."""

from math import isfinite
from typing import Any

import numpy as np

from tokenarium.backend import REASONS, STATUSES, SpeculationResult, replay_round, tree_rows
from tokenarium.ui.components.table import Number, Numbers
from tokenarium.ui.text import one_line
from tokenarium.ui.why.number import source

FATES: dict[str, tuple[str, str]] = {
    "root": ("■", "newest token"),
    "accepted": ("✓", "accepted"),
    "rejected": ("✕", "rejected"),
    "sibling_skipped": ("/", "sibling taken"),
    "not_reached": ("·", "not reached"),
    "pruned_before_verify": ("○", "not verified"),
    "cut": ("✓", "accepted, cut"),
    "bonus": ("★", "bonus"),
    "residual_resample": ("↻", "replacement"),
}
"""Sign and short name of every status, which differ without colour too."""
_SHOWN = (
    "q_raw",
    "p_raw",
    "q_used",
    "p_used",
    "accept_prob",
    "u",
    "p_reach",
    "p_accept_path",
    "est_value",
    "target_entropy",
    "draft_entropy",
    "kl_nats",
    "tv_overlap",
)
_DIGITS = 5


def tree_value(result: SpeculationResult, number: int, titles: dict[str, str]) -> dict[str, Any]:
    """Return one round's tree.

    Args:
        result: of a run, finished or not.
        number: of the round.
        titles: of rules, by slug.
    """
    rows = tree_rows(result, number)
    first, count = rows.start, len(rows) + 1
    nodes = [_node(result, place, first) for place in range(first, first + count)]
    return {
        "round": number,
        "first": first,
        "nodes": nodes,
        "others": [
            found for rule in result.rules if (found := _other(result, rule, number, titles))
        ],
    }


def _node(result: SpeculationResult, place: int, first: int) -> dict[str, Any]:
    row = result.node_columns[place]
    status = STATUSES[row["status"]]
    parent = int(row["parent"])
    return {
        "parent": parent - first if parent >= 0 else -1,
        "depth": int(row["depth"]),
        "rank": int(row["sibling_rank"]),
        "order": int(row["draw_order"]),
        "text": _text(result, row["token_id"]),
        "status": status,
        "source": result.sources[row["source"]],
        "choice": int(row["target_rank"]),
        "why": _why(result, place).sent,
        **{name: _number(row[name]) for name in _SHOWN},
        "target": _tops(result, "target", place),
        "draft": _tops(result, "draft", place),
        **_second_reading(result, place),
    }


def _second_reading(result: SpeculationResult, place: int) -> dict[str, Any]:
    """Return what the target said when it read the draft again; nothing where it did not."""
    if result.second_prob is None or result.second_overlap is None:
        return {}
    if np.isnan(result.second_overlap).all():  # the rule reads nothing twice
        return {}
    return {
        "again": _number(result.second_prob[place]),
        "again_overlap": _number(result.second_overlap[place]),
        "second": _tops(result, "second", place),
    }


def _tops(result: SpeculationResult, whose: str, place: int) -> list[list[Any]]:
    ids, shares = (getattr(result, f"{whose}_top{end}")[place] for end in ("_ids", ""))
    return [
        [_text(result, key), _number(share)]
        for key, share in zip(ids.tolist(), shares, strict=True)
        if key >= 0
    ]


def _why(result: SpeculationResult, place: int) -> Numbers:
    """Return one sentence on what became of a node, with the numbers that decided."""
    row = result.node_columns[place]
    status = STATUSES[row["status"]]
    if status in ("bonus", "residual_resample"):
        return Numbers((_why_it_follows(result, place, status),))
    if status not in ("accepted", "rejected"):
        return Numbers((f"{REASONS[status].capitalize()}.",))
    accept, drawn = float(row["accept_prob"]), float(row["u"])
    if not result.processors["temperature"]:
        rank = Number(f"{int(row['target_rank']) + 1}", source("node_choice", place))
        here = result.node_columns["target_argmax"][row["parent"]]
        best = f"“{_text(result, here)}”"
        if status == "accepted":
            return Numbers(("It is the large model's first choice here.",))
        said = f"The large model's first choice here is {best}; this guess is its choice "
        return Numbers((said, rank, "."))
    if accept in (0.0, 1.0):
        return Numbers((f"The rule {'always' if accept else 'never'} takes it here.",))
    below = drawn < accept
    chance = Number(f"{accept:.3g}", source("node_accept", place))
    told = ("Its chance to be accepted was ", chance, "; the ")
    if below == (status == "accepted"):
        number = Number(f"{drawn:.3g}", source("node_u", place))
        end = f", is {'below' if below else 'not below'}."
        return Numbers((*told, "number drawn, ", number, end))
    which = "this one" if status == "accepted" else "another"
    return Numbers((*told, f"token that was drawn from the large model is {which}."))


def _why_it_follows(result: SpeculationResult, place: int, status: str) -> str:
    round_ = result.rounds[int(result.node_columns["round"][place])]
    if not round_["verified"]:
        return "Nothing was guessed: the large model says this one token, as without drafts."
    if status == "bonus":
        return "All guesses on the path were accepted: the same pass gives one token more."
    if not result.processors["temperature"]:
        return "No guess was the large model's first choice; this is."
    return "Every guess failed; this was drawn from the residual of the large model's distribution."


def _other(
    result: SpeculationResult, rule: str, number: int, titles: dict[str, str]
) -> dict[str, Any] | None:
    found = replay_round(result, rule, number)
    if found is None:
        return None
    nodes = result.node_columns[tree_rows(result, number).start :]
    said = [_text(result, nodes["token_id"][node]) for node in found.path]
    return {
        "rule": rule,
        "number": result.rules.index(rule),
        "title": titles.get(rule, rule),
        "own": rule == result.rule,
        "fates": list(found.outcomes),
        "end": found.path[-1] if found.path else 0,
        "ending": found.ending,
        "said": [*said, _text(result, found.token)],
    }


def _text(result: SpeculationResult, key: object) -> str:
    return one_line(result.choice_text.get(str(key), "?"))


def _number(value: object) -> float | None:
    number = float(value)  # type: ignore[arg-type]
    return float(f"{number:.{_DIGITS}g}") if isfinite(number) else None
