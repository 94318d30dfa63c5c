"""How the attention of a model is observed: by transformers' interface, or in its own code."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from tokenarium.backend.models.layer_kinds import attention_layers
from tokenarium.backend.models.refusal import ModelRefused
from tokenarium.backend.models.windows import windows_of
from tokenarium.backend.observe import NAME
from tokenarium.backend.observe.eager_attention import Undo, number_layers, observe_layers
from tokenarium.backend.observe.streams import merge_streams


def implementation_of(model: PreTrainedModel | type | tuple[type, ...]) -> str:
    """Return the ``attn_implementation`` with which a model can be observed.

    One whose attention asks transformers' interface is given this project's; another computes its
    attention itself, and that is watched.
    """
    given: Any = model[0] if isinstance(model, tuple) else model  # Some types have several classes
    given = given if isinstance(given, type) else type(given)
    if given._can_set_attn_implementation():  # noqa: SLF001 - transformers offers no other way
        return NAME
    return "sdpa" if given._supports_sdpa else "eager"  # noqa: SLF001


@contextmanager
def refusing_own_table(name: str) -> Iterator[None]:
    """Refuse a model that looks its attention up in a table of its own (GIT).

    Raises:
        ModelRefused: if this project's attention is not in such a table.
    """
    try:
        yield
    except KeyError as error:
        if error.args != (NAME,):
            raise
        raise ModelRefused(
            f"{name} chooses its attention from a table of its own, so that it cannot be observed: "
            "choose another architecture, such as llama, qwen3, gemma3, gpt2 or gpt_neox"
        ) from error


def asks_interface(model: PreTrainedModel) -> bool:
    """Return whether a model's attention asks transformers' interface."""
    return implementation_of(model) == NAME


def watch(model: PreTrainedModel, layers: tuple[nn.Module, ...]) -> Undo:
    """Let recorders see the attention of a model that computes it itself, or shares it.

    Of several residual streams ``observe.streams`` merges what its layers hand on.

    Returns: what puts the layers back as they were.
    """
    decoder: Any = model
    forget = merge_streams(decoder.get_decoder(), layers)
    if asks_interface(model):
        leave = number_layers(layers)
    else:
        leave = observe_layers(layers, _windows(model.config))

    def undo() -> None:
        forget()
        leave()

    return undo


def _windows(config: PretrainedConfig) -> list[int | None]:
    """Return the window of every layer, None where it sees all or does not attend."""
    found = dict(zip(attention_layers(config), windows_of(config), strict=True))
    return [found.get(layer) for layer in range(int(config.get_text_config().num_hidden_layers))]
