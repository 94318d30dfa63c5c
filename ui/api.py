"""The named endpoints: every kind of run over HTTP and MCP, from its declaration alone."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import gradio as gr
from gradio.events import api
from pydantic.fields import FieldInfo

from tokenarium.backend import (
    DEFAULT_MODEL,
    MOST_NUMBERS,
    Cancelled,
    Event,
    Finished,
    Kind,
    Lab,
    Progress,
    Queued,
    UserError,
)
from tokenarium.ui.shell.visitor import visitor_of
from tokenarium.ui.shell.without_files import Answer, look_for_no_files

EVERYTHING = "Whether quantities of more than 10,000 numbers are returned too, unnamed."
MOST_OF_ALL = 2**62
QUANTITIES = (
    "Names of quantities to return, however large; empty returns all of at most 10,000 numbers "
    "and names the rest in left_out."
)
RETURNS = (
    "Yields events: queued with a place, progress with what is being done, done and total, and at "
    "last finished with the run: its id, request, environment, definitions and values."
)


def expose(lab: Lab) -> None:
    """Add an endpoint for every kind of run, and ``/run``, to the current ``gr.Blocks``."""
    look_for_no_files()
    for kind in lab.kinds():
        api(endpoint(lab, kind), api_name=kind.endpoint)
    api(_stored(lab), api_name="run")


def endpoint(lab: Lab, kind: Kind) -> Callable[..., Iterator[dict[str, Any]]]:
    """Return the function of an endpoint: its parameters are the fields of the kind's request.

    Args:
        lab: who answers.
        kind: what is asked for.
    """
    fields = kind.request.model_fields

    def run(*given: Any, **named: Any) -> Iterator[dict[str, Any]]:
        asked = dict(zip(inspect.signature(run).parameters, given, strict=False)) | named
        request, quantities = asked.pop("request"), asked.pop("quantities", None)
        most = MOST_OF_ALL if asked.pop("everything", False) else MOST_NUMBERS
        visitor = visitor_of(lab, request)
        try:
            wanted = lab.request(kind.request, **asked)
            for event in lab.stream(wanted, visitor=visitor, needs=quantities or ()):
                if isinstance(event, Finished):
                    found = lab.content(
                        event.run, visitor=visitor, quantities=quantities or (), most=most
                    )
                    yield Answer(event="finished", run=found)
                elif seen := _as_dict(event):
                    yield seen
        except (UserError, Cancelled) as error:
            raise gr.Error(str(error), print_exception=False) from error

    run.__name__ = run.__qualname__ = kind.endpoint
    run.__doc__ = _documented(kind)
    parameters = [_parameter(name, field, kind.usual) for name, field in fields.items()]
    parameters.sort(key=lambda parameter: parameter.default is not inspect.Parameter.empty)
    parameters.append(_named("quantities", list[str], []))
    parameters.append(_named("everything", bool, False))
    parameters.append(_named("request", gr.Request, None))
    signature = inspect.Signature(parameters, return_annotation=dict[str, Any])
    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": dict[str, Any]}
    return run


def _stored(lab: Lab) -> Callable[..., dict[str, Any]]:
    def run(
        run_id: str,
        quantities: list[str] = [],  # noqa: B006
        everything: bool = False,
        request: gr.Request = None,  # type: ignore[assignment]
    ) -> dict[str, Any]:
        """Return a stored run.

        Args:
            run_id: as in its address.
            quantities: names of quantities to return, however large; empty returns all of at most
                10,000 numbers and names the rest in left_out.
            everything: whether quantities of more than 10,000 numbers are returned too, unnamed.
        """
        most = MOST_OF_ALL if everything else MOST_NUMBERS
        try:
            visitor = visitor_of(lab, request)
            found = lab.content(run_id, visitor=visitor, quantities=quantities or (), most=most)
            return Answer(found)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return run


def _as_dict(event: Event) -> dict[str, Any] | None:
    if isinstance(event, Queued):
        return {"event": "queued", "place": event.place}
    if isinstance(event, Progress):
        return {
            "event": "progress",
            "doing": event.doing,
            "done": event.done,
            "total": event.total,
        }
    return None


def _documented(kind: Kind) -> str:
    """Return a docstring from which Gradio and MCP take every parameter's description."""
    lines = [f"        {name}: {f.description}" for name, f in kind.request.model_fields.items()]
    return "\n".join(
        (
            f"{kind.explanation} {RETURNS}",
            "",
            "Args:",
            *lines,
            f"        quantities: {QUANTITIES}",
            f"        everything: {EVERYTHING}",
        )
    )


def _parameter(name: str, field: FieldInfo, usual: Mapping[str, str]) -> inspect.Parameter:
    if name == "model":
        return _named(name, str, usual.get(name, DEFAULT_MODEL))
    default = (
        inspect.Parameter.empty
        if field.is_required()
        else _plain(field.get_default(call_default_factory=True))
    )
    default = usual.get(name, default)
    return _named(name, _plain_type(field.annotation), default)


def _named(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation
    )


def _plain(value: Any) -> Any:
    """Return a default as JSON has it."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return value


def _plain_type(annotation: Any) -> Any:
    """Return the JSON type of a field: a method may be its slug, or slug and parameters."""
    origin = get_origin(annotation)
    if annotation in (str, int, float, bool) or origin is Literal:
        return annotation
    if origin in (Union, UnionType):
        plain = [a if a is type(None) else _plain_type(a) for a in get_args(annotation)]
        return Union[tuple(plain)]  # noqa: UP007 - made of what is known only here
    if origin is tuple:
        entries = [a for a in get_args(annotation) if a is not Ellipsis]
        return list[_plain_type(_bare(entries[0]))] if len(entries) == 1 else list[Any]  # type: ignore[misc]
    return dict[str, Any] if origin is dict else Any


def _bare(annotation: Any) -> Any:
    """Return a type without its bounds."""
    return (
        getattr(annotation, "__origin__", annotation)
        if hasattr(annotation, "__metadata__")
        else annotation
    )
