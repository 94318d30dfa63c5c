"""``make grid``: every policy at every budget on every task, and docs/benchmarks/grid.md of it.

What was measured is kept in ``build/grid.jsonl``, an exercise a line, so that a run that was
interrupted goes on. Rounds come one after another: after the first, every policy has met one
exercise of every task, and each later round makes intervals narrower. The table is written anew
after each. ``--again SLUG ...`` measures some policies anew, ``--again all`` everything. With
``--engine ray`` cells are measured by Ray's workers.
"""

import argparse
import json
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from transformers.utils import logging

from tests.benchmarks.grid_table import Grid, Measured, write
from tokenarium.backend.benchmark.conversation import asks_in_turns
from tokenarium.backend.benchmark.evaluation import Evaluation, FullReading, full_reading
from tokenarium.backend.benchmark.recall import MOST_BYTES
from tokenarium.backend.benchmark.task import Exercise, Task
from tokenarium.backend.cache.budget import CacheSizes, tokens_per_head
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.environment import commit, processor, versions
from tokenarium.backend.models.default import DEFAULT_MODEL
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.runs.parts import one_after_another
from tokenarium.backend.settings import Settings
from tokenarium.backend.trace.request import TraceRequest

KEPT = Path("build/grid.jsonl")
DEPTHS = (0.1, 0.5, 0.9)
PARAMETERS: dict[str, dict[str, int]] = {"perplexity": {"predicted": 8}}
"""Of tasks, where the default would read long."""
Key = tuple[str, str, float, int]
"""Task, policy, budget and number of the exercise."""
_last: dict[tuple[str, str, int, int], tuple[Exercise, FullReading]] = {}
"""Of a process: the exercise it met last, and how the full cache reads it."""


@dataclass(frozen=True)
class Plan:
    """What is asked for."""

    policies: tuple[str, ...]
    tasks: tuple[str, ...]
    budgets: tuple[float, ...]
    """Shares of the prompt."""
    length: int
    """Tokens of a prompt."""
    rounds: int
    """Exercises of each task."""

    def cells(self, task: str, trial: int) -> Iterator[Key]:
        """Yield what is measured with an exercise; what keeps everything has one budget."""
        for slug in self.policies:
            whole = Policy.registry.find(slug)().keeps_all
            for ratio in (1.0,) if whole else self.budgets:
                yield task, slug, ratio, trial

    def keys(self) -> Iterator[Key]:
        """Yield everything in the order in which it is measured."""
        for trial in range(self.rounds):
            for task in self.tasks:
                yield from self.cells(task, trial)


def main() -> None:
    """Measure what is not kept yet, and write the table."""
    options = argparse.ArgumentParser(prog="python -m tests.benchmarks.grid", description=__doc__)
    options.add_argument("--model", default=DEFAULT_MODEL)
    options.add_argument("--policies", nargs="*", default=_slugs(Policy))
    options.add_argument("--tasks", nargs="*", default=_slugs(Task))
    options.add_argument("--budgets", type=float, nargs="*", default=[0.5, 0.25, 0.1])
    options.add_argument("--length", type=int, default=160, help="tokens of a prompt")
    options.add_argument("--rounds", type=int, default=3, help="exercises of each task")
    options.add_argument("--again", nargs="*", default=[], help="policies to measure anew, or all")
    options.add_argument("--engine", default="local", help="local, ray or ray://HOST:PORT")
    options.add_argument("--table", action="store_true", help="only write the table")
    asked = options.parse_args()
    logging.disable_progress_bar()
    plan = Plan(
        tuple(asked.policies), tuple(asked.tasks), tuple(asked.budgets), asked.length, asked.rounds
    )
    settings = Settings(
        hosted=False, engine=asked.engine, device="cpu", max_tokens=1 << 20,
        database="duckdb:///:memory:",
    )  # fmt: skip
    request = TraceRequest(model=asked.model, text="of no matter", overflow="exceed")
    with Lab(settings) as lab:
        fingerprint = lab.fingerprint(request)
        found = kept(KEPT, fingerprint, plan.length)
        if asked.again:
            anew = set(asked.again)
            found = {key: own for key, own in found.items() if not {"all", key[1]} & anew}
            KEPT.unlink(missing_ok=True)
            for key, own in found.items():
                keep(KEPT, fingerprint, plan.length, key, own)
        heading = _heading(asked.model)
        show = lambda: write(Grid(plan.tasks, plan.budgets, plan.length, heading, found))  # noqa: E731
        if not asked.table:
            lab.in_parts(GridParts(plan, found, KEPT, fingerprint, show), request)
        show()


