"""Example runs, computed by the real code and shipped, so that the first paint needs no model.

``python -m tokenarium.backend.runs.examples`` computes them on the bundled model and writes
``assets/examples``.
"""

import json
import logging
import zipfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tokenarium.backend.cache.request import CacheRequest, PolicySpec
from tokenarium.backend.runs.run import Run
from tokenarium.backend.runs.serialization import result_class
from tokenarium.backend.settings import PROJECT, Settings
from tokenarium.backend.speculation.request import DrafterSpec, RuleSpec, SpeculateRequest
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.storage import StoreError

if TYPE_CHECKING:
    from tokenarium.backend.runs.repository import RunRepository

FOLDER = PROJECT / "assets" / "examples"
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, StoreError)


@dataclass(frozen=True)
class Example:
    """A text worth looking at, and one sentence that says why."""

    slug: str
    title: str
    teaser: str
    text: str

    @property
    def request(self) -> TraceRequest | CacheRequest | SpeculateRequest:
        """What is computed of it: the same as a visitor's Run on this text with nothing changed."""
        return TraceRequest(model="bundled/target", text=self.text)

    @property
    def run_id(self) -> str:
        """The id of the stored run, the same in every store."""
        return f"example-{self.slug}"


@dataclass(frozen=True)
class CacheExample(Example):
    """A prompt continued under policies that show how differently they choose."""

    policies: tuple[str, ...] = ("full", "recent", "streaming_llm", "h2o")
    budget: int = 48
    new_tokens: int = 48

    @property
    def request(self) -> CacheRequest:
        """What is computed of it: what the Cache page asks with nothing changed."""
        return CacheRequest(
            model="bundled/target",
            text=self.text,
            policies=tuple(PolicySpec(slug) for slug in self.policies),
            budget=self.budget,
            max_new_tokens=self.new_tokens,
        )


@dataclass(frozen=True)
class SpeculateExample(Example):
    """A prompt continued by drafting and verifying."""

    drafter: str = "iid_tree"
    rule: str = "multi_round"
    temperature: float = 0.7
    new_tokens: int = 64

    @property
    def request(self) -> SpeculateRequest:
        """What is computed of it: what the Speculate page asks with nothing changed."""
        return SpeculateRequest(
            model="bundled/target",
            text=self.text,
            drafter=DrafterSpec(slug=self.drafter),
            rule=RuleSpec(slug=self.rule),
            temperature=self.temperature,
            max_new_tokens=self.new_tokens,
        )


EXAMPLES = (
    Example(
        "first-token",
        "Where heads rest",
        "Where does a head look when nothing in the sentence asks for its attention?",
        "The old lighthouse keeper climbed the stairs every evening, and every evening he counted "
        "them. There were one hundred and twelve steps, and he knew the sound of each. At the top "
        "he lit the lamp, opened the small window to the west, and listened to the sea. Ships "
        "passed far away, without a name and without a voice, and he wished them a good night all "
        "the same. Then he sat down beside the warm glass, opened his book, and read until the "
        "morning came.",
    ),
    Example(
        "one-wrong-word",
        "One wrong word",
        "Most of this is easy to guess; find the word that the model did not see coming.",
        "Once upon a time there was a little girl who lived with her mother in a small house near "
        "the woods. One day her mother said to her, take this basket of bread and butter to your "
        "grandmother, who is ill in bed. The little girl put on her red cap, took the basket in "
        "her hand, and set out along the photograph to her grandmother's house. The sun was "
        "shining, the birds were singing in the trees, and the little girl was very happy.",
    ),
    Example(
        "said-twice",
        "Said twice",
        "The second half repeats the first: compare how surprised the model is, where it looks.",
        "Seven grey geese flew over the frozen lake, and the miller's youngest daughter counted "
        "their feathers while the kettle sang beside a broken violin. Nobody in the village knew "
        "why the geese had come so early that year. Seven grey geese flew over the frozen lake, "
        "and the miller's youngest daughter counted their feathers while the kettle sang beside a "
        "broken violin. Nobody in the village knew why the geese had come so early that year.",
    ),
)

