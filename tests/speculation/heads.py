"""Draft heads with random weights, for models that nobody trained one for."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.pretraining.draft_head.head import DraftHead, Shape
from tokenarium.backend.speculation import draft_heads
from tokenarium.backend.speculation.draft_heads import matching_folder


def random_head(loaded: LoadedModel, folder: Path, seed: int = 0) -> Path:
    """Write a head for a model: random weights, every id but each seventh."""
    config: Any = loaded.model.config
    embedding: Any = loaded.model.get_input_embeddings()
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    groups = getattr(config, "num_key_value_heads", None) or heads
    torch.manual_seed(seed)
    head = DraftHead(Shape(config.hidden_size, heads, groups, size, 48, 1e-5))
    torch.nn.init.normal_(head.out.weight, std=0.2)
    torch.nn.init.normal_(head.down.weight, std=0.2)
    ids = torch.arange(len(embedding.weight))
    head.save(folder, ids[ids % 7 != 6], embedding.weight, {"target": loaded.name})
    return folder


@pytest.fixture(scope="session", autouse=True)
def every_model_has_a_head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give every model a random head where none was trained for it."""
    folder = tmp_path_factory.mktemp("heads")

    @lru_cache
    def made(fingerprint: str) -> Path:
        return folder / str(len(list(folder.iterdir())))

    def matching(loaded: LoadedModel) -> Path:
        path = matching_folder(loaded) or made(loaded.fingerprint or str(id(loaded.model)))
        return path if path.exists() else random_head(loaded, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draft_heads, "matching_folder", matching)
        yield
