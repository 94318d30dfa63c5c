"""What is computed on a GPU is what is computed on a CPU: every method of every family.

With ``TRITON_INTERPRET=1`` the same runs go through Triton's interpreter, without a CUDA device:
the backend then takes the kernels' path, here.
"""

import os
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("pydantic", reason="requests are pydantic's")

from tests.models.conftest import save_model
from tests.speculation.heads import every_model_has_a_head
from tokenarium.backend.attribution.attributor import Attributor
from tokenarium.backend.attribution.request import AttributeRequest
from tokenarium.backend.attribution.runner import attribute
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.request import CacheRequest
from tokenarium.backend.cache.runner import follow_policies
from tokenarium.backend.decoding.constraint import Constraint
from tokenarium.backend.decoding.request import DecodeRequest
from tokenarium.backend.decoding.runner import decode
from tokenarium.backend.decoding.strategy import Strategy
from tokenarium.backend.editing.request import EditRequest
from tokenarium.backend.editing.runner import edit_prompt
from tokenarium.backend.follow.request import FollowRequest
from tokenarium.backend.follow.runner import follow
from tokenarium.backend.heartbeat.request import HeartbeatRequest
from tokenarium.backend.heartbeat.runner import heartbeat
from tokenarium.backend.interventions.declaration import Intervention
from tokenarium.backend.interventions.request import InterventionRequest
from tokenarium.backend.interventions.runner import intervene
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.probe.request import ProbeRequest
from tokenarium.backend.probe.runner import probe
from tokenarium.backend.region.request import RegionRequest
from tokenarium.backend.region.runner import region
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.runs.result import Result
from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.request import SpeculateRequest
from tokenarium.backend.speculation.runner import speculate
from tokenarium.backend.speculation.stop_rule import StopRule
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.backend.trace.runner import trace

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
pytestmark = [] if INTERPRETED else [pytest.mark.gpu]

__all__ = ["every_model_has_a_head"]

OPERATIONS = (
    *("attention_stats", "compact_kv", "decode_attention", "gather_attention"),
    *("rope_shift", "tree_attention", "vocab_stats"),
)
SIGNS = "".join(
    chr(33 + sign) for sign in torch.randperm(90, generator=torch.Generator().manual_seed(3))[:60]
)
"""Each another token: equal ones have keys whose norms differ by rounding alone."""
OF_THE_MACHINE = ("_ms", "seconds", "peak_bytes")
"""Parts of names of what is measured of the machine; peaks are known on a GPU only."""
OF_EQUAL_SCORES = dict.fromkeys(
    ("lazy_eviction", "scissorhands"), ("score_positions", "score_near", "noise_near")
)
"""What depends on which of equal scores come first, which ``topk`` leaves to the device: counts and
pauses are often equal. What is kept does not depend on it."""
TOLERANCE = 1e-4
"""Absolute and relative: float32 added in another order, through a few layers."""
PLACE = {"layer": 1, "head": 2}
REQUESTS: dict[str, tuple[Callable[..., Result], Callable[..., Any], dict[str, Any]]] = {
    "trace": (trace, TraceRequest, {"tiles": 16}),
    "region": (
        region,
        RegionRequest,
        PLACE | {"query_start": 7, "query_stop": 50, "key_start": 3, "key_stop": 40, "tiles": 9},
    ),
    "follow": (follow, FollowRequest, PLACE | {"token": 5}),
    "heartbeat": (heartbeat, HeartbeatRequest, PLACE | {"bins": 20}),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., LoadedModel]:
    """A function from a family and a device to a model of random weights, made once."""
    made: dict[tuple[str, str], LoadedModel] = {}

    def model(family: str, device: str, **changes: Any) -> LoadedModel:
        name = f"{family}{changes}"
        if (name, device) not in made:
            folder = save_model(
                tmp_path_factory.mktemp(family), family, max_position_embeddings=2048, **changes
            )
            source = ModelSource(f"local/{family}", folder, None, family)
            made[name, device] = load(source, "float32", device, 2048)
        return made[name, device]

    return model


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """A function that lets the interpreter stand for a GPU, or not."""
    public: list[ModuleType] = [import_module(f"tokenarium.kernels.{name}") for name in OPERATIONS]

    def interpret(on: bool) -> None:
        for module in public if INTERPRETED else ():
            monkeypatch.setattr(module, "why_not_triton", lambda _: None if on else "not wanted")

    return interpret


Compare = Callable[..., None]


@pytest.fixture
def compare(models, kernels) -> Compare:
    """A function that runs a request on both devices and compares what is not a time."""

    def both(
        run: Callable[..., Result], family: str, request: Any, but: tuple[str, ...] = ()
    ) -> None:
        found = []
        for device, on in (("cpu", False), (DEVICE, True)):
            kernels(on)
            beside = {}
            if getattr(request, "beside", ()):
                beside = {"beside": {"draft": models(family, device, num_hidden_layers=2)}}
            found.append(
                run(request, models(family, device), 2048, lambda _: None, CancelToken(), **beside)
            )
        here, there = (result.arrays() for result in found)
        assert here.keys() == there.keys()
        compared = [name for name in here if of_the_model(name) and name not in but]
        assert compared
        problems = [line for name in compared for line in unlike(name, here[name], there[name])]
        assert not problems, "; ".join(problems)

    return both


