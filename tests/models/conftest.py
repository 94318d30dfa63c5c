"""Tiny models with random weights, saved as anyone would save a model."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from tokenarium.backend.models.names import ModelSource

logging.disable_progress_bar()

FAMILIES = {
    "llama": {"num_key_value_heads": 2, "head_dim": 8},
    "mistral": {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 16},
    "qwen2": {"num_key_value_heads": 1},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 16},
    "phi3": {"num_key_value_heads": 2, "pad_token_id": 0, "sliding_window": 20},
    "gemma2": {
        "num_key_value_heads": 2,
        "head_dim": 8,
        "sliding_window": 16,
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 1.0,
        "query_pre_attn_scalar": 3,
    },
    "gemma3_text": {
        "num_key_value_heads": 2,
        "head_dim": 8,
        "sliding_window": 16,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    },
    "gpt2": {"n_inner": 48},
    "gpt_neox": {"rotary_pct": 0.25},
    "opt": {"word_embed_proj_dim": 16, "ffn_dim": 48, "do_layer_norm_before": False},
    "gpt_oss": {
        "num_key_value_heads": 2,
        "head_dim": 8,
        "sliding_window": 16,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
    },
    "cohere": {"num_key_value_heads": 2, "logit_scale": 0.25},
    "granite": {"num_key_value_heads": 2, "logits_scaling": 3.0, "residual_multiplier": 0.5},
}

_SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
}
_OWN_SIZES = {
    "bloom": {"hidden_size": 32, "n_layer": 3, "n_head": 4},
    "mpt": {"d_model": 32, "n_layers": 3, "n_heads": 4},
    "gptj": {"n_embd": 32, "n_layer": 3, "n_head": 4, "rotary_dim": 4},
    "codegen": {"n_embd": 32, "n_layer": 3, "n_head": 4, "rotary_dim": 4},
    "openai-gpt": {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 128},
    "gpt_neo": {
        "hidden_size": 32,
        "num_layers": 3,
        "num_heads": 4,
        "attention_types": [[["local", "global", "local"], 1]],
        "window_size": 16,
        "max_position_embeddings": 128,
    },
    "xglm": {
        "d_model": 32,
        "num_layers": 3,
        "attention_heads": 4,
        "ffn_dim": 48,
        "max_position_embeddings": 128,
    },
}


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer of 2 special tokens, 256 bytes and a few merges."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("h", "e"), ("l", "l"), ("Ġ", "w"), ("he", "ll"), ("hell", "o"), ("Ã", "©")]
    entries = ["<|bos|>", "<|eos|>", *alphabet, *("".join(pair) for pair in merges)]
    core = Tokenizer(models.BPE({entry: key for key, entry in enumerate(entries)}, merges))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(["<|bos|>", "<|eos|>"])
    core.post_processor = processors.TemplateProcessing(
        single="<|bos|> $A", special_tokens=[("<|bos|>", 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<|bos|>", eos_token="<|eos|>")


def save_model(folder: Path, family: str, **changes: object) -> Path:
    sizes = _OWN_SIZES.get(family, _SIZES)
    config = CONFIG_MAPPING[family](
        **{"vocab_size": 272, "bos_token_id": 0, "eos_token_id": 1}
        | sizes
        | FAMILIES.get(family, {})
        | changes
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    # Wide weights, so that a wrong window, scale, softcap or sink shows in the logits.
    for weights in model.parameters():
        weights.data += torch.randn_like(weights) * (0.2 if weights.dim() > 1 else 0.1)
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer()


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ModelSource]:
    """A function from a family to a saved model of it, made once."""
    made: dict[str, ModelSource] = {}

    def source(family: str) -> ModelSource:
        if family not in made:
            folder = save_model(tmp_path_factory.mktemp(family), family)
            made[family] = ModelSource(f"local/{family}", folder, None, family)
        return made[family]

    return source


@pytest.fixture
def save() -> Callable[..., Path]:
    """``save_model(folder, family, **changes to the configuration)``."""
    return save_model
