"""Whatever a request or a public method is given, it answers or refuses in words."""

import random
import time
from collections import Counter
from contextlib import suppress
from functools import partial

import pytest
from pydantic import ValidationError

from tests.hostile.drawing import values
from tests.hostile.parameters import calls, has_words, huge, requests
from tests.labs import shipped_store
from tokenarium import Lab, Settings
from tokenarium.backend.benchmark.sweep.request import PointRequest
from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.method import FAMILIES


@pytest.fixture(scope="module")
def lab():
    with Lab(Settings(database=shipped_store(), fetch=False)) as made:
        yield made


def _try(name, attempt):
    try:
        attempt()
    except UserError:
        raise
    except Exception as error:
        raise AssertionError(f"{name}: {type(error).__name__}") from error


def test_requests_of_every_kind_with_odd_values_are_refused_in_words(lab):
    tried, accepted = Counter(), Counter()
    for kind, given in requests(seed=1, count=12 * len(Lab.kinds()), odd=0.5):
        tried[kind.kind] += 1
        with suppress(UserError):
            _try(f"{kind.kind} {given!r}", partial(lab.request, kind, **given))
            accepted[kind.kind] += 1
    every = {kind.slug for kind in Lab.kinds()}
    assert set(tried) == every
    assert every - set(accepted) == set(), "what is drawn is refused before it is tried"


def test_values_of_every_declaration_are_drawn_within_its_bounds():
    draw, wrong = random.Random(1), {}
    known = {"any text": ["a", "The"]}
    for family, registry in FAMILIES.items():
        for method in registry.all():
            for _ in range(8):
                given = values(method, draw, known)
                try:
                    method.model_validate(given)
                    break
                except ValidationError as error:
                    wrong[f"{family} {method.slug}"] = str(error)
            else:
                continue
            wrong.pop(f"{family} {method.slug}", None)
    assert wrong == {}


def test_every_public_method_refuses_odd_values_in_words(lab):
    called = set()
    for name, call in calls(lab, seed=1, count=150):
        called.add(name.partition("(")[0])
        with suppress(UserError):
            _try(name, call)
    methods = {"lab.run", "lab.compare", "lab.note", "classes.join", "tokenizers.train"}
    assert methods <= called


def test_words_of_python_alone_are_none():
    assert not has_words("too many values to unpack (expected 1)")
    assert not has_words("")
    assert has_words("m could not be read (TypeError: unsupported operand type(s) for /): choose x")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_huge_text_in_any_place_of_any_request_is_refused_before_it_is_cut_into_tokens():
    with Lab(Settings(database=shipped_store(), fetch=False, hosted=True)) as lab:
        late, taken = {}, []
        for kind, where, given in huge(seed=5):
            before = time.process_time()
            for act in (lab.estimate, lab.run):
                with suppress(UserError):
                    request = lab.request(kind, **given)
                    _try(f"{kind.kind} {where}", partial(act, request, visitor="v" * 32))
                    taken += [(kind.kind, where)] if act == lab.run else []
            if (seconds := time.process_time() - before) > 3:
                late[kind.kind, where] = seconds
    assert late == {}
    assert taken == []


def test_a_point_of_a_sweep_that_is_several_is_refused_by_name(lab):
    for name, given in {
        "policies": {"policies": ["recent", "h2o"]},
        "budgets": {"policies": ["recent"], "budgets": [0.5, 0.9]},
        "depths": {"policies": ["recent"], "budgets": [0.5], "depths": [0.0, 1.0]},
    }.items():
        request = lab.request(PointRequest, model="bundled/draft", task="passkey", **given)
        with pytest.raises(UserError, match=f"{name} has 2 values, and a point of a sweep has"):
            lab.run(request)


def test_no_name_of_a_model_is_refused_by_every_kind_that_needs_one(lab):
    found = dict(requests(seed=1, count=len(Lab.kinds()), odd=0))
    needing = [kind for kind in found if kind.model_fields["model"].is_required()]
    assert len(needing) > 15
    for kind in needing:
        request = lab.request(kind, **found[kind] | {"model": ""})
        for act in (lab.estimate, lab.run):
            with pytest.raises(UserError, match="model='' is no model name"):
                act(request)


@pytest.mark.parametrize("name", ["x" * 5000, "/" * 5000, "\0", "local/" + "x" * 300, 5, None, {}])
def test_a_name_that_means_nothing_is_refused_in_words(lab, name):
    for method in (lab.state, lab.warm):
        with pytest.raises(UserError, match="model="):
            method(name)
