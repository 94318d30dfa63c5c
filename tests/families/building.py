"""A tiny random model of any causal type that the installed transformers knows."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    PretrainedConfig,
)

from tests.models.conftest import byte_tokenizer
from tokenarium.backend.models.image_text import text_alone

MOST_PARAMETERS = 100_000_000
"""Above, some size of a family is not among ``SIZES``: it is not built."""

SIZES: dict[str, Any] = {
    "vocab_size": 272,
    "hidden_size": 64,
    "n_embd": 64,
    "d_model": 64,
    "word_embed_proj_dim": 64,
    "intermediate_size": 96,
    "ffn_dim": 96,
    "n_inner": 96,
    "decoder_ffn_dim": 96,
    "encoder_ffn_dim": 96,
    "ffn_hidden_size": 96,
    "shared_expert_intermediate_size": 32,
    "moe_intermediate_size": 32,
    "shared_intermediate_size": 32,
    "num_hidden_layers": 4,
    "n_layer": 4,
    "n_layers": 4,
    "num_layers": 4,
    "decoder_layers": 4,
    "encoder_layers": 2,
    "num_attention_heads": 4,
    "n_head": 4,
    "n_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_attention_heads": 4,
    "attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "n_positions": 512,
    "max_seq_len": 512,
    "sliding_window": 16,
    "window_size": 16,
    "rotary_dim": 8,
    # Experts
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    # Low-rank attention
    "q_lora_rank": 32,
    "kv_lora_rank": 32,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
    "index_topk": 32,
    "index_n_heads": 2,
    "index_head_dim": 16,
    # Layers that are no attention
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "mamba_n_heads": 8,
    "mamba_d_head": 16,
    "mamba_d_state": 16,
    "mamba_n_groups": 1,
    "mamba_num_heads": 8,
    "mamba_head_dim": 16,
    "mamba_d_ssm": 64,
    "mamba_chunk_size": 16,
    "chunk_size": 16,
    "ssm_state_size": 16,
    "state_size": 16,
    "lru_width": 64,
    # Per-layer embeddings
    "vocab_size_per_layer_input": 272,
    "hidden_size_per_layer_input": 16,
}

OWN: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1, 3], "mamba_expand": 2},
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": 10_000.0}
            for kind in ("sliding_attention", "full_attention")
        },
    },
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10_000.0},
        "ffn_config": {"hidden_size": 64, "ffn_hidden_size": 96, "moe_top_k": 2},
    },
    "dots1": {"n_shared_experts": 1},
    "dots3_note_text": {"num_key_value_heads": 4},
    "falcon_h1": {"mamba_d_ssm": 128, "mamba_n_heads": 8, "mamba_d_head": 16},
    "gemma3n_text": {
        "num_kv_shared_layers": 2,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "activation_sparsity_pattern": [0.95, 0.95, 0.0, 0.0],
        "intermediate_size": [96] * 4,
        "laurel_rank": 8,
    },
    "gemma4_text": {
        "global_head_dim": 32,
        "num_global_key_value_heads": 2,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "num_kv_shared_layers": 2,
    },
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "granite": {"residual_multiplier": 0.5},
    "granitemoehybrid": {
        "layer_types": ["mamba", "attention"] * 2,
        "mamba_n_heads": 8,
        "mamba_expand": 2,
    },
    "jamba": {
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "use_mamba_kernels": False,
        "mamba_dt_rank": 8,
    },
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2, "full_attn_idxs": None},
    "mamba2": {"num_heads": 8, "head_dim": 16},
    "minimax": {"layer_types": ["linear_attention", "full_attention"] * 2, "block_size": 16},
    "nemotron_h": {"hybrid_override_pattern": "M*M*"},
    "olmo_hybrid": {"layer_types": ["linear_attention", "full_attention"] * 2},
    "opt": {"word_embed_proj_dim": 64},
    "phi3": {"pad_token_id": 0},
    "qwen3_5_moe_text": {"layer_types": ["linear_attention", "full_attention"] * 2},
    "qwen3_5_text": {"layer_types": ["linear_attention", "full_attention"] * 2},
    "qwen4_exp_text": {
        "layer_types": ["linear_attention", "indexed_attention"] * 2,
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 16,
        "indexer_budget": 32,
        "indexer_compress_ratio": 8,
        "hc_lowrank": 8,
        "ngram_vocab_size_base": 300,
        "split_ngram_parts": 2,
    },
    "qwen3_next": {"layer_types": ["linear_attention", "full_attention"] * 2},
    "reformer": {"is_decoder": True, "axial_pos_embds_dim": (16, 48), "axial_pos_shape": (16, 32)},
    "zaya": {"num_experts_per_tok": 1},
    "recurrent_gemma": {"block_types": ["recurrent", "attention"], "attention_window_size": 16},
    "zamba2": {"layers_block_type": ["mamba", "hybrid"] * 2},
}


def causal_types() -> list[str]:
    """Return every type that ``AutoModelForCausalLM`` takes."""
    return sorted(
        kind for kind in CONFIG_MAPPING if CONFIG_MAPPING[kind] in MODEL_FOR_CAUSAL_LM_MAPPING
    )


def small_config(family: str) -> PretrainedConfig:
    """Return the family's default configuration with every size made small."""
    return CONFIG_MAPPING[family](**_small(CONFIG_MAPPING[family]))


