"""Models whose layers are not alike: some do not attend, or heads differ in number."""

from tokenarium.backend.models import capabilities
from tokenarium.backend.models.layer_kinds import layer_kinds
from tokenarium.backend.models.loaded import LoadedModel


def layers_apart(loaded: LoadedModel) -> list[str]:
    """Return in words which layers have no attention, keys of others, or fewer heads."""
    layout = capabilities.layers(loaded)
    heads = layout.heads
    kinds = layer_kinds(loaded.model.config)
    others: dict[str, list[int]] = {}
    for layer, (kind, own) in enumerate(zip(kinds, heads, strict=True)):
        if own is None:
            others.setdefault(kind, []).append(layer)
    words = [
        f"layers {', '.join(map(str, layers))} are of kind {kind}: they have no attention weights, "
        "keys or values, so their cells stay empty"
        for kind, layers in others.items()
    ]
    sharing: dict[int, list[int]] = {}
    for layer, of in enumerate(layout.shared_from):
        if of is not None:
            sharing.setdefault(of, []).append(layer)
    words += [
        f"layers {', '.join(map(str, layers))} make no keys and values of their own: they read "
        f"those of layer {of}"
        for of, layers in sharing.items()
    ]
    counts = sorted({own for own in heads if own})
    if len(counts) > 1:
        each = " or ".join(f"{queries} on {groups}" for queries, groups in counts)
        words.append(
            f"layers have {each} query and key-value heads: cells of heads that a layer does not "
            "have stay empty"
        )
    return words


def cached_apart(loaded: LoadedModel) -> list[str]:
    """Say of a cache what it does where layers read the keys of others."""
    if not any(of is not None for of in capabilities.layers(loaded).shared_from):
        return []
    return [
        "the model keeps shared keys and values once; here a policy acts on them in each layer "
        "that reads them, and bytes count them there again"
    ]


def refuse_uneven(loaded: LoadedModel, what: str) -> None:
    """Refuse what compares the same heads in every layer.

    Args:
        what: in words, such as "a probe of repeated tokens".
    Raises:
        ValueError: saying how the layers differ.
    """
    layout = capabilities.layers(loaded)
    if layout.alike:
        return
    without = [layer for layer, own in enumerate(layout.heads) if own is None]
    how = f"its layers {without} do not attend" if without else "its layers differ in heads"
    raise ValueError(
        f"{what} needs attention with the same heads in every layer, and {loaded.name} has others: "
        f"{how}. Choose another model, such as a Llama"
    )
