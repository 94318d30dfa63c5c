"""Why a model is not used."""


class ModelRefused(ValueError):  # noqa: N818
    """A model cannot be observed here; the message says what, why, and what to do instead."""


class DoesNotFit(ModelRefused):
    """A model needs more memory than is free; unloading another may help."""
