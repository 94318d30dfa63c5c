"""Attention that hands every token's own value through, so that no token depends on another."""

from torch import Tensor

from tokenarium.backend.observe import AttentionCall, Recorder


class ValuesThrough(Recorder):
    """Keeps the keys of every layer that attends, in the order in which they were read."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[Tensor] = []
        self.biased = False
        """Whether some layer adds a bias to the logits of each key."""

    def attend(self, call: AttentionCall) -> Tensor:
        """Return each query its own value, in place of a weighted mean."""
        self.keys.append(call.k[0])
        self.biased |= call.key_bias is not None
        groups = call.q.shape[1] // call.k.shape[1]
        return call.v.repeat_interleave(groups, 1).transpose(1, 2).contiguous()
