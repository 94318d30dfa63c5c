"""``make grid``: every policy at every budget on every task, and docs/benchmarks/grid.md of it.

What was measured is kept in ``build/grid.jsonl``, an exercise a line, so that a run that was
interrupted goes on. Rounds come one after another: after the first, every policy has met one
exercise of every task, and each later round makes intervals narrower. The table is written anew
after each. ``--again SLUG ...`` measures some policies anew, ``--again all`` everything.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

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
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import resolve
from tokenarium.backend.settings import Settings

KEPT = Path("build/grid.jsonl")
DEPTHS = (0.1, 0.5, 0.9)
PARAMETERS: dict[str, dict[str, int]] = {"perplexity": {"predicted": 8}}
"""Of tasks, where the default would read long."""
Key = tuple[str, str, float, int]
"""Task, policy, budget and number of the exercise."""


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
    options.add_argument("--table", action="store_true", help="only write the table")
    asked = options.parse_args()
    logging.disable_progress_bar()
    plan = Plan(
        tuple(asked.policies), tuple(asked.tasks), tuple(asked.budgets), asked.length, asked.rounds
    )
    source = resolve(asked.model, Settings(hosted=False))
    loaded = load(source, "float32", "cpu", 1 << 20)
    found = kept(KEPT, loaded.fingerprint, plan.length)
    if asked.again:
        found = {key: own for key, own in found.items() if not {"all", key[1]} & set(asked.again)}
        KEPT.unlink(missing_ok=True)
        for key, own in found.items():
            keep(KEPT, loaded.fingerprint, plan.length, key, own)
    heading = _heading(asked.model)
    show = lambda: write(Grid(plan.tasks, plan.budgets, plan.length, heading, found))  # noqa: E731
    if not asked.table:
        measure(loaded, plan, found, KEPT, show)
    show()


def measure(
    loaded: LoadedModel,
    plan: Plan,
    found: dict[Key, Measured],
    file: Path,
    after_round: Callable[[], None],
) -> None:
    """Measure what ``found`` lacks; add it there and to ``file``, and say how far it is."""
    every = list(plan.keys())
    left = sum(key not in found for key in every)
    started, done = time.monotonic(), 0
    for trial in range(plan.rounds):
        for task in plan.tasks:
            wanted = [key for key in plan.cells(task, trial) if key not in found]
            if not wanted:
                continue
            exercise = _exercise(loaded, task, plan.length, trial)
            full = full_reading(loaded, exercise, lambda: None, MOST_BYTES)
            for key in wanted:
                found[key] = _measured(loaded, key, exercise, full)
                keep(file, loaded.fingerprint, plan.length, key, found[key])
                done += 1
                each = (time.monotonic() - started) / done
                print(
                    f"round {trial + 1} of {plan.rounds}, {task}, {key[1]} at {key[2]:.0%}: "
                    f"{len(every) - left + done} of {len(every)}, {each:.1f} s each, about "
                    f"{each * (left - done) / 60:.0f} min left",
                    flush=True,
                )
        after_round()


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


def _measured(loaded: LoadedModel, key: Key, exercise: Exercise, full: FullReading) -> Measured:
    """Read an exercise under a policy; where that is refused, say why."""
    _, slug, ratio, trial = key
    policy = Policy.registry.find(slug)()
    budget = tokens_per_head(ratio, "ratio", len(exercise.prompt), CacheSizes.of(loaded, 0))
    try:
        reading = Evaluation(loaded, policy, budget, _seed(trial), True, lambda: None)
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
