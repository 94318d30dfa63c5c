"""What the Audit page asks, as a request, and a request as what the page asks."""

from collections.abc import Mapping
from typing import Any

import orjson

from tokenarium.backend import AuditRequest, Lab, SpeculateRequest, SpeculationResult, UserError

FORMATS = ("as read here", "float32", "bfloat16", "float16")
NAMES = (
    "prompt",
    "continuation",
    "token_ids",
    "logprobs",
    "model",
    "temperature",
    "generated_in",
    "dtype",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "chat_template",
)
"""Controls of the page, in order."""
_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")


def audit_request(lab: Lab, asked: Mapping[str, Any]) -> AuditRequest:
    """Return what the controls ask for.

    Raises:
        UserError: naming what is out of range.
    """
    ids = _numbers("token_ids", asked["token_ids"])
    generated_in = asked["generated_in"]
    return lab.request(
        AuditRequest,
        model=asked["model"],
        text=asked["prompt"],
        chat_template=asked["chat_template"] is True,
        token_ids=ids,
        continuation="" if ids else asked["continuation"],
        logprobs=_numbers("logprobs", asked["logprobs"]),
        dtype=asked["dtype"],
        generated_in=None if generated_in == FORMATS[0] else generated_in,
        sampling={name: asked[name] for name in _SAMPLING},
    )


def asked_again(request: AuditRequest, text: str) -> dict[str, Any]:
    """Return the controls as they were when a stored audit was asked for.

    Args:
        request: of the audit.
        text: what was generated, as its result spells it.
    """
    return {
        "prompt": request.text or "\n".join(message.content for message in request.messages),
        "continuation": request.continuation or text,
        "token_ids": ", ".join(map(str, request.token_ids)),
        "logprobs": ", ".join(map(str, request.logprobs)),
        "model": request.model,
        "generated_in": request.generated_in or FORMATS[0],
        "dtype": request.dtype,
        "chat_template": request.chat_template,
        **{name: getattr(request.sampling, name) for name in _SAMPLING},
    }


def of_speculation(request: SpeculateRequest, result: SpeculationResult) -> dict[str, Any]:
    """Return the controls for the text that a speculative run wrote."""
    return {
        "prompt": request.text or "".join(result.prompt_text),
        "continuation": result.text,
        "token_ids": ", ".join(map(str, result.token_ids.tolist())),
        "logprobs": "",
        "model": request.model,
        "generated_in": request.dtype,
        "dtype": request.dtype,
        "chat_template": False,
        **{name: getattr(request, name) for name in _SAMPLING},
    }


def _numbers(name: str, given: object) -> list[Any]:
    """Return numbers as they are typed: with commas or spaces between, in brackets or not."""
    text = str(given or "").strip().strip("[]").replace(",", " ")
    try:
        return [orjson.loads(part) for part in text.split()]
    except orjson.JSONDecodeError as error:
        raise UserError(
            f"{name}={text[:40]!r}: give numbers with commas between, such as 12, 7, 301"
        ) from error
