"""Tiny random models, loaded as the application loads them, and their eager twins."""

from collections.abc import Callable

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.models.conftest import save_model
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource

Twins = Callable[[str], tuple[LoadedModel, PreTrainedModel]]


@pytest.fixture(scope="session")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Twins:
    """A function from a family to a loaded model and transformers' own, with eager attention."""
    made: dict[str, tuple[LoadedModel, PreTrainedModel]] = {}

    def pair(family: str) -> tuple[LoadedModel, PreTrainedModel]:
        if family not in made:
            folder = tmp_path_factory.mktemp(family)
            save_model(folder, family, max_position_embeddings=2048)
            source = ModelSource(f"local/{family}", folder, None, family)
            oracle = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
            made[family] = load(source, "float32", "cpu", 2048), oracle.float().eval()
        return made[family]

    return pair


@pytest.fixture(scope="session")
def letters() -> Callable[[int], str]:
    """A function to a text of so many letters, each a token of the tiny tokenizer."""

    def text(count: int) -> str:
        draw = torch.randint(65, 91, (count,), generator=torch.Generator().manual_seed(count))
        return "".join(map(chr, draw.tolist()))

    return text
