"""Runs of a few policies on tiny models."""

from typing import Any

from tokenarium.backend.cache.request import CacheRequest
from tokenarium.backend.cache.result import CacheResult
from tokenarium.backend.cache.runner import follow_policies
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.runs.events import CancelToken

SLUGS = ["full", "h2o", "streaming_llm", "recent", "random"]


def ask(said: str, **values: Any) -> CacheRequest:
    defaults = {"model": "tiny", "policies": SLUGS, "budget": 16, "max_new_tokens": 12}
    return CacheRequest(text=said, **(defaults | values))


def run(loaded: LoadedModel, request: CacheRequest, emit=None, cancel=None) -> CacheResult:
    return follow_policies(request, loaded, 2048, emit or (lambda _: None), cancel or CancelToken())
