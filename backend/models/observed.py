"""A transformers model that somebody loaded, made observable for as long as a block lasts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from tokenarium.backend.models import capabilities
from tokenarium.backend.models.context import context_of
from tokenarium.backend.models.interface import asks_interface, watch
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.refusal import ModelRefused
from tokenarium.backend.models.structure import (
    find_structure,
    has_computed_positions,
)
from tokenarium.backend.observe import NAME, install
from tokenarium.backend.observe.finite_logits import keep_finite
from tokenarium.backend.observe.fresh_rotary import keep_fresh


@contextmanager
def observed(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast | None = None
) -> Iterator[LoadedModel]:
    """Let a model's attention go through the instruments, and put it back afterwards.

    The first time, a few tokens are read both ways: the logits must be equal.

    Args:
        model: in evaluation mode; nothing else uses it meanwhile.
        tokenizer: of the model; only what reads or writes text needs it.
    Raises:
        ModelRefused: if the model cannot be observed; the message says why.
        ValueError: if the model is in training mode.
    """
    name = getattr(model.config, "name_or_path", "") or type(model).__name__
    if model.training:
        raise ValueError(f"model={name!r} is in training mode: call model.eval() first")
    install()
    before = model.config._attn_implementation  # noqa: SLF001 - transformers offers no reader
    structure = find_structure(model)
    if asks_interface(model):
        model.set_attn_implementation(NAME)
    leave = watch(model, structure.layers)
    handles = [*keep_fresh(model), *keep_finite(cast(nn.Module, model.get_output_embeddings()))]
    try:
        loaded = LoadedModel(
            name=name,
            model=model,
            tokenizer=cast(PreTrainedTokenizerFast, tokenizer),
            device=model.device,
            dtype=model.dtype,
            context=context_of(model.config),
            layers=structure.layers,
            final_norm=structure.final_norm,
            unembed=structure.unembed,
            fingerprint="",
            reads_past_context=has_computed_positions(model),
        )
        verdict = capabilities.verdict(loaded)
        if not verdict.supported:
            raise ModelRefused(f"{name} cannot be observed: {verdict.reason}")
        yield loaded
    finally:
        for handle in handles:
            handle.remove()
        leave()
        if asks_interface(model):
            model.set_attn_implementation(before)
