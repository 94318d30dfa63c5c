"""Every kind of run that needs a model is stored, served again, opened, found and exported."""

import json

import numpy as np
import pytest

from tests.runs.conftest import MODEL
from tokenarium.backend.cache.request import CacheRequest, PolicySpec
from tokenarium.backend.heartbeat.request import HeartbeatRequest
from tokenarium.backend.interventions.request import InterventionRequest
from tokenarium.backend.probe.request import ProbeRequest
from tokenarium.backend.runs.events import Cancelled, CancelToken
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.runs.request import ModelRequest

TEXT = "Once upon a time there was a heron"
REQUESTS = (
    InterventionRequest(model=MODEL, text=TEXT, intervention="drop_first"),
    InterventionRequest(
        model=MODEL, text=TEXT, intervention="act", parameters={"heads": [[0, 1], [1, 3]]}
    ),
    ProbeRequest(model=MODEL, period=8, repeats=3),
    HeartbeatRequest(model=MODEL, text=TEXT, layer=1, head=2),
    CacheRequest(
        model=MODEL,
        text=TEXT,
        policies=("full", PolicySpec("streaming_llm", sink=2)),
        budget=8,
        max_new_tokens=4,
    ),
)
EVERY = pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.kind)


@EVERY
def test_a_run_comes_back_as_it_was(lab: Lab, request_: ModelRequest) -> None:
    run = lab.run(request_)
    again = lab.run(request_)
    assert (run.cached, again.cached, again.id) == (False, True, run.id)
    opened = lab.open(run.id)
    assert opened.request == request_
    assert type(opened.result) is type(run.result)
    for name, array in run.result.arrays().items():
        np.testing.assert_array_equal(opened.result.arrays()[name], array, err_msg=name)
    for name, value in run.result.facts().items():
        np.testing.assert_equal(opened.result.facts()[name], value, err_msg=name)


@EVERY
def test_a_run_is_found_and_exported(lab: Lab, request_: ModelRequest) -> None:
    run = lab.run(request_)
    [found] = lab.search(kind=request_.kind)
    assert (found.id, found.model, found.text) == (run.id, MODEL, request_.given_text)
    assert len(lab.search(text="heron")) == bool(request_.given_text)
    exported = json.loads(lab.export(run.id))
    assert set(exported["values"]) == set(exported["definitions"])


def test_another_seed_is_another_probe(lab: Lab) -> None:
    first = lab.run(REQUESTS[2])
    other = lab.run(REQUESTS[2].model_copy(update={"seed": 1}))
    assert not other.cached
    assert (first.result.token_ids != other.result.token_ids).any()


def test_another_parameter_is_another_intervention(lab: Lab) -> None:
    first = lab.run(REQUESTS[1])
    changed = InterventionRequest(
        model=MODEL, text=TEXT, intervention="act", parameters={"heads": [[0, 1]]}
    )
    assert lab.run(changed).id != first.id


@EVERY
def test_a_cancelled_run_is_not_stored(lab: Lab, request_: ModelRequest) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        lab.run(request_, cancel=cancel)
    assert lab.search(kind=request_.kind) == []


def test_interventions_are_listed_for_the_page(lab: Lab) -> None:
    titles = [method.title for method in lab.methods("intervention")]
    assert titles == sorted(titles)
    assert {"act", "drop_first"} <= {method.slug for method in lab.methods("intervention")}
