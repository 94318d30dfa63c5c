"""Public methods refuse arguments of another type in words, before anything is done."""

import inspect
import numbers
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import wraps
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from tokenarium.backend.errors import UserError, shown

Checked = TypeVar("Checked", bound=type)
_PLAIN: dict[Any, tuple[type, str]] = {
    str: (str, "text"),
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
}
_LARGEST = 2**63 - 1
"""Of the whole numbers that a database can hold."""


def checks_arguments(declared: Checked) -> Checked:
    """Let every public method of a class, inherited ones too, check the types of its arguments.

    What an annotation says plainly is checked: text, numbers, classes, and lists of these. Whether
    a value of the right type means something is for the method to say.

    Raises: UserError by such a method, naming argument, value and what it takes.
    """
    for name in dir(declared):
        found = inspect.getattr_static(declared, name)
        if name.startswith("_"):
            continue
        if isinstance(found, staticmethod):
            setattr(declared, name, staticmethod(_checking(found.__func__)))
        elif inspect.isfunction(found):
            setattr(declared, name, _checking(found))
    return declared


def _checking(method: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(method)

    @wraps(method)
    def checking(*given: Any, **named: Any) -> Any:
        try:
            arguments = signature.bind(*given, **named).arguments
        except TypeError as error:
            raise UserError(f"{method.__name__} takes other arguments: {error}") from error
        for name, value in arguments.items():
            parameter = signature.parameters[name]
            if name == "self" or parameter.kind is parameter.VAR_KEYWORD:
                continue
            for each in value if parameter.kind is parameter.VAR_POSITIONAL else (value,):
                _check(name, each, parameter.annotation)
        return method(*given, **named)

    return checking


def _check(name: str, value: Any, annotation: Any) -> None:
    if not _fits(value, annotation):
        raise UserError(f"{name}={shown(value)} is of another type: give {_words(annotation)}")


def _fits(value: Any, annotation: Any) -> bool:
    origin, inside = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return True
    if annotation is None:
        return value is None
    if annotation in _PLAIN:
        right = isinstance(value, _PLAIN[annotation][0])
        return right and (annotation is not int or abs(value) <= _LARGEST)
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in inside)
    if origin is Literal:
        return any(isinstance(value, type(each)) for each in inside)
    if origin is type:
        return isinstance(value, type)
    if isinstance(origin, type) and issubclass(origin, Mapping) and len(inside) == 2:
        pairs = value.items() if isinstance(value, origin) else ()
        fit = (_fits(each, of) for pair in pairs for each, of in zip(pair, inside, strict=True))
        return isinstance(value, origin) and all(fit)
    if isinstance(origin, type) and issubclass(origin, Iterable) and len(inside) == 1:
        return isinstance(value, origin) and all(_fits(each, inside[0]) for each in value)
    return isinstance(value, annotation) if isinstance(annotation, type) else True


def _words(annotation: Any) -> str:
    origin, inside = get_origin(annotation), get_args(annotation)
    if annotation is None or annotation is type(None):
        return "nothing"
    if annotation in _PLAIN:
        return _PLAIN[annotation][1]
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(_words, inside)))
    if origin is Literal:
        return ", ".join(map(str, inside))
    if isinstance(origin, type) and issubclass(origin, Collection) and len(inside) == 1:
        return f"a list of {_words(inside[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a dictionary of {' and '.join(map(_words, inside))}"
    return "a class" if origin is type else f"a {getattr(annotation, '__name__', annotation)}"