class GridParts:
    """The grid in parts, see ``tokenarium.backend.runs.parts``: a cell by itself.

    Args:
        plan: what is asked for.
        found: what is measured already; takes what is measured.
        file: takes it, too, a cell a line.
        fingerprint: SHA-256 of the model.
        after_round: called when every policy has met its exercises of a round.
    """

    compute = f"{__name__}:cell" if __name__ != "__main__" else "tests.benchmarks.grid:cell"

    def __init__(
        self,
        plan: Plan,
        found: dict[Key, Measured],
        file: Path,
        fingerprint: str,
        after_round: Callable[[], None],
    ) -> None:
        self._plan, self._found, self._file = plan, found, file
        self._fingerprint, self._after_round = fingerprint, after_round
        every = list(plan.keys())
        self._lacking = [key for key in every if key not in found]
        self._every = len(every)
        self._started, self._done = time.monotonic(), 0

    def stages(self) -> Iterator[Sequence[tuple[Key, int]]]:
        """Yield what is lacking of each round."""
        for trial in range(self._plan.rounds):
            yield [(key, self._plan.length) for key in self._lacking if key[3] == trial]

    def key(self, part: Hashable) -> str:
        """Nobody but ``take`` remembers a cell."""
        return ""

    def take(self, part: Hashable, answer: Any) -> None:
        """Take a cell, and say how far it is."""
        key, length = cast(tuple[Key, int], part)
        self._found[key] = Measured(**answer)
        keep(self._file, self._fingerprint, length, key, self._found[key])
        self._done += 1
        left = len(self._lacking) - self._done
        each = (time.monotonic() - self._started) / self._done
        print(
            f"round {key[3] + 1} of {self._plan.rounds}, {key[0]}, {key[1]} at {key[2]:.0%}: "
            f"{self._every - left} of {self._every}, {each:.1f} s each, about "
            f"{each * left / 60:.0f} min left",
            flush=True,
        )
        if all(other in self._found for other in self._lacking if other[3] == key[3]):
            self._after_round()

    def doing(self, part: Hashable) -> str:
        """Return which cell it is."""
        (task, policy, ratio, trial), _ = cast(tuple[Key, int], part)
        return f"{policy} at {ratio:.0%} on {task}, exercise {trial + 1}"

    def shown(self) -> None:
        """Nobody follows it but by what is printed."""

    def result(self) -> dict[Key, Measured]:
        """Return all that is measured."""
        return self._found


def measure(
    loaded: LoadedModel,
    plan: Plan,
    found: dict[Key, Measured],
    file: Path,
    after_round: Callable[[], None],
) -> None:
    """Measure what ``found`` lacks, with a model that is loaded; see ``GridParts``."""
    parts = GridParts(plan, found, file, loaded.fingerprint, after_round)
    cancel = CancelToken()

    def compute(part: Hashable, said: Callable[[Event], None]) -> dict[str, Any]:
        return cell(None, cast(Any, part), loaded, 0, said, cancel)

    one_after_another(parts, compute, lambda _: None, cancel)


def cell(
    request: object,
    part: tuple[Key, int],
    loaded: LoadedModel,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
) -> dict[str, Any]:
    """Measure one cell; what the full cache says of an exercise is kept for the next.

    Returns: fields of ``Measured``, as plain numbers, which any process can read.
    """
    cancel.check()
    (task, _, _, trial), length = part
    read = (loaded.fingerprint, task, length, trial)
    if read not in _last:
        exercise = _exercise(loaded, task, length, trial)
        full = full_reading(loaded, exercise, cancel.check, MOST_BYTES)
        _last.clear()
        _last[read] = exercise, full
    return asdict(_measured(loaded, part[0], *_last[read], cancel))


def kept(file: Path, fingerprint: str, length: int) -> dict[Key, Measured]:
    """Return what was measured of a model with prompts of a length; half a line is left out."""
    found: dict[Key, Measured] = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            record = json.loads(line)
        except ValueError:  # it was interrupted while it wrote
            continue
        if (record["model"], record["length"]) == (fingerprint, length):
            task, policy, budget, trial = record["key"]
            found[task, policy, float(budget), int(trial)] = Measured(**record["measured"])
    return found


def keep(file: Path, fingerprint: str, length: int, key: Key, own: Measured) -> None:
    """Add a line."""
    file.parent.mkdir(exist_ok=True)
    record = {"model": fingerprint, "length": length, "key": key, "measured": asdict(own)}
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(record) + "\n")


def _exercise(loaded: LoadedModel, slug: str, length: int, trial: int) -> Exercise:
    """Return an exercise of a task; depths take turns."""
    task = Task.registry.find(slug)(**PARAMETERS.get(slug, {}))
    chat = asks_in_turns(loaded, None, task.in_chat)
    depth = DEPTHS[trial % len(DEPTHS)]
    return task.exercise(loaded, length, depth, _seed(trial), chat)


def _measured(
    loaded: LoadedModel, key: Key, exercise: Exercise, full: FullReading, cancel: CancelToken
) -> Measured:
    """Read an exercise under a policy; where that is refused, say why."""
    _, slug, ratio, trial = key
    policy = Policy.registry.find(slug)()
    budget = tokens_per_head(ratio, "ratio", len(exercise.prompt), CacheSizes.of(loaded, 0))
    try:
        reading = Evaluation(loaded, policy, budget, _seed(trial), True, cancel.check)
        answered = reading.answer(exercise, full)
    except ValueError as error:
        return Measured(refused=str(error))
    return Measured(
        kl_nats=float(answered.kl.astype(np.float64).mean()),
        right_tokens=float(answered.likeliest.mean()),
        cache_bytes=float(answered.cache_bytes.astype(np.float64).mean()),
        recall=float(answered.recall.astype(np.float64).mean()),
    )


def _seed(trial: int) -> int:
    return int(np.random.SeedSequence([0, trial]).generate_state(1)[0])


def _slugs(family: type[Policy] | type[Task]) -> Sequence[str]:
    """Return the names of all policies, or of all tasks."""
    return [own.slug for own in family.registry.all()]


def _heading(model: str) -> str:
    """Return what the numbers depend on, in a line."""
    used, threads = versions(), torch.get_num_threads()
    return (
        f"{model}, float32, {threads} thread{'s' * (threads > 1)} of {processor()}, torch "
        f"{used['torch']}, transformers {used['transformers']}, commit {commit()[:12]}, "
        f"{date.today():%d %B %Y}"
    )


if __name__ == "__main__":
    main()
