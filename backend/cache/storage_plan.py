"""How older entries are stored, in numbers; free of torch."""

from dataclasses import dataclass

_SCALES, _GROUP_NUMBER, _CHANNEL_NUMBER = 4, 4, 8
_LENGTH, _PLACE = 4, 4


@dataclass(frozen=True)
class StoragePlan:
    """How older entries are stored; what several forms of a recipe ask for together."""

    newest: int
    """Newest entries of a head that stay whole; up to ``together`` - 1 more do."""
    together: int = 0
    """Entries that are packed at a time, and numbers that share a scale; 0 packs those of the
    prompt only."""
    channels: int | None = None
    """Channels of a key that are kept, C; None for all."""
    bits: int | None = None
    """Bits of a number; None leaves numbers as they are."""
    apart: float | None = None
    """Share of older entries that stay whole where two layers share directions; None where they do
    not."""
    between: float = 0.0
    """Where such a direction lies: 0 is the lower layer's, 1 the upper one's."""

    def combined(self, later: "StoragePlan") -> "StoragePlan":
        """Return both: thinned first, then in fewer bits."""
        return StoragePlan(
            max(self.newest, later.newest),
            max(self.together, later.together),
            self.channels if later.channels is None else later.channels,
            later.bits or self.bits,
        )

    def at_once(self, count: int) -> int:
        """Return how many of a head's ``count`` whole entries are packed."""
        old = max(0, count - self.newest)
        return old // self.together * self.together if self.together else old

    def packed_bytes(self, head_size: int, number_bytes: int) -> int:
        """Return the bytes of one packed entry in a KV head, its position not counted."""
        channels = head_size if self.channels is None else self.channels
        if self.bits is None:
            return (channels + head_size) * number_bytes
        parts = sum(-(-size * self.bits // 8) for size in (channels, head_size))
        return parts + _SCALES * -(-head_size // self.together) + _GROUP_NUMBER

    def group_bytes(self, head_size: int) -> int:
        """Return the bytes of the keys' scales of one group of tokens in a KV head."""
        return 0 if self.bits is None else _SCALES * (self.channels or head_size)

    def whole(self, old: int) -> int:
        """Return how many of a head's ``old`` entries stay whole where layers share directions."""
        return round((self.apart or 0) * old)

    def paired_bytes(self, old: int, head_size: int, number_bytes: int) -> int:
        """Return the bytes of a head's ``old`` entries in one layer of a pair.

        Both layers have lengths of keys and values and what stays whole; of directions and of the
        numbers of what stays whole, one has those of the keys, the other those of the values.
        """
        directions = old * head_size * number_bytes
        whole = self.whole(old)
        return directions + 2 * _LENGTH * old + whole * (2 * head_size * number_bytes + _PLACE)

    def channel_bytes(self) -> int:
        """Return the bytes that say which channels of a KV head are kept."""
        return _CHANNEL_NUMBER * (self.channels or 0)
