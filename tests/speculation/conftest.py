"""A tiny random target and a tinier random draft that share a tokenizer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.models.conftest import save_model
from tests.speculation.heads import every_model_has_a_head  # noqa: F401 - fixture
from tests.trace.conftest import letters, twins  # noqa: F401 - fixtures
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.speculation.auditing.plain_reader import PlainReader
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.draft_state import DraftReader, DraftState
from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.reader import TreeReader
from tokenarium.backend.speculation.state_heads.opening import open_head

Starts = Callable[..., DraftState]


def loaded_from(folder: Path, **changes: object) -> LoadedModel:
    save_model(folder, "llama", max_position_embeddings=2048, **changes)
    source = ModelSource(f"local/{folder.name}", folder, None, folder.name)
    loaded = load(source, "float32", "cpu", 2048)
    head: Any = loaded.model.get_output_embeddings()
    head.weight.data *= 3  # as sure of some tokens as trained models are
    return loaded


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return loaded_from(tmp_path_factory.mktemp("target"))


@pytest.fixture(scope="session")
def draft(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return loaded_from(tmp_path_factory.mktemp("draft"), num_hidden_layers=2)


@pytest.fixture(scope="session")
def starts(target: LoadedModel, draft: LoadedModel) -> Starts:
    """A function from a drafter to what it works with, its reader included where it has one."""

    def start(
        drafter: Drafter,
        ids: list[int],
        temperature: float = 1.0,
        draft_len: int = 4,
        tree_budget: int = 9,
        seed: int = 0,
        **processors: float,
    ) -> DraftState:
        model = {"draft_model": draft, "target_layers": target}.get(drafter.source)
        reader: DraftReader | None = None
        if drafter.source == "target_states":
            head = open_head(target, drafter.head)
            reader = head.reader(lambda start: states(start), 64)
        elif model is not None:
            count = drafter.layers(len(model.layers))
            reader = TreeReader(model, len(ids) + 64, layers=count)
        processed = Processors(temperature, **processors)
        random = np.random.default_rng(seed)
        state = DraftState(list(ids), 272, draft_len, tree_budget, processed, random, reader)
        drafter.begin(state)

        def states(start: int) -> Tensor:
            return PlainReader(target).residuals(state.ids, head.state_layers)[start:-1]

        return state

    return start


def text_ids(count: int, seed: int = 0) -> list[int]:
    """Return ids of so many tokens out of few, so that they repeat."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(60, 72, (count,), generator=draw).tolist()
