"""Whether a configuration and the weights beside it belong together, tensor by tensor."""

import re
from collections.abc import Collection
from typing import Any

from transformers import PreTrainedModel

from tokenarium.backend.models.refusal import ModelRefused

_OTHER_HEAD = re.compile(r"For\w*(Classification|QuestionAnswering|MultipleChoice)|Reward")
_COMPUTED = re.compile(
    r"(inv_freq|masked_bias|position_ids|embed_positions\.weights|\.(attn|attention)\.bias)$"
)
"""What older files store although it is computed: rotary frequencies, positions, causal masks."""
_DRAFT_LAYERS = re.compile(r"(^|[._])(mtp|nextn)")
_LAYER = re.compile(r"([^.]+)\.(?:layers|h|blocks)\.(\d+)\.")
"""A tensor of a layer: what holds the layers, and the layer's number."""


def refuse_other_head(architectures: Any, name: str) -> None:
    """Refuse a model that was saved with another head than one for the next token.

    Args:
        architectures: of config.json; anything.
        name: of the model.
    Raises:
        ModelRefused: naming the architecture.
    """
    listed = architectures if isinstance(architectures, list) else ()
    named = [each for each in listed if isinstance(each, str)]
    if named and all(map(_OTHER_HEAD.search, named)):
        raise ModelRefused(
            f"{name} is a classification or reward model ({named[0]:.60}), whose head predicts no "
            "next token: choose the language model it was made from"
        )


def refuse_missing(missing: Collection[str], model: PreTrainedModel, name: str) -> None:
    """Refuse a model with tensors that its file lacks, which would be random.

    Raises:
        ModelRefused: naming one of them, and a head by what it is.
    """
    if not missing:
        return
    head = model.get_output_embeddings()
    own = {
        f"{path}.{tensor}"
        for path, module in model.named_modules()
        if module is head
        for tensor, _ in module.named_parameters()
    }
    first = min(missing)
    if set(missing) <= own:
        raise ModelRefused(
            f"{name} is a base model without a head for the next token ({first} is not in its "
            "file): choose the version that was saved as a causal language model"
        )
    raise ModelRefused(
        f"{name} lacks {len(missing)} of its tensors, such as {first}: config.json and the weights "
        "do not belong together, download both again"
    )


def left_out(unexpected: Collection[str], model: PreTrainedModel, name: str) -> tuple[str, ...]:
    """Return in words what of a file is no part of the model that reads the text.

    Args:
        unexpected: tensors of the file that its configuration has no place for.
        model: as the configuration describes it.
        name: of the model.
    Raises:
        ModelRefused: if one of them belongs to the layers or the head, so that the model would
            compute something else without it.
    """
    others = sorted(each for each in unexpected if not _COMPUTED.search(each))
    drafting = [each for each in others if _DRAFT_LAYERS.search(each)]
    others = [each for each in others if each not in drafting]
    count = int(model.config.get_text_config().num_hidden_layers)
    # Parts that read images have layers too, which are held by something of another name.
    holders = {found[1] for each in model.state_dict() if (found := _LAYER.search(each))}
    layers = [found for each in others if (found := _LAYER.search(each)) and found[1] in holders]
    numbers = [int(found[2]) for found in layers]
    homes = _homes(model)
    if most := max((number for number in numbers if number >= count), default=0):
        raise ModelRefused(
            f"{name} has weights of {most + 1} layers, but its config.json says "
            f"num_hidden_layers={count}: the two do not belong together, download both again"
        )
    if inside := [each for each in others if each.startswith(homes)]:
        raise ModelRefused(
            f"{name} has {len(inside)} tensors that its config.json has no place for, such as "
            f"{inside[0]}, and would compute something else without them: download both again"
        )
    words = []
    if drafting:
        words.append("layers for multi-token prediction are in the file and are not used")
    if others:
        words.append(
            f"{len(others)} tensors of the file are no part of the language model and are not "
            f"used, such as {others[0]}"
        )
    return tuple(words)


def _homes(model: PreTrainedModel) -> tuple[str, ...]:
    """Return the beginnings of names of tensors of the decoder and of the head."""
    parts = (model.get_decoder(), model.get_output_embeddings(), model.base_model)
    return tuple(
        f"{path}."
        for path, module in model.named_modules()
        if path and any(module is part for part in parts)
    )
