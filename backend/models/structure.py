"""Where a causal language model keeps its layers, its final norm and its way to the logits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import MODEL_FOR_MASKED_LM_MAPPING, PreTrainedModel

from tokenarium.backend.models.refusal import ModelRefused
from tokenarium.backend.observe.finite_logits import refuse_overflow

_LAYERS = ("layers", "h", "blocks")
_FINAL_NORMS = (
    *("norm", "ln_f", "final_layer_norm", "final_layernorm", "final_norm", "norm_f"),
    *("embedding_norm", "layer_norm", "layernorm"),  # LFM2; XGLM and BioGPT; CTRL
)


@dataclass(frozen=True)
class Structure:
    """The parts of a model, as ``LoadedModel`` holds them."""

    layers: tuple[nn.Module, ...]
    final_norm: nn.Module | None
    unembed: Callable[[Tensor], Tensor]


def find_structure(model: PreTrainedModel) -> Structure:
    """Find the parts by the names that architectures use; the load-time check proves them right.

    Raises: ModelRefused where they are not found.
    """
    parts: Any = model
    count = int(model.config.get_text_config().num_hidden_layers)
    homes = (parts.get_decoder(), getattr(model, "model", None), model.base_model)
    decoder, layers = next(
        (
            (home, found)
            for home in homes
            for name in _LAYERS
            if isinstance(found := getattr(home, name, None), nn.ModuleList) and len(found) == count
        ),
        (None, None),
    )
    head = parts.get_output_embeddings()
    if decoder is None or layers is None or head is None:
        decodes = getattr(model.config, "is_decoder", False) is True
        if type(model.config) in MODEL_FOR_MASKED_LM_MAPPING and not decodes:
            raise ModelRefused(
                f"{type(model).__name__} is an encoder, made to read both sides of a masked token: "
                "choose a causal language model, such as a Llama"
            )
        lists = [getattr(home, name, None) for home in homes for name in _LAYERS]
        if other := [len(each) for each in lists if isinstance(each, nn.ModuleList)]:
            raise ModelRefused(
                f"{type(model).__name__} has {max(other)} layers where its configuration counts "
                f"{count}: some attend or are gone through more than once, which is not understood "
                "here, so choose another architecture"
            )
        part = f"list of {count} layers" if layers is None else "unembedding"
        raise ModelRefused(
            f"{type(model).__name__} has no {part} where causal language models keep theirs: "
            "choose another architecture"
        )
    norms = (getattr(decoder, name, None) for name in _FINAL_NORMS)
    final_norm = next((norm for norm in norms if isinstance(norm, nn.Module)), None)
    return Structure(tuple(layers), final_norm, _unembedding(model, decoder, head))


def has_computed_positions(model: PreTrainedModel) -> bool:
    """Return whether positions are rotary: computed, with no table that ends somewhere."""
    return any(name.endswith("inv_freq") for name, _ in model.named_buffers())


def embedding_entries(model: PreTrainedModel) -> int:
    """Return how many token ids the model has an embedding for."""
    table: Any = model.get_input_embeddings()
    return int(table.weight.shape[0])


def _unembedding(
    model: PreTrainedModel, decoder: nn.Module, head: nn.Module
) -> Callable[[Tensor], Tensor]:
    config = model.config.get_text_config()
    narrow = getattr(decoder, "project_out", None)  # OPT-350m: embeddings narrower than layers
    # Gemma 2, arXiv:2408.00118; RecurrentGemma
    caps = (getattr(config, name, None) for name in ("final_logit_softcapping", "logits_soft_cap"))
    softcap = next((cap for cap in caps if cap), None)
    between = getattr(model, "lm_head", head)  # ModernBERT's decoder: a layer before the matrix
    scale = getattr(config, "logit_scale", None) or 1.0  # Cohere
    scale /= getattr(config, "logits_scaling", None) or 1.0  # Granite
    scale *= getattr(config, "lm_head_multiplier", None) or 1.0  # Falcon-H1

    def unembed(hidden: Tensor) -> Tensor:
        # What the model itself returns is narrow already; a layer's stream is not.
        if narrow is not None and hidden.shape[-1] == narrow.in_features:
            hidden = narrow(hidden)
        logits: Tensor = head(hidden if between is head else between(hidden))
        if scale != 1.0:
            logits = logits * scale
        if softcap is not None:
            logits = torch.tanh(logits / softcap) * softcap
        refuse_overflow(logits)
        return logits

    return unembed