def of_the_model(name: str) -> bool:
    """Whether a quantity does not depend on the machine."""
    return not any(part in name for part in OF_THE_MACHINE)


def unlike(name: str, here: np.ndarray, there: np.ndarray) -> Iterator[str]:
    """Say where two arrays differ: numbers beyond the tolerance, everything else at all."""
    if here.shape != there.shape:
        yield f"{name}: {here.shape} on the CPU, {there.shape} here"
    elif here.dtype.names:
        for field in here.dtype.names:
            if of_the_model(field):
                yield from unlike(f"{name}.{field}", here[field], there[field])
    elif here.dtype.kind != "f":
        if not np.array_equal(here, there):
            first = np.argwhere(np.atleast_1d(here != there))[0].tolist()
            yield f"{name}: {np.sum(here != there)} of {here.size} differ, first {first}"
    elif not np.allclose(here, there, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
        finite = np.isfinite(here) & np.isfinite(there)
        apart = np.abs(here - there, where=finite, out=np.zeros_like(here))
        yield f"{name}: {apart.max():.2e} apart, or infinite or unknown elsewhere"


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt_oss"])
@pytest.mark.parametrize("kind", REQUESTS)
def test_gpu_measures_as_the_cpu_does(compare: Compare, kind: str, family: str) -> None:
    run, request, values = REQUESTS[kind]
    compare(run, family, request(model="tiny", text=SIGNS, **values))


def test_gpu_probes_as_the_cpu_does(compare: Compare) -> None:
    compare(probe, "llama", ProbeRequest(model="tiny", period=12, repeats=3))


@pytest.mark.parametrize("method", [one.slug for one in Intervention.registry.all()])
def test_gpu_intervenes_as_the_cpu_does(compare: Compare, method: str) -> None:
    request = InterventionRequest(model="tiny", text=SIGNS, intervention=method)
    compare(intervene, "llama", request)


@pytest.mark.parametrize("policy", [one.slug for one in Policy.registry.all()])
def test_gpu_keeps_what_the_cpu_keeps(compare: Compare, policy: str) -> None:
    request = CacheRequest(
        model="tiny", text=SIGNS, policies=(policy,), budget=40, max_new_tokens=8
    )
    compare(follow_policies, "llama", request, OF_EQUAL_SCORES.get(policy, ()))


@pytest.mark.parametrize("drafter", [one.slug for one in Drafter.registry.all()])
def test_gpu_drafts_and_verifies_as_the_cpu_does(compare: Compare, drafter: str) -> None:
    request = SpeculateRequest(
        model="tiny", text=SIGNS, drafter=drafter, draft_model="draft", max_new_tokens=10
    )
    compare(speculate, "llama", request)


@pytest.mark.parametrize("form", ["kv_quant", "think"])
def test_gpu_stores_kept_entries_as_the_cpu_does(compare: Compare, form: str) -> None:
    form_of = {"slug": form, "parameters": {"newest": 6}}
    request = CacheRequest(
        model="tiny", text=SIGNS, policies=(["snapkv", form_of],), budget=40, max_new_tokens=8
    )
    compare(follow_policies, "llama", request)


@pytest.mark.parametrize("rule", [one.slug for one in StopRule.registry.all()])
def test_gpu_stops_drafting_where_the_cpu_does(compare: Compare, rule: str) -> None:
    drafter = {"slug": "draft_chain", "parameters": {"stop_rule": rule}}
    request = SpeculateRequest(
        model="tiny", text=SIGNS, drafter=drafter, draft_model="draft", max_new_tokens=10
    )
    compare(speculate, "llama", request)


@pytest.mark.parametrize("strategy", [one.slug for one in Strategy.registry.all()])
def test_gpu_decodes_as_the_cpu_does(compare: Compare, strategy: str) -> None:
    request = DecodeRequest(model="tiny", text=SIGNS, strategies=strategy, max_new_tokens=6, seed=3)
    compare(decode, "llama", request)


@pytest.mark.parametrize("constraint", [one.slug for one in Constraint.registry.all()])
def test_gpu_keeps_a_constraint_as_the_cpu_does(compare: Compare, constraint: str) -> None:
    request = DecodeRequest(
        model="tiny",
        text=SIGNS,
        strategies="masked",
        constraint=constraint,
        max_new_tokens=6,
    )
    compare(decode, "llama", request)


@pytest.mark.parametrize("method", [one.slug for one in Attributor.registry.all()])
def test_gpu_attributes_as_the_cpu_does(compare: Compare, method: str) -> None:
    request = AttributeRequest(model="tiny", text=SIGNS[:16], method=method, unit="token")
    compare(attribute, "llama", request)


def test_gpu_mends_an_edited_cache_as_the_cpu_does(compare: Compare) -> None:
    request = EditRequest(model="tiny", text=SIGNS, edits=((5, 7, "xyz"),), max_new_tokens=6)
    compare(edit_prompt, "llama", request)
