"""A tiny random Llama as the target of a draft head."""

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tokenarium.backend.pretraining.draft_head.head import DraftHead, Shape
from tokenarium.backend.pretraining.draft_head.ragged import (
    Prompts,
)
from tokenarium.backend.pretraining.draft_head.store import Store
from tokenarium.backend.pretraining.draft_head.target import Target

VOCABULARY, END = 40, 2
PROMPTS = Prompts([1, 5, 6], [7, 1, 8, 7], [7, 1, 9, 7], END, [[11, 12], [13, 14, 15, END]])


@pytest.fixture(scope="session")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
        tie_word_embeddings=True,
    )
    found = LlamaForCausalLM(config).eval()
    torch.nn.init.uniform_(found.model.norm.weight, 0.5, 2.0)
    return found


@pytest.fixture(scope="session")
def target(model: LlamaForCausalLM) -> Target:
    return Target(model.config.to_dict(), model.state_dict(), dtype=torch.float32)


def store_of(folder: Path, target: Target) -> Store:
    return Store(folder, target, PROMPTS, rows=6, length=30, seed=3)


def head_of(target: Target, seed: int = 0) -> DraftHead:
    torch.manual_seed(seed)
    head = DraftHead(Shape.of(target))
    torch.nn.init.normal_(head.out.weight, std=0.2)
    torch.nn.init.normal_(head.down.weight, std=0.2)
    return head
