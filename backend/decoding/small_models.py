"""The small models that lanes read beside their own: ones with the same tokens, or first layers."""

from collections.abc import Callable, Mapping, Sequence

from tokenarium.backend.decoding.small_model import SmallModel
from tokenarium.backend.decoding.stepper import Stepper
from tokenarium.backend.decoding.strategy import Strategy
from tokenarium.backend.decoding.watching_reader import WatchingReader
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.vocabulary import compare


class SmallModels:
    """One stepper for each small model that strategies name.

    Args:
        strategies: all lanes.
        loaded: the model whose text it is.
        beside: models by name, those that strategies name among them.
        capacity: most tokens that are read.
        check: called in every layer; raises to stop.

    Raises: ValueError where a small model does not have the tokens of the model.
    """

    def __init__(
        self,
        strategies: Sequence[Strategy],
        loaded: LoadedModel,
        beside: Mapping[str, LoadedModel],
        capacity: int,
        check: Callable[[], None],
    ) -> None:
        self._loaded, self._beside = loaded, beside
        self._capacity, self._check = capacity, check
        self._steppers: dict[SmallModel, Stepper] = {}
        titles: dict[SmallModel, list[str]] = {}
        for strategy in strategies:
            if (small := strategy.small) is not None:
                titles.setdefault(small, []).append(strategy.title)
                self._steppers[small] = self._steppers.get(small) or self._made(small)
        self.notes = tuple(self._words(small, known) for small, known in titles.items())
        """Which model stands for the small one, as sentences."""

    def stepper(self, strategy: Strategy) -> Stepper | None:
        """Return what reads with a strategy's small model, nothing spent; None without one."""
        if strategy.small is None:
            return None
        found = self._steppers[strategy.small]
        found.restart()
        return found

    def _made(self, small: SmallModel) -> Stepper:
        loaded = self._loaded
        if not small.name:
            layers = small.layers(len(loaded.layers))
            reader = WatchingReader(loaded, self._capacity, self._check, layers=layers)
            return Stepper(reader, loaded.unembed)
        other = self._beside[small.name]
        shared = compare(loaded, other)
        if shared.agreement != "equal":
            raise ValueError(
                f"small_model={small.name!r} and {loaded.name} do not have the same tokens "
                f"({shared.reason}): choose another, or leave it empty for the first layers of "
                f"{loaded.name}"
            )
        return Stepper(WatchingReader(other, self._capacity, self._check), other.unembed)

    def _words(self, small: SmallModel, titles: Sequence[str]) -> str:
        who, loaded = ", ".join(titles), self._loaded
        if small.name:
            return f"the small model of {who} is {small.name}"
        layers, count = small.layers(len(loaded.layers)), len(loaded.layers)
        if layers is None:
            return f"{who} reads the same new tokens after another prompt, in passes of its own"
        return (
            f"no small model is named for {who}: the first {layers} of the {count} layers of "
            f"{loaded.name} stand for one"
        )
