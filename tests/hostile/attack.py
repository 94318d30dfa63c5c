"""``make attack``: folders, tokenizers, templates, texts and parameters made to do harm.

Each input must end in an answer or in a refusal in words, within a limit of time, and honest
requests must be answered all along. Prints inputs tried and faults; ends with 1 where there is any.
"""

import argparse
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from transformers.utils import logging as transformers_logging

from tests.hostile.flood import free_port
from tests.hostile.folders import change_json, copy, drawn, short
from tests.hostile.parameters import calls, has_words, requests
from tests.hostile.server_functions import answer, known_values, questions
from tests.hostile.tokenizers import LOADED, STAGES, STUCK, TEMPLATES, texts, write_stage
from tests.models.conftest import save_model
from tests.ui.served import serving
from tokenarium import Lab, Settings
from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.events import Cancelled, CancelToken
from tokenarium.backend.runs.request import ModelRequest
from tokenarium.backend.trace.request import TraceRequest

LONGEST_S = 90.0
"""Within which every input must end, on a machine that does other things."""
RUN_S = 5.0
"""After which a run is cancelled, which must be heard."""
Attempt = tuple[str, Callable[[], object]]


@dataclass
class Figures:
    """What became of the inputs of one kind."""

    kind: str
    inputs: int = 0
    answered: int = 0
    refused: int = 0
    longest_s: float = 0.0
    faults: list[str] = field(default_factory=list)

    def attempt(self, name: str, attempt: Callable[[], object]) -> None:
        """Try one input."""
        started = time.monotonic()
        self.inputs += 1
        try:
            attempt()
            self.answered += 1
        except (UserError, Cancelled) as refusal:
            self.refused += 1
            if not has_words(words := str(refusal)):
                self.faults.append(f"{name}: refused in no words of ours: {words[:200]!r}")
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            words = " ".join(str(error).split())[:200]
            self.faults.append(f"{name}: {type(error).__name__}: {words}")
        taken = time.monotonic() - started
        self.longest_s = max(self.longest_s, taken)
        if taken > LONGEST_S:
            self.faults.append(f"{name}: took {taken:.0f} s")


