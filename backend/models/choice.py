"""Which layers and heads of a model are meant, checked against what it has."""


def refuse_above(name: str, value: int, count: int) -> None:
    """Refuse a layer or head that the model does not have.

    Raises:
        ValueError: naming the range.
    """
    if value >= count:
        raise ValueError(
            f"{name}={value} is not below the model's {count}: choose 0 to {count - 1}"
        )


def check_head(layer: int, head: int, layers: int, heads: int) -> None:
    """Refuse a head that the model does not have.

    Raises:
        ValueError: naming what is out of range, and the range.
    """
    refuse_above("layer", layer, layers)
    refuse_above("head", head, heads)


def chosen_layers(asked: tuple[int, ...], layers: int) -> tuple[int, ...]:
    """Return the layers asked for, all where none is.

    Raises:
        ValueError: naming the layer that the model does not have.
    """
    for layer in asked:
        if layer >= layers:
            raise ValueError(
                f"layers={list(asked)} names layer {layer}, but the model has {layers}: choose "
                f"from 0 to {layers - 1}"
            )
    return tuple(sorted(set(asked))) or tuple(range(layers))
