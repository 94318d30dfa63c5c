"""The log probability of a token with units of the text before it changed."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.attribution.attributor import Change
from tokenarium.backend.attribution.reader import Reader, ZeroingValues
from tokenarium.backend.attribution.replacing import replacements
from tokenarium.backend.attribution.rounded import Products
from tokenarium.backend.attribution.target import Target
from tokenarium.backend.attribution.units import Unit
from tokenarium.backend.models.loaded import LoadedModel

Flags = NDArray[np.bool_]
READ_AGAIN = 4
"""Changed texts that are read in both precisions, to say how far these are apart."""


class Game:
    """What a set of units is worth: v(S) = ln p(target | the text with only the units S as is).

    With a token to compare with, v(S) = ln p(target) - ln p(other). Each set is read once.

    Args:
        loaded: nobody else uses it meanwhile.
        ids: the P tokens before the target.
        units: among them.
        make_target: from the logits [V] after ``ids``, what is explained.
        seed: of everything that is drawn.
        report: called with what is done and how far, for each pass; raises to stop.
        products: with which changed texts are read faster, and less exactly; None for neither.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        ids: Sequence[int],
        units: Sequence[Unit],
        make_target: Callable[[Callable[[], Tensor]], Target],
        seed: int,
        report: Callable[[str, int, int], None],
        products: Products | None = None,
    ) -> None:
        self.loaded, self.ids, self.units, self.seed = loaded, list(ids), tuple(units), seed
        self.report = report
        self._rounds = products is not None
        self.reader = Reader(
            loaded, ids, lambda done, total: report("changed texts", done, total), products
        )
        self.target = make_target(lambda: self.reader.logits)
        self.random = np.random.default_rng(seed)
        self.notes: dict[str, None] = {}
        """What must be known of the values, each once."""
        self._known: dict[tuple[Change, int, bytes], float] = {}
        self._replacements: dict[int, NDArray[np.int64]] = {}

    @property
    def whole(self) -> float:
        """v of all units: the text as it is."""
        return float(self.target.log_probability(self.reader.logits))

    def values(self, kept: Flags, change: Change = "delete", draw: int = 0) -> NDArray[np.float64]:
        """Return [N] what each set of units is worth.

        Args:
            kept: [N, U] true for the units that stay as they are.
            change: what becomes of the others.
            draw: which replacements, from 0; of ``replace`` only.
        """
        keys = [(change, draw, row.tobytes()) for row in np.ascontiguousarray(kept)]
        new = {key: place for place, key in enumerate(keys) if key not in self._known}
        if new:
            rows = kept[list(new.values())]
            for key, value in zip(new, self._measured(rows, change, draw), strict=True):
                self._known[key] = float(value)
        return np.array([self._known[key] for key in keys])

    def embedded(self) -> Tensor:
        """Return the embeddings [P, D] of the text."""
        table: torch.nn.Module = self.loaded.model.get_input_embeddings()
        found: Tensor = table(torch.tensor(self.ids, device=self.loaded.device))
        return found

    def by_unit(self, per_token: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return [U] the sums over each unit's tokens of a number per token [P]."""
        return np.array([per_token[unit.start : unit.stop].sum() for unit in self.units])

    def _measured(self, kept: Flags, change: Change, draw: int) -> NDArray[np.float64]:
        stays = self._stays(kept)
        found = self._read(stays, change, draw, rounds=True)
        if self._rounds:
            self._rounds = False
            self._say_error(stays, change, draw, found)
        return found

    def replaced(self, kept: Flags, draws: Sequence[int]) -> NDArray[np.float64]:
        """Return [N] the values of sets whose other units are replaced, each by its own draw."""
        return self._of(self.reader.read(self._replaced_texts(self._stays(kept), draws)))

    def ranks(self, kept: Flags, draws: Sequence[int]) -> NDArray[np.int64]:
        """Return [N] how many tokens are likelier than the target where others are replaced.

        Against another token, whether that one is: 0 or the size of the vocabulary.
        """
        logits = self.reader.read(self._replaced_texts(self._stays(kept), draws))
        own = logits[:, self.target.token, None]
        if self.target.against is not None:
            other = logits[:, self.target.against]
            return np.where((other > own[:, 0]).cpu().numpy(), logits.shape[-1], 0)
        found: NDArray[np.int64] = (logits > own).sum(-1).cpu().numpy()
        return found

    def _read(
        self, stays: Flags, change: Change, draw: int, *, rounds: bool
    ) -> NDArray[np.float64]:
        if change in ("mask", "zero_value"):
            hidden = torch.as_tensor(~stays, device=self.loaded.device)
            hiding = ZeroingValues if change == "zero_value" else None
            return self._of(self.reader.read_hidden(hidden, rounds, hiding))
        if change == "delete":
            return self._of(self.reader.read([self._left(row) for row in stays], rounds))
        texts = self._replaced_texts(stays, [draw] * len(stays))
        return self._of(self.reader.read(texts, rounds))

    def _of(self, logits: Tensor) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self.target.log_probability(logits).cpu().numpy()
        return found

    def _stays(self, kept: Flags) -> Flags:
        """Return [N, P] the tokens that stay, of the units that do."""
        stays = np.ones((len(kept), len(self.ids)), bool)
        for number, unit in enumerate(self.units):
            stays[:, unit.start : unit.stop] = kept[:, number, None]
        return stays

    def _replaced_texts(self, stays: Flags, draws: Sequence[int]) -> list[list[int]]:
        other = np.stack([self._replacement(draw) for draw in draws])
        texts: list[list[int]] = np.where(stays, np.array(self.ids), other).tolist()
        return texts

    def _say_error(
        self, stays: Flags, change: Change, draw: int, found: NDArray[np.float64]
    ) -> None:
        """Read some of the texts again without rounding, and note the difference."""
        places = np.unique(np.linspace(0, len(stays) - 1, READ_AGAIN).round().astype(int))
        exact = self._read(stays[places], change, draw, rounds=False)
        error = float(np.sqrt(((found[places] - exact) ** 2).mean()))
        self.notes[
            f"products rounded to bfloat16: {len(places)} of the changed texts read again in "
            f"float32 differ by {error:.2g} nats (root mean square)"
        ] = None

    def _left(self, stays: Flags) -> list[int]:
        """Return the ids that stay; where none does, the token that texts begin with."""
        left = [key for key, stay in zip(self.ids, stays, strict=True) if stay]
        if left:
            return left
        tokenizer = self.loaded.tokenizer
        name = "bos_token" if tokenizer.bos_token_id is not None else "eos_token"
        start = getattr(tokenizer, f"{name}_id")
        if start is None:
            raise ValueError(
                f"nothing is left of the text, and the tokenizer of {self.loaded.name} has no "
                "token to begin with: set add_bos, or choose smaller units"
            )
        self.notes[f"a text of which nothing is left is read as {getattr(tokenizer, name)}"] = None
        return [int(start)]

    def prepare_replacements(self, count: int) -> None:
        """Draw the first ``count`` replacements in one reading of the text."""
        draws = [draw for draw in range(count) if draw not in self._replacements]
        if draws:
            drawn = replacements(self.loaded, self.ids, self.seed, draws)
            self._replacements |= dict(zip(draws, drawn, strict=True))

    def _replacement(self, draw: int) -> NDArray[np.int64]:
        """Return [P] another token for each, drawn from what the model expects there."""
        if draw not in self._replacements:
            (self._replacements[draw],) = replacements(self.loaded, self.ids, self.seed, [draw])
        return self._replacements[draw]