def _small(made: type[PretrainedConfig]) -> dict[str, Any]:
    """Return the fields that make a configuration small, those of its parts included."""
    default = made()
    parts = {name: part for name, part in made.sub_configs.items() if part is not AutoConfig}
    inner = {name: _small(part) for name, part in parts.items()}
    names = {name for name in SIZES if name in default.to_dict() or name in made.attribute_map}
    # Only one name of what an attribute map calls two: the other would be set twice.
    names -= {name for name in names if made.attribute_map.get(name) in names}
    sizes: dict[str, Any] = {name: SIZES[name] for name in names}
    if "qk_rope_head_dim" in sizes:  # low-rank attention: a key is made anew for every head
        sizes |= {"head_dim": SIZES["qk_rope_head_dim"], "num_key_value_heads": 4}
    own = OWN.get(made.model_type, {})
    kinds = default.to_dict().get("layer_types")
    if isinstance(kinds, list) and "layer_types" not in own:
        sizes["layer_types"] = _both_kinds(kinds)
    return {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 0} | sizes | inner | own


def _both_kinds(kinds: list[str]) -> list[str]:
    """Return four layers with every kind of the default, so that both sorts are tried."""
    distinct = list(dict.fromkeys(kinds))
    return (distinct * 4)[:4] if len(distinct) > 1 else distinct * 4


def build(family: str, folder: Path) -> Path:
    """Save a random model of ``family`` with a byte-level tokenizer.

    Raises: ValueError where the model would be too large, and whatever the family raises.
    """
    config = small_config(family)
    if text_alone(config) is not None:
        return _around_text(config, folder)
    with torch.device("meta"):
        planned = AutoModelForCausalLM.from_config(config)
    count = sum(weights.numel() for weights in planned.parameters())
    if count > MOST_PARAMETERS:
        raise ValueError(f"{count:,} parameters with the sizes known here")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    for name, weights in model.named_parameters():
        # Wide weights, so that what attention does shows in the logits.
        if weights.dim() > 1 and weights.is_floating_point() and "A_log" not in name:
            weights.data = torch.randn_like(weights) * (1.3 / weights.shape[-1] ** 0.5)
        if name.endswith("correct_output_scale"):  # Gemma 3n: at 0 tokens are not looked up again
            weights.data = torch.randn_like(weights)
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def _around_text(config: PretrainedConfig, folder: Path) -> Path:
    """Save a whole model that cannot be built here: its text part, and something that sees."""
    with TemporaryDirectory() as place:
        text = build(config.get_text_config().model_type, Path(place) / "text")
        weights = load_file(text / "model.safetensors")
        config.text_config = type(config.get_text_config()).from_pretrained(text)
    named = {key.replace("model.", "model.language_model.", 1): own for key, own in weights.items()}
    named["model.vision_tower.stem.weight"] = torch.ones(2)
    config.architectures = ["Gemma3nForConditionalGeneration"]
    config.save_pretrained(folder)
    save_file(named, folder / "model.safetensors", metadata={"format": "pt"})
    byte_tokenizer().save_pretrained(folder)
    return folder