CACHE_EXAMPLES = (
    CacheExample(
        "what-is-kept",
        "What is kept",
        "Four ways to keep 48 of these tokens: which text do they go on to write?",
        EXAMPLES[0].text,
    ),
)

SPECULATE_EXAMPLES = (
    SpeculateExample(
        "guessed-ahead",
        "Guessed ahead",
        "A small model guesses several words, the large one checks them at once: which survive?",
        "Once upon a time there was a little girl who",
    ),
)


def install(library: "RunRepository", folder: Path | None = None) -> tuple[Example, ...]:
    """Put shipped runs into the store as shared, pinned runs, and return the examples it holds.

    A shipped run replaces a stored one of another model or version. What cannot be read is logged
    and left out, because the page works without it.

    Args:
        library: where runs are stored.
        folder: with ``SLUG.json`` and ``SLUG.npz`` per example; None for the shipped ones.
    """
    folder = folder or FOLDER
    held = []
    for example in (*EXAMPLES, *CACHE_EXAMPLES, *SPECULATE_EXAMPLES):
        if not (folder / f"{example.slug}.json").is_file():
            continue
        try:
            created = datetime.fromisoformat(_described(example, folder)["created"])
            if not library.holds(example.run_id, created):
                library.adopt(read(example, folder))
        except _UNREADABLE as error:
            logging.getLogger(__name__).warning("example %s is left out: %s", example.slug, error)
        else:
            held.append(example)
    return tuple(held)


def read(example: Example, folder: Path = FOLDER) -> Run:
    """Return the shipped run of ``example``.

    Args:
        example: which.
        folder: with ``SLUG.json`` and ``SLUG.npz``.
    """
    described = _described(example, folder)
    with np.load(folder / f"{example.slug}.npz", allow_pickle=False) as stored:
        arrays = dict(stored)
    return Run(
        id=example.run_id,
        request=type(example.request).model_validate(described["request"]),
        result=result_class(example.request).from_stored(described["facts"], arrays),
        created=datetime.fromisoformat(described["created"]),
        duration_ms=described["duration_ms"],
        environment=described["environment"],
        cached=True,
    )


def _described(example: Example, folder: Path) -> dict[str, Any]:
    text = (folder / f"{example.slug}.json").read_text(encoding="utf-8")
    described: dict[str, Any] = json.loads(text)
    return described


def write(run: Run, example: Example, folder: Path = FOLDER) -> None:
    """Ship ``run`` as the run of ``example``; ``read`` gives it back bit by bit.

    Args:
        run: as computed.
        example: which.
        folder: where ``SLUG.json`` and ``SLUG.npz`` go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    described = {
        "request": run.request.model_dump(mode="json"),
        "created": run.created.isoformat(),
        "duration_ms": run.duration_ms,
        "environment": run.environment,
        "facts": run.result.facts(),
    }
    text = json.dumps(described, ensure_ascii=False, indent=1) + "\n"
    (folder / f"{example.slug}.json").write_text(text, encoding="utf-8")
    arrays: dict[str, Any] = run.result.arrays()
    np.savez_compressed(folder / f"{example.slug}.npz", **arrays)


def main(folder: Path = FOLDER) -> None:
    """Compute every example on the bundled model and ship it."""
    from tokenarium.backend.runs.lab import Lab

    settings = Settings(database="duckdb:///:memory:", device="cpu", hosted=False)
    for old in folder.glob("*.npz"):
        old.unlink()
        old.with_suffix(".json").unlink(missing_ok=True)
    with Lab(settings) as lab:
        for example in (*EXAMPLES, *CACHE_EXAMPLES, *SPECULATE_EXAMPLES):
            run = lab.run(example.request)
            write(run, example, folder)
            print(f"{example.slug}: {run.duration_ms:.0f} ms")  # noqa: T201


if __name__ == "__main__":
    main()
