"""Which layers and heads an intervention is asked to change, checked against the model."""


def check_head(layer: int, head: int, layers: int, heads: int) -> None:
    """Refuse a head that the model does not have.

    Raises:
        ValueError: naming what is out of range, and the range.
    """
    for name, value, count in (("layer", layer, layers), ("head", head, heads)):
        if value >= count:
            raise ValueError(
                f"{name}={value} is not below the model's {count}: choose 0 to {count - 1}"
            )


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
