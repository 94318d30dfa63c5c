"""One family against transformers' eager attention: a trace, two policies, two drafters."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from tests.families.building import build
from tokenarium.backend.cache.request import CacheRequest
from tokenarium.backend.cache.runner import follow_policies
from tokenarium.backend.models.image_text import TEXT_KEYS, text_alone
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.speculation.request import SpeculateRequest
from tokenarium.backend.speculation.runner import speculate
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.backend.trace.runner import trace

TOLERANCE = 1e-4
BEFORE_SINKS = {"granite_swa", "granitemoe_swa"}
"""Families whose eager weights are those before the learned sink takes its share: their output is
compared, their weights are not."""
POLICIES = ("streaming_llm", "h2o")
DRAFTERS = ("prompt_lookup", "early_exit")
TEXT = (
    "Once upon a time a fox met a crow. The crow held a piece of cheese, and the fox, who was "
    "hungry, told the crow"
)
CONTINUATION = " that it had a fine voice"
LIMIT = 512

Record = dict[str, Any]
"""Of a family: ``verdict`` (loads, wrong, refused, raw error, not built), ``why``, and the figures
by name."""


def measure(family: str) -> Record:
    """Return what was found of a family; whatever it raises is a verdict."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / family
        try:
            build(family, folder)
        except Exception as error:  # any type may be beyond what is known here of its sizes
            return {"verdict": "not built", "why": _words(error)}
        source = ModelSource(family, folder, None, family)
        try:
            loaded = load(source, "float32", "cpu", LIMIT)
        except ValueError as error:
            return {"verdict": "refused", "why": _words(error).removeprefix(family).strip()}
        except Exception as error:  # what this table is to find
            return {"verdict": "raw error", "why": _words(error)}
        return _observed(loaded, folder)


def _observed(loaded: LoadedModel, folder: Path) -> Record:
    found: Record = {"verdict": "loads", "why": ""}
    text = text_alone(AutoConfig.from_pretrained(folder))
    part = {} if text is None else {"config": text, "key_mapping": TEXT_KEYS}
    oracle = AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32, **part
    ).eval()
    found["trace"] = _try(lambda: _trace(loaded, oracle))
    found["full"] = _try(lambda: _full(loaded, oracle))
    for slug in POLICIES:
        found[slug] = _try(lambda slug=slug: _policy(loaded, slug))
    for slug in DRAFTERS:
        found[slug] = _try(lambda slug=slug: _drafter(loaded, slug))
    off = [name for name in ("trace", "full") if _is_off(found[name])]
    if off or "failed" in [found[slug] for slug in DRAFTERS]:
        found["verdict"] = "wrong"
    if any("Error: " in str(value) for value in found.values()):
        found["verdict"] = "raw error"
    return found


def _is_off(value: float | str) -> bool:
    return not isinstance(value, str) and not value <= TOLERANCE


def _try(measured: Callable[[], float | str]) -> float | str:
    try:
        return measured()
    except ValueError as error:
        return f"refused: {_words(error)}"
    except Exception as error:  # what this table is to find
        return f"{type(error).__name__}: {_words(error)}"


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:400]


@torch.inference_mode()
def _trace(loaded: LoadedModel, oracle: PreTrainedModel) -> float:
    """Return the largest difference of surprisal (nats) and of attention from eager."""
    result = trace(
        TraceRequest(model=loaded.name, text=TEXT), loaded, LIMIT, lambda _: None, CancelToken()
    )
    ids = torch.tensor([result.token_ids.tolist()])
    run = oracle(ids, output_attentions=True, use_cache=False)
    off = float(np.nanmax(np.abs(result.surprisal_nats - _surprisal(run.logits[0], ids[0]))))
    if oracle.config.model_type in BEFORE_SINKS:
        return off
    attended = [a for a in run.attentions or () if a is not None]
    rows = np.flatnonzero(~np.isnan(result.sink_score).all(1))
    if len(attended) == result.layers:  # some layers that do not attend give something else
        attended = [attended[row] for row in rows]
    if len(rows) != len(attended):
        raise RuntimeError(f"eager has {len(attended)} layers of attention, here are {len(rows)}")
    for row, a in zip(rows, attended, strict=True):
        weights = a[0].double().numpy()  # [H, T, T]
        heads = len(weights)
        received = weights.sum(1) / np.arange(weights.shape[-1], 0, -1)
        off = max(
            off,
            float(np.abs(result.sink_score[row, :heads] - weights[..., 0].mean(-1)).max()),
            float(np.abs(result.received_mass[row, :heads] - received).max()),
        )
    return off


def _surprisal(logits: Tensor, ids: Tensor) -> np.ndarray:
    found = -logits[:-1].double().log_softmax(-1).gather(1, ids[1:, None])[:, 0].numpy()
    return np.concatenate(([np.nan], found))


@torch.inference_mode()
def _full(loaded: LoadedModel, oracle: PreTrainedModel) -> float:
    """Return the largest difference, in nats, of a full cache from one pass of eager."""
    request = CacheRequest(
        model=loaded.name, text=TEXT, policies=("full",), continuation=CONTINUATION
    )
    result = follow_policies(request, loaded, LIMIT, lambda _: None, CancelToken())
    ids = torch.tensor([[*result.prompt_ids.tolist(), *result.token_ids[0].tolist()]])
    logits = oracle(ids, use_cache=False).logits[0]
    expected = _surprisal(logits, ids[0])[len(result.prompt_ids) :]
    return float(np.abs(result.surprisal_nats[0] - expected).max())


def _policy(loaded: LoadedModel, slug: str) -> str:
    request = CacheRequest(
        model=loaded.name, text=TEXT, policies=(slug,), budget=48, max_new_tokens=12
    )
    result = follow_policies(request, loaded, LIMIT, lambda _: None, CancelToken())
    return "ok" if np.isfinite(result.kl_nats).all() else "RuntimeError: KL is not finite"


def _drafter(loaded: LoadedModel, slug: str) -> str:
    request = SpeculateRequest(model=loaded.name, text=TEXT, drafter=slug, max_new_tokens=12)
    result = speculate(request, loaded, LIMIT, lambda _: None, CancelToken())
    return str(result.audit["verdict"])
