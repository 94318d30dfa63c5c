"""What a policy is given of one layer: plain numbers, its own state, and what it declared."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from tokenarium.backend.cache.head_roles import HeadRoles
from tokenarium.backend.cache.kept_indices import repeated
from tokenarium.backend.cache.layer_cache import LayerCache
from tokenarium.backend.cache.merging import MERGED
from tokenarium.backend.cache.terms import Need, Reduction
from tokenarium.backend.observe.rotary import Rotary
from tokenarium.kernels.attention_stats import Rows

_OF_THE_CACHE = frozenset({"keys", "values", "positions", "moved", "unmoved", MERGED})
"""Names under which a layer's storage holds what is not the policy's."""


class UndeclaredNeedError(RuntimeError):
    """A policy read something that its ``needs`` do not name."""


@dataclass(frozen=True)
class SearchLevel:
    """What one level of a search looked at: n ranges of entries of each KV head."""

    starts: Tensor
    """[G, n] first entry of each range."""
    stops: Tensor
    """[G, n] the entry after its last; equal to its start where there is no such range."""
    scores: Tensor
    """[G, n] what it was judged by; higher is better."""
    opened: Tensor
    """[G, n] bool: whether the search went on inside, or what it holds is read."""


@dataclass(frozen=True)
class Choice:
    """Which entries of a layer are kept, or read at a step."""

    indices: Sequence[Tensor]
    """G ascending indices [n_g], one of each KV head."""
    scores: Tensor | None = None
    """[G, S] what all entries were chosen by, where it was done by scores."""
    into: Sequence[Tensor] | None = None
    """G indices [S_g]: the kept entry that each entry becomes a part of, itself where it is kept,
    -1 where it is dropped; None where entries are kept or dropped and nothing else."""
    values: Sequence[Tensor] | None = None
    """G new values [S_g, Dv] of all entries, where dropped ones are merged into kept ones' values;
    None leaves them."""
    block: int = 1
    """Consecutive entries that an index stands for; more than one where blocks are read."""
    levels: "Sequence[SearchLevel]" = ()
    """What was looked at to find them, the coarsest level first; none where nothing is searched."""
    products: Tensor | None = None
    """[H, S] float32, q k of the step's only query with all entries, where choosing has computed
    them: then no key is read again."""

    def repeated(self, layers: int) -> "Choice":
        """Return the same choice for the heads of so many layers."""
        scores = None if self.scores is None else self.scores.repeat(layers, 1)
        assert self.into is self.values is None, "layers that merge are treated singly"
        return Choice(repeated(self.indices, layers), scores)


@dataclass(frozen=True)
class LayerView:
    """One layer's cache as a policy sees it, the same in a run and in that of the null model.

    H query heads share G KV heads; S entries in a head (of the fullest one where heads differ).
    Plain numbers, positions and the policy's own state can always be read; keys, values, queries
    and the like only where the policy's ``needs`` name them.

    Raises: UndeclaredNeedError where something is read that was not declared.
    """

    _cache: LayerCache
    _needs: frozenset[Need]
    _policy: str
    """Class of the policy, for errors."""

    @property
    def layer(self) -> int:
        """Number of the layer, from 0; of the first one where several are stacked."""
        return self._cache.layer

    @property
    def heads(self) -> int:
        """H, query heads."""
        return self._cache.heads

    @property
    def groups(self) -> int:
        """G, key-value heads."""
        return self._cache.entries.groups

    @property
    def stacked(self) -> int:
        """Layers whose heads these are, one layer's after another's."""
        return self._cache.stacked

    @property
    def prompt(self) -> int:
        """Tokens of the prompt."""
        return self._cache.prompt

    @property
    def budget(self) -> int:
        """Entries a head may hold in this layer right after an eviction."""
        return self._cache.budget

    @property
    def whole_budget(self) -> int:
        """Entries a head may hold right after an eviction, averaged over the layers."""
        return self._cache.whole_budget

    @property
    def seen(self) -> int:
        """Tokens read so far, those of this step included."""
        return self._cache.seen

    @property
    def step(self) -> int:
        """Decode steps done; 0 while the prompt is read."""
        return self._cache.step

    @property
    def scaling(self) -> float:
        """Factor on the logits q k."""
        return self._cache.scaling

    @property
    def reduction(self) -> Reduction:
        """How query heads that share a KV head are reduced to one score."""
        return self._cache.reduction

    @property
    def device(self) -> torch.device:
        """Where the layer's tensors are."""
        return self._cache.entries.buffers["positions"].device

    @property
    def counts(self) -> Sequence[int]:
        """How many entries each KV head holds."""
        return self._cache.entries.counts

    @property
    def even(self) -> bool:
        """Whether all heads hold equally many entries."""
        return self._cache.entries.even

    @property
    def present(self) -> Tensor:
        """[G, S] bool: true where there is an entry, false after the last of a shorter head."""
        return self._cache.entries.present()

    @property
    def positions(self) -> Tensor:
        """[G, S] original positions of the entries, ascending; 0 where there is none."""
        return self._cache.entries.rows("positions")

    @property
    def keys(self) -> Tensor:
        """[G, S, D] after position encoding."""
        return self._rows("keys")

    @property
    def values(self) -> Tensor:
        """[G, S, Dv]."""
        return self._rows("values")

    @property
    def queries(self) -> Tensor:
        """[H, n, D] of this step (of the whole prompt, while it is read), after positions."""
        self._declared("queries")
        assert self._cache.queries is not None, "queries are gone once a layer is done"
        return self._cache.queries

    @property
    def rotary(self) -> Rotary | None:
        """How queries and keys turn with position; None where they do not turn."""
        self._declared("rotary")
        return self._cache.rotary

    @property
    def surprisal(self) -> Tensor:
        """[seen] nats, -ln p of each token given those before it; NaN for the first."""
        self._declared("surprisal")
        assert self._cache.surprisal is not None
        return self._cache.surprisal

    @property
    def turns(self) -> tuple[int, ...]:
        """Where each turn begins: the prompt, and every later step of several tokens."""
        self._declared("surprisal")
        return self._cache.turns

    @property
    def roles(self) -> HeadRoles:
        """What the heads of the model usually do, of all layers."""
        self._declared("roles")
        assert self._cache.roles is not None
        return self._cache.roles

    @property
    def random(self) -> torch.Generator:
        """One for the whole run, seeded by the request."""
        self._declared("random")
        return self._cache.random

    def last_rows(self, count: int) -> Iterator[Rows]:
        """Yield the attention of the prompt's last ``count`` queries, some rows at a time."""
        self._declared("rows")
        assert self._cache.rows is not None, "rows are known while the prompt is read only"
        return self._cache.rows(count)

    @property
    def memory(self) -> dict[str, Any]:
        """The policy's own, per layer."""
        return self._cache.memory

    @property
    def shared(self) -> dict[str, Any]:
        """The policy's own, one for all layers of the run."""
        return self._cache.shared

    def state(self, name: str) -> Tensor:
        """Return [G, S] a number that the policy keeps beside each entry; see ``put``."""
        self._own(name)
        return self._cache.entries.rows(name)

    def has_state(self, name: str) -> bool:
        """Return whether such a number was ever put."""
        self._own(name)
        return name in self._cache.entries.buffers

    def put(self, name: str, values: Tensor) -> None:
        """Keep a number [G, S] beside each entry; it moves with it, and is 0 for new entries."""
        self._own(name)
        self._cache.entries.put(name, values)

    def handed_to(self, policy: str, needs: frozenset[Need]) -> "LayerView":
        """Return the same layer for a policy that this one asks, with what that one declares."""
        return replace(self, _policy=policy, _needs=needs & self._needs)

    def per_kv_head(self, values: Tensor) -> Tensor:
        """Reduce query heads [H, ...] that share a KV head to [G, ...], as the request chose."""
        return self._cache.per_kv_head(values)

    def _rows(self, name: Need) -> Tensor:
        self._declared(name)
        return self._cache.entries.rows(name)

    def _declared(self, name: Need) -> None:
        if name not in self._needs:
            raise UndeclaredNeedError(
                f"{self._policy} reads {name}, which it does not declare: add {name!r} to its needs"
            )

    def _own(self, name: str) -> None:
        if name in _OF_THE_CACHE:
            raise ValueError(
                f"name={name!r} is the cache's own and no state of {self._policy}: choose "
                "another name"
            )


def storage_bytes(kept: Any) -> int:
    """Return the bytes behind all tensors in a value, each storage counted once."""
    storages = (tensor.untyped_storage() for tensor in _tensors(kept))
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def _tensors(kept: Any) -> Iterator[Tensor]:
    """Yield the tensors in a value, also inside lists, tuples, dictionaries and choices."""
    if isinstance(kept, Tensor):
        yield kept
    elif isinstance(kept, dict):
        yield from _tensors(tuple(kept.values()))
    elif isinstance(kept, list | tuple):
        for one in kept:
            yield from _tensors(one)
    elif isinstance(kept, Choice):
        yield from _tensors((kept.indices, kept.scores))
