"""Tiny GGUF files of random weights, written by the ``gguf`` package."""

from pathlib import Path

import gguf
import numpy as np
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel

from tests.models.conftest import byte_tokenizer

SIZES = {
    "vocab_size": 264,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "tie_word_embeddings": False,
}
NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def model_of(**changes: object) -> PreTrainedModel:
    """Return a random Llama model."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING["llama"](**SIZES | changes))
    for weights in model.parameters():
        weights.data += torch.randn_like(weights) * 0.1
    return model.eval()


def write(
    file: Path,
    model: PreTrainedModel,
    quantised: gguf.GGMLQuantizationType | None = None,
    architecture: str = "llama",
    **more: object,
) -> Path:
    """Write a model as llama.cpp has it: other names, rows of queries and keys interleaved."""
    config = model.config
    out = gguf.GGUFWriter(file, architecture)
    out.add_context_length(config.max_position_embeddings)
    out.add_block_count(config.num_hidden_layers)
    out.add_embedding_length(config.hidden_size)
    out.add_feed_forward_length(config.intermediate_size)
    out.add_head_count(config.num_attention_heads)
    out.add_head_count_kv(config.num_key_value_heads)
    out.add_layer_norm_rms_eps(config.rms_norm_eps)
    out.add_rope_dimension_count(config.head_dim)
    out.add_rope_freq_base(10_000.0)
    out.add_vocab_size(config.vocab_size)
    for key, value in more.items():
        out.add_string(key.replace("__", "."), str(value))
    _write_tokenizer(out)
    for name, weights in model.state_dict().items():
        _write_tensor(out, name, weights.numpy(), config, quantised)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return file


def _write_tokenizer(out: gguf.GGUFWriter) -> None:
    tokenizer = byte_tokenizer()
    ordered = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    out.add_tokenizer_model("gpt2")
    out.add_token_list([token for token, _ in ordered])
    out.add_token_types([3 if token.startswith("<|") else 1 for token, _ in ordered])
    out.add_token_merges(["h e", "l l", "Ġ w", "he ll", "hell o", "Ã ©"])
    out.add_bos_token_id(0)
    out.add_eos_token_id(1)


def _write_tensor(out, name, weights, config, quantised) -> None:
    stem, _, suffix = name.rpartition(".")
    if stem.startswith("model.layers."):
        number, _, part = stem.removeprefix("model.layers.").partition(".")
        target = f"blk.{number}.{NAMES[part]}.{suffix}"
    else:
        target = f"{NAMES[stem]}.{suffix}"
    rotated = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for part, heads in rotated.items():
        if part in target and weights.ndim == 2:
            halves = weights.reshape(heads, 2, -1, weights.shape[1])
            weights = halves.swapaxes(1, 2).reshape(weights.shape)
    if quantised is None or weights.ndim < 2:
        out.add_tensor(target, np.ascontiguousarray(weights))
    else:
        out.add_tensor(target, gguf.quantize(weights, quantised), raw_dtype=quantised)
