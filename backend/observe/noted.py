"""A product of queries and keys that is noted, not computed, and what is done to it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Optional

import torch
from torch import Tensor

from tokenarium.backend.observe.attention import UnknownArgument
from tokenarium.backend.observe.eager_masks import HIDING

Attend = Callable[["Formula", Tensor], Tensor]
"""From weights that are noted and values [*, S, Dv] to the attention output [*, T, Dv]."""


@dataclass(frozen=True)
class Formula:
    """``factor`` x q k plus what was added, and whether softmax was taken of that."""

    q: Tensor
    """[*, T, D]"""
    k: Tensor
    """[*, S, D]; its leading axes broadcast with those of ``q``."""
    batch: int
    attend: Attend
    shape: tuple[int, ...]
    """[*, T, S] as the model sees it; its leading axes may be split otherwise than of ``q``."""
    factor: float = 1.0
    added: tuple[Tensor, ...] = ()
    """Each [1 or B, 1 or H, 1 or T, S]."""
    zeroed: tuple[Tensor, ...] = ()
    """Booleans that are true where a logit was set to 0, to be hidden by what is added (GPT-1)."""
    softmax: bool = False

    @property
    def heads(self) -> int:
        """H, query heads."""
        return prod(self.shape[:-2]) // self.batch

    @property
    def lead(self) -> tuple[int, ...]:
        """The leading axes of the product."""
        return tuple(torch.broadcast_shapes(self.q.shape[:-2], self.k.shape[:-2]))

    def plus(self, term: Tensor) -> "Formula":
        """Add a tensor that broadcasts to ``shape``."""
        return replace(self, added=(*self.added, self._by_head(term)))

    def zeroing(self, mask: Tensor) -> "Formula":
        """Set to 0 what a boolean mask is true for."""
        return replace(self, zeroed=(*self.zeroed, self._by_head(mask)))

    def _by_head(self, term: Tensor) -> Tensor:
        """Return what broadcasts to ``shape`` as [1 or B, 1 or H, 1 or T, S]."""
        term = term[(None,) * (len(self.shape) - term.dim())]
        lead, last = self.shape[:-2], term.shape[-2:]
        if term.shape[:-2].numel() == 1:
            term = term.reshape(1, 1, *last)
        elif lead != (self.batch, self.heads):
            term = term.expand(*lead, *last).reshape(self.batch, self.heads, *last)
        return term

    def times(self, factor: float) -> "Formula":
        """Multiply by a number."""
        added = tuple(term * factor for term in self.added)
        return replace(self, factor=self.factor * factor, added=added)

    def hiding(self, mask: Tensor) -> "Formula":
        """Hide what a boolean mask is true for."""
        zeros = torch.zeros(mask.shape, dtype=torch.float32, device=mask.device)
        return self.plus(zeros.masked_fill_(mask, torch.finfo(torch.float32).min))

    def computed(self) -> Tensor:
        """Compute it, where something is done to it that is not understood."""
        product = (self.q @ self.k.mT).float() * self.factor
        logits = product.reshape(self.batch, self.heads, *self.shape[-2:])
        for mask in self.zeroed:
            logits = logits.masked_fill(mask, 0.0)
        for term in self.added:
            logits = logits + term
        logits = logits.reshape(self.shape)
        return logits.softmax(-1) if self.softmax else logits


class Noted(Tensor):
    """Stands for attention logits, or weights, that nobody has computed."""

    formula: Formula

    @staticmethod
    def __new__(cls: "type[Noted]", formula: Formula, dtype: torch.dtype) -> "Noted":
        make: Any = Tensor._make_wrapper_subclass  # noqa: SLF001
        made: Noted = make(cls, formula.shape, dtype=dtype, device=formula.q.device)
        made.formula = formula
        return made

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Note what is done; compute what is not understood."""
        kwargs, name = kwargs or {}, func.__name__
        with torch._C.DisableTorchFunctionSubclass():  # noqa: SLF001
            if name in _ASKED:
                return func(*args, **kwargs)
            note = _NOTES.get(name)
            found = None if note is None else note(*args, **kwargs)
            if found is not None:
                return found
            if name.endswith("_") and not name.startswith("_"):
                raise UnknownArgument(
                    f"its attention does {name} to its logits: choose another model"
                )
            return func(*map(_computed, args), **{key: _computed(x) for key, x in kwargs.items()})

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Refuse what comes by another way."""
        raise UnknownArgument(f"its attention does {func} to its logits: choose another model")


def _computed(given: Any) -> Any:
    if isinstance(given, Noted):
        return given.formula.computed().to(given.dtype)
    if isinstance(given, list | tuple):
        return type(given)(map(_computed, given))
    return given


Result = Optional[Tensor]  # noqa: UP045 - a name, not an annotation


def _number(given: Any) -> float | None:
    if isinstance(given, Tensor):
        return float(given) if given.numel() == 1 and not isinstance(given, Noted) else None
    return float(given) if isinstance(given, int | float) else None


def _again(noted: Noted, formula: Formula, dtype: torch.dtype | None = None) -> Noted:
    return Noted(formula, dtype or noted.dtype)


def _mul(x: Any, y: Any, **_: Any) -> Result:
    noted, other = (x, y) if isinstance(x, Noted) else (y, x)
    factor = _number(other)
    if noted.formula.softmax or isinstance(other, Noted):
        return None
    if factor is None:
        binary = not noted.formula.added and bool(((other == 0) | (other == 1)).all())
        return _again(noted, noted.formula.zeroing(other == 0)) if binary else None
    return _again(noted, noted.formula.times(factor))


def _div(x: Any, y: Any, **how: Any) -> Result:
    divisor = _number(y)
    return None if how or not divisor or not isinstance(x, Noted) else _mul(x, 1 / divisor)


def _add(x: Any, y: Any, **how: Any) -> Result:
    noted, other = (x, y) if isinstance(x, Noted) else (y, x)
    if how or isinstance(other, Noted) or noted.formula.softmax:
        return None
    if not isinstance(other, Tensor):
        return noted if isinstance(other, int | float) else None  # softmax leaves out a constant
    return _again(noted, noted.formula.plus(other))


def _sub(x: Any, y: Any, **how: Any) -> Result:
    return _add(x, -y, **how) if isinstance(x, Noted) and not isinstance(y, Noted) else None


def _masked_fill(x: Any, mask: Any, value: Any) -> Result:
    low = _number(value)
    plain = isinstance(x, Noted) and not isinstance(mask, Noted) and not x.formula.softmax
    if not plain or low is None or low > HIDING:
        return None
    return _again(x, x.formula.hiding(mask.bool()))


def _where(condition: Any, x: Any = None, y: Any = None) -> Result:
    if isinstance(x, Noted):
        return _masked_fill(x, ~condition, y)
    return _masked_fill(y, condition, x) if isinstance(y, Noted) else None


def _at_least(x: Any, y: Any = None, **how: Any) -> Result:
    """Take the larger of logits and a number so low that only hidden logits lie below it."""
    low = _number(how.get("min", y))
    fits = isinstance(x, Noted) and set(how) <= {"min"} and not x.formula.softmax
    return x if fits and low is not None and low <= HIDING else None


def _to(x: Any, *how: Any, **named: Any) -> Result:
    like = torch.empty(0, dtype=x.dtype, device=x.device)
    made = like.to(*how, **named)
    return _again(x, x.formula, made.dtype) if made.device == like.device else None


def _type_as(x: Any, other: Any) -> Result:
    return _to(x, other.dtype) if isinstance(x, Noted) else None


def _view(x: Any, *shape: Any) -> Result:
    if any(isinstance(size, torch.dtype) for size in shape):
        return None
    new = tuple(torch.empty(x.shape, device="meta").view(*shape).shape)
    kept = len(new) > 2 and new[-2:] == x.formula.shape[-2:]
    return _again(x, replace(x.formula, shape=new)) if kept else None


def _softmax(x: Any, dim: Any = None, _: Any = None, dtype: Any = None, **__: Any) -> Result:
    if x.formula.softmax or dim not in (-1, x.dim() - 1):
        return None
    return _again(x, replace(x.formula, softmax=True), dtype)


def _dropout(x: Any, p: float = 0.5, training: bool = True, **_: Any) -> Result:
    return x if not training or not p else None


def _same(x: Any, *_: Any, **__: Any) -> Result:
    return x if isinstance(x, Noted) else None


def _matmul(x: Any, y: Any) -> Result:
    weights = isinstance(x, Noted) and x.formula.softmax and not isinstance(y, Noted)
    return x.formula.attend(x.formula, y) if weights else None


_ASKED = frozenset({"__get__", "size", "dim", "numel", "__len__", "is_floating_point", "__hash__"})
_NOTES: dict[str, Callable[..., Result]] = {
    **dict.fromkeys(("mul", "__mul__", "__rmul__", "__imul__", "multiply"), _mul),
    **dict.fromkeys(("div", "__truediv__", "__itruediv__", "true_divide", "__div__"), _div),
    **dict.fromkeys(("add", "__add__", "__radd__", "__iadd__"), _add),
    **dict.fromkeys(("sub", "__sub__", "__isub__"), _sub),
    **dict.fromkeys(("max", "maximum", "clamp", "clamp_min"), _at_least),
    **dict.fromkeys(("view", "reshape"), _view),
    **dict.fromkeys(("matmul", "bmm", "__matmul__"), _matmul),
    **dict.fromkeys(("contiguous", "clone"), _same),
    "masked_fill": _masked_fill,
    "where": _where,
    "to": _to,
    "type": _to,
    "float": lambda x: _to(x, torch.float32),
    "type_as": _type_as,
    "softmax": _softmax,
    "dropout": _dropout,
}
