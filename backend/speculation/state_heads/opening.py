"""Which head a drafter over the target's states gets."""

from collections.abc import Callable

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.state_heads.adapter import AdapterHead
from tokenarium.backend.speculation.state_heads.dflash import DFlashHead
from tokenarium.backend.speculation.state_heads.eagle3 import Eagle3Head
from tokenarium.backend.speculation.state_heads.mtp import MTPHead
from tokenarium.backend.speculation.state_heads.own import OwnHead
from tokenarium.backend.speculation.state_heads.state_head import TargetHead

_HEADS: dict[str, Callable[[LoadedModel], TargetHead]] = {
    "tokenarium": OwnHead,
    "adapter": AdapterHead,
    "eagle3": Eagle3Head,
    "mtp": MTPHead,
    "dflash": DFlashHead,
}


def open_head(loaded: LoadedModel, kind: str) -> TargetHead:
    """Return the head of a model, of the kind that a drafter declares.

    Raises:
        ValueError: if there is none, or it has what is not read here.
    """
    return _HEADS[kind](loaded)
