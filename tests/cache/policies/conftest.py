"""A tiny Llama under a policy, with its eager twin."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.models.conftest import save_model
from tokenarium.backend.cache import engine
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource


@dataclass(frozen=True)
class Pair:
    """The same weights, loaded as the application does and with eager attention."""

    loaded: LoadedModel
    eager: PreTrainedModel

    def prompt(self, length: int) -> list[int]:
        """So many tokens, drawn once for each length."""
        draw = torch.Generator().manual_seed(length)
        return torch.randint(10, 200, (length,), generator=draw).tolist()

    def under(
        self, slug: str, budget: int, ids: list[int], steps: Sequence[int] = (), **parameters: Any
    ) -> engine.CachedSequence:
        """Read a prompt, and tokens after it one by one."""
        sequence = engine.CachedSequence(
            self.loaded, Policy.registry.find(slug)(**parameters), budget
        )
        sequence.read(ids)
        for token in steps:
            sequence.read([token])
        return sequence


@pytest.fixture
def tiny(twins) -> Callable[..., Pair]:
    """A function to a pair, of a Llama where no family is named."""
    return lambda family="llama": Pair(*twins(family))


@pytest.fixture(scope="session")
def deep(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedModel, PreTrainedModel]:
    """A Llama of six layers, and its eager twin."""
    folder = tmp_path_factory.mktemp("deep")
    save_model(folder, "llama", num_hidden_layers=6, max_position_embeddings=2048)
    oracle = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    source = ModelSource("local/deep", folder, None, "deep")
    return load(source, "float32", "cpu", 2048), oracle.float().eval()


def kept(sequence: engine.CachedSequence) -> list[list[list[int]]]:
    """Positions by layer and KV head."""
    return [
        [held.entries.head("positions", g).tolist() for g in range(held.entries.groups)]
        for held in sequence.layers
    ]
