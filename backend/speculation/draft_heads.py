"""Which trained draft head belongs to a model."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor
from torch.nn.functional import cosine_similarity

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.pretraining.adapter.adapter import FILE, Adapter
from tokenarium.backend.pretraining.draft_head.head import EXAMPLE_ROWS, DraftHead, example_ids
from tokenarium.backend.speculation import head_folders
from tokenarium.backend.speculation.vocabulary import logits_width

WEIGHTS = "head.safetensors"
ALIKE = 0.9
"""Least cosine, on average, of a model's embeddings to those that a head was trained with. Other
roundings and light tuning of one model stay above .99, unrelated models near 0."""


@dataclass(frozen=True)
class FoundHead:
    """A head and the ids that it guesses among."""

    head: DraftHead
    """Its weights in the format of the model, on its device."""
    vocabulary: Tensor
    """[N] ids of the target."""
    name: str


def find_head(loaded: LoadedModel) -> FoundHead:
    """Return the draft head that was trained for a model, the user's own before shipped ones.

    Raises:
        ValueError: if there is none.
    """
    folder = matching_folder(loaded)
    if folder is None:
        raise ValueError(
            f"no draft head is at hand for model={loaded.name!r}: choose smollm2-135m-instruct, "
            "for which one is shipped, or another drafter; or train one (python -m "
            f"tokenarium.backend.pretraining draft-head --help) and put its folder into "
            "draft_heads of Tokenarium's cache folder"
        )
    head, vocabulary = DraftHead.load(folder)
    head = head.to(loaded.device).eval()
    for weights in head.parameters():  # buffers stay float32: they turn positions
        weights.data = weights.data.to(loaded.dtype)
    return FoundHead(head, vocabulary.to(loaded.device), folder.name)


def matching_folder(loaded: LoadedModel) -> Path | None:
    """Return the folder of a model's head; None where there is none."""
    return _matching(loaded, WEIGHTS)


def adapter_folder(loaded: LoadedModel) -> Path | None:
    """Return the folder of a model's adapter; None where there is none."""
    return _matching(loaded, FILE)


def find_adapter(loaded: LoadedModel) -> tuple[Adapter, str]:
    """Return the adapter that was trained for a model, in its format, and the adapter's name.

    Raises:
        ValueError: if there is none.
    """
    folder = adapter_folder(loaded)
    if folder is None:
        raise ValueError(
            f"no adapter is at hand for model={loaded.name!r}: choose bundled/target, for which "
            "one is shipped, or another drafter; or train one (python -m "
            "tokenarium.backend.pretraining adapter --help) and put its folder into draft_heads "
            "of Tokenarium's cache folder"
        )
    adapter = Adapter.load(folder).to(loaded.device).eval()
    for weights in adapter.parameters():  # buffers stay float32: they turn positions
        weights.data = weights.data.to(loaded.dtype)
    return adapter, folder.name


def _matching(loaded: LoadedModel, weights: str) -> Path | None:
    embedding: Any = loaded.model.get_input_embeddings()
    rows = embedding.weight
    for folder in head_folders.every():
        if not (folder / weights).is_file():
            continue
        config = json.loads((folder / "config.json").read_text("utf-8"))
        sizes = (config.get("vocab_size"), config["hidden_size"])
        if sizes != (len(rows), rows.shape[1]) or logits_width(loaded) != len(rows):
            continue
        with safe_open(folder / weights, "pt") as file:
            known = file.get_tensor(EXAMPLE_ROWS).float()
        here = rows[example_ids(len(rows))].float().to(known.device)
        if float(cosine_similarity(here, known, dim=-1).mean()) >= ALIKE:
            return folder
    return None
