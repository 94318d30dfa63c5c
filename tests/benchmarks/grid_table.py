"""What a grid has measured, as the page docs/benchmarks/grid.md."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.attribution.sampled import student
from tokenarium.backend.benchmark.task import Task
from tokenarium.backend.cache.policy import Policy

PAGE = Path("docs/benchmarks/grid.md")
BASE = "random"
"""The policy that all others are compared with."""
_HEAD = """# Every policy, every budget, every task

Made by `make grid`; nothing here is written by hand. {heading}.

{tasks} tasks with {exercises} exercises of {length} prompt tokens each, the same for every policy;
asked in the turns of the chat template where the model has one, and entries are dropped before the
last token of the question is read. Parameters are the defaults. Divergence from the full cache in
nats, mean over the tokens of an answer; means over all exercises with 95 % intervals (Student's t
over the {n} exercises, which are few: read no small gaps); those of one task are too few for one.
*Against random* is the mean of the differences from `{base}` on the same exercises: an interval
without 0 is told apart from chance.
*Attention recall* is the full model's attention to what was kept and read where the answer's tokens
are predicted, mean over layers and heads; what became a part of another entry counts as lost.
*Bytes* are what the cache held, of the full cache's. {unfinished}
"""


@dataclass(frozen=True)
class Measured:
    """One exercise under one policy; NaN where it was refused."""

    kl_nats: float = float("nan")
    right_tokens: float = float("nan")
    cache_bytes: float = float("nan")
    recall: float = float("nan")
    """Of the full model's attention, at the tokens from which the answer is predicted."""
    refused: str = ""


@dataclass(frozen=True)
class Grid:
    """All that is known."""

    tasks: tuple[str, ...]
    budgets: tuple[float, ...]
    length: int
    heading: str
    found: Mapping[tuple[str, str, float, int], Measured] = field(default_factory=dict)
    """By task, policy, budget and number of the exercise."""

    def of(self, policy: str, budget: float) -> dict[tuple[str, int], Measured]:
        """Return what a policy came to at a budget, by task and number; refused ones left out."""
        own = budget
        if Policy.registry.find(policy)().keeps_all:
            own = 1.0
        return {
            (task, trial): one
            for (task, slug, ratio, trial), one in self.found.items()
            if (slug, ratio) == (policy, own) and task in self.tasks and not one.refused
        }

    def of_all(self) -> "Grid":
        """Return the same with those exercises only that every policy has met at every budget."""
        met: dict[tuple[str, int], set[tuple[str, float]]] = {}
        for task, slug, ratio, trial in self.found:
            met.setdefault((task, trial), set()).add((slug, ratio))
        every = set().union(*met.values())
        known = {key: own for key, own in self.found.items() if met[key[0], key[3]] == every}
        return replace(self, found=known)

    def refused(self, policy: str, budget: float) -> str:
        """Return why a policy cannot work at a budget; empty where it can."""
        reasons = [
            one.refused
            for (_, slug, ratio, _), one in self.found.items()
            if (slug, ratio) == (policy, budget)
        ]
        return next(filter(None, reasons), "")


def write(grid: Grid, page: Path = PAGE) -> None:
    """Write the page, of the exercises that every policy has met."""
    shown = grid.of_all()
    full = shown.of("full", 1.0)
    each = sorted({sum(task == own for own, _ in full) for task in grid.tasks})
    unfinished = "" if shown.found == grid.found else "It is not finished yet."
    head = _HEAD.format(
        heading=grid.heading,
        tasks=len(grid.tasks),
        exercises=" to ".join(map(str, dict.fromkeys((each[0], each[-1])))),
        length=grid.length,
        n=len(full),
        base=BASE,
        unfinished=unfinished,
    )
    lines = [head.rstrip()]
    for budget in grid.budgets:
        lines += ["", f"## {budget:.0%} of the prompt", "", *_table(shown, budget)]
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _table(grid: Grid, budget: float) -> list[str]:
    """Return the lines of one budget, the least divergence first."""
    titles = [Task.registry.find(task).title for task in grid.tasks]
    columns = ["policy", "what it does", "bytes", "divergence", "against random", "right tokens"]
    columns += [f"divergence: {title.lower()}" for title in titles]
    columns += ["attention recall"]
    slugs = list(dict.fromkeys(slug for _, slug, _, _ in grid.found))
    rows, refused = [], []
    for slug in slugs:
        own = grid.of(slug, budget)
        if own:
            rows.append((float(np.mean([one.kl_nats for one in own.values()])), slug))
        elif why := grid.refused(slug, budget):
            refused.append(f"- {Policy.registry.find(slug).title}: {why}")
    lines = [_row(*columns), "|" + "---|" * len(columns)]
    lines += [_line(grid, slug, budget) for _, slug in sorted(rows)]
    return [*lines, "", "Refused:", "", *refused] if refused else lines


def _line(grid: Grid, slug: str, budget: float) -> str:
    policy = Policy.registry.find(slug)
    own, full, base = grid.of(slug, budget), grid.of("full", 1.0), grid.of(BASE, budget)
    shares = [one.cache_bytes / full[key].cache_bytes for key, one in own.items() if key in full]
    both = [one.kl_nats - base[key].kl_nats for key, one in own.items() if key in base]
    right = [one.right_tokens for one in own.values()]
    recall = [one.recall for one in own.values() if np.isfinite(one.recall)]
    by_task = [[one.kl_nats for (at, _), one in own.items() if at == task] for task in grid.tasks]
    return _row(
        policy.title,
        policy.label,
        f"{np.mean(shares):.0%}" if shares else "-",
        _mean([one.kl_nats for one in own.values()]),
        "-" if slug == BASE or not both else _mean(both, sign=True),
        f"{np.mean(right):.2f}",
        *(f"{np.mean(values):.2f}" if values else "-" for values in by_task),
        f"{np.mean(recall):.1%}" if recall else "-",
    )


def _mean(values: list[float], *, sign: bool = False) -> str:
    """Return a mean with half its interval, as text; of one value alone there is none."""
    if not values:
        return "-"
    known: NDArray[np.float64] = np.asarray(values, np.float64)
    shown = f"{known.mean():+.2f}" if sign else f"{known.mean():.2f}"
    if len(known) < 2:
        return shown
    half = student(len(known) - 1) * known.std(ddof=1) / len(known) ** 0.5
    return f"{shown} ± {half:.2f}"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
