"""The models that are measured: random weights in shapes of note, with every kind of attention."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from tests.models.conftest import byte_tokenizer
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource

SHAPES = {
    "llama-19m": {
        "vocab_size": 6144,
        "hidden_size": 384,
        "intermediate_size": 1024,
        "num_hidden_layers": 8,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
    },
    "llama-21m": {
        "vocab_size": 8192,
        "hidden_size": 384,
        "intermediate_size": 1024,
        "num_hidden_layers": 8,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
    },
    "smollm2-135m": {
        "vocab_size": 49_152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "tie_word_embeddings": True,
    },
    "llama-1b": {
        "vocab_size": 128_256,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "tie_word_embeddings": True,
    },
}
LONGEST = 1 << 16


@dataclass(frozen=True)
class Models:
    """One model with our attention, and a twin of the same weights with each of transformers'."""

    loaded: LoadedModel
    twins: dict[str, PreTrainedModel]


def save(shape: str, dtype: str, folder: Path, device: str = "cpu") -> None:
    """Save a random Llama of a shape, drawn on a device and the same each time there."""
    torch.manual_seed(0)
    config = LlamaConfig(
        **SHAPES[shape], bos_token_id=0, eos_token_id=1, max_position_embeddings=LONGEST
    )
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)


def build(shape: str, dtype: str, device: str) -> Models:
    """Make a random Llama of a shape; the twins share its weights."""
    with tempfile.TemporaryDirectory() as name:
        save(shape, dtype, Path(name))
        return read(shape, Path(name), dtype, device)


def read(shape: str, folder: Path, dtype: str, device: str) -> Models:
    """Read a saved model; the twins share its weights."""
    loaded = load(ModelSource(shape, folder, None, shape), dtype, device, LONGEST)
    twins = {
        attention: AutoModelForCausalLM.from_pretrained(
            folder, attn_implementation=attention, dtype=getattr(torch, dtype)
        )
        for attention in ("sdpa", "eager")
    }
    for twin in twins.values():
        twin.load_state_dict(loaded.model.state_dict(), assign=True)
        twin.to(device).eval()  # what is no weight, such as the rotary frequencies
    return Models(loaded, twins)