def main() -> None:
    """Try all kinds within the time given."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=480.0, help="time to take")
    options.add_argument("--seed", type=int, default=1, help="of what is drawn")
    asked = options.parse_args()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as place:
        models = Path(place)
        settings = Settings(
            models_dir=models, database="duckdb:///:memory:", fetch=False, cache_dir=models / ".c"
        )
        with Lab(settings) as lab:
            found = list(_kinds(lab, models, asked.seed, asked.seconds))
    sys.stdout.write(_table(found, asked.seed))
    sys.stdout.flush()
    # At once: DuckDB's binding would remark on its own leaks.
    os._exit(any(kind.faults for kind in found))


def _kinds(lab: Lab, models: Path, seed: int, seconds: float) -> Iterator[Figures]:
    with tempfile.TemporaryDirectory() as place:
        sizes = {"num_hidden_layers": 1, "hidden_size": 16, "intermediate_size": 16}
        small = save_model(Path(place) / "small", "llama", **sizes)
        parts: dict[str, tuple[Iterator[Attempt], float]] = {
            "folders of each kind": (_folders(lab, models, small, short()), 0.35),
            "folders drawn": (_folders(lab, models, small, drawn(seed, 2_000)), 0.2),
            "tokenizers": (_tokenizers(lab, models, small), 0.2),
            "chat templates": (_templates(lab, models, small), 0.2),
            "texts": (_texts(lab, seed), 0.1),
            "requests": (_requests(lab, seed), 0.1),
            "requests that are run": (_runs(lab, seed + 1), 0.2),
            "calls": (calls(lab, seed, 4_000), 0.1),
            "questions to functions of parts": (_questions(lab, seed), 0.1),
        }
        honest = Figures("honest runs meanwhile")
        for kind, (attempts, share) in parts.items():
            figures, end = Figures(kind), time.monotonic() + share * seconds / 1.35
            for number, (name, attempt) in enumerate(attempts):
                figures.attempt(name, attempt)
                if number % 10 == 0:
                    honest.attempt(f"after {name}", lambda: _honest(lab))
                if time.monotonic() > end:
                    break
            yield figures
        yield honest


def _folders(
    lab: Lab, models: Path, small: Path, changes: Iterator[tuple[str, Callable[[Path], None]]]
) -> Iterator[Attempt]:
    for number, (name, change) in enumerate(changes):
        home = copy(small, models / f"odd{abs(hash(name)) % 10**9}-{number}")
        change(home)
        yield name, _run(lab, home, "ab")
        if number % 20 == 0:
            yield f"list after {name}", lab.models


def _tokenizers(lab: Lab, models: Path, small: Path) -> Iterator[Attempt]:
    for number, (name, stage) in enumerate((STAGES | LOADED).items()):
        home = copy(small, models / f"tokenizer{number}")
        write_stage(home, stage)
        yield name, _run(lab, home, STUCK)
        yield f"{name}, cost", _estimate(lab, home)


def _templates(lab: Lab, models: Path, small: Path) -> Iterator[Attempt]:
    for number, (name, template) in enumerate(TEMPLATES.items()):
        home = copy(small, models / f"template{number}")
        change_json("tokenizer_config.json", chat_template=template)(home)
        (home / "chat_template.jinja").write_text(template)
        yield name, _run(lab, home, "hi", chat_template=True)


def _texts(lab: Lab, seed: int) -> Iterator[Attempt]:
    for text in texts(seed, 1_000):
        yield repr(text[:40]), partial(_read, lab, text)


def _requests(lab: Lab, seed: int) -> Iterator[Attempt]:
    # Estimated, not run: what is tried is the values, not the patience.
    for kind, values in requests(seed, 2_000):
        yield f"{kind.kind} {values!r:.300}", partial(_estimated, lab, kind, values)


def _runs(lab: Lab, seed: int) -> Iterator[Attempt]:
    for kind, values in requests(seed, 2_000):
        yield f"{kind.kind} {values!r:.300}", partial(_ran, lab, kind, values)


def _ran(lab: Lab, kind: type[ModelRequest], values: dict[str, Any]) -> None:
    """Run a request; one that has something to do is cancelled after a while."""
    cancel = CancelToken()
    timer = threading.Timer(RUN_S, cancel.cancel)
    timer.start()
    try:
        lab.run(lab.request(kind, **values), cancel=cancel)
    finally:
        timer.cancel()


def _questions(lab: Lab, seed: int) -> Iterator[Attempt]:
    """Ask over HTTP, in local mode and as a host has it."""
    for hosted in (False, True):
        settings = lab.settings.model_copy(update={"hosted": hosted})
        with serving(settings, free_port()) as app:
            known = known_values(app.lab)
            for name, body in questions(app.blocks, known, seed + hosted, 1_000):
                yield name, partial(_asked, app.http, body)


def _asked(http: httpx.Client, body: dict[str, Any]) -> None:
    if words := answer(http, body):
        raise UserError(words)


def _read(lab: Lab, text: str) -> None:
    lab.run(lab.request(TraceRequest, model="bundled/draft", text=text))


def _estimated(lab: Lab, kind: type[ModelRequest], values: dict[str, Any]) -> None:
    lab.estimate(lab.request(kind, **values))


def _run(lab: Lab, home: Path, text: str, **choices: bool) -> Callable[[], object]:
    name = f"local/{home.name}"
    return lambda: lab.run(lab.request(TraceRequest, model=name, text=text, **choices))


def _estimate(lab: Lab, home: Path) -> Callable[[], object]:
    name = f"local/{home.name}"
    return lambda: lab.estimate(lab.request(TraceRequest, model=name, text=STUCK))


def _honest(lab: Lab) -> None:
    text = f"An honest text at {time.monotonic_ns()}."
    found = lab.run(TraceRequest(model="bundled/draft", text=text))
    assert len(found.result.token_text) > 1


def _table(found: list[Figures], seed: int) -> str:
    rows = [
        f"| {kind.kind} | {kind.inputs:,} | {kind.answered:,} | {kind.refused:,} | "
        f"{len(kind.faults)} | {kind.longest_s:.1f} |"
        for kind in found
    ]
    faults = [f"- {kind.kind}: {fault}" for kind in found for fault in kind.faults]
    head = "| Kind | Inputs | Answered | Refused in words | Faults | Longest, s |\n"
    return f"Seed {seed}.\n\n{head}|---|---|---|---|---|---|\n" + "\n".join(
        [*rows, "", *faults, ""]
    )


if __name__ == "__main__":
    main()
