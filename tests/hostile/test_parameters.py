"""Whatever a request or a public method is given, it answers or refuses in words."""

from functools import partial

import pytest

from tests.hostile.parameters import calls, requests
from tests.labs import shipped_store
from tokenarium import Lab, Settings
from tokenarium.backend.errors import UserError


@pytest.fixture(scope="module")
def lab():
    with Lab(Settings(database=shipped_store(), fetch=False)) as made:
        yield made


def _try(name, attempt):
    try:
        attempt()
    except UserError:
        return
    except Exception as error:
        raise AssertionError(f"{name}: {type(error).__name__}") from error


def test_requests_with_odd_values_are_refused_in_words(lab):
    for kind, values in requests(seed=1, count=60):
        _try(f"{kind.kind} {values!r}", partial(lab.request, kind, **values))


def test_public_methods_refuse_odd_values_in_words(lab):
    for name, call in calls(lab, seed=1, count=60):
        _try(name, call)


@pytest.mark.parametrize("name", ["x" * 5000, "/" * 5000, "\0", "local/" + "x" * 300, 5, None, {}])
def test_a_name_that_means_nothing_is_refused_in_words(lab, name):
    for method in (lab.state, lab.warm):
        with pytest.raises(UserError, match="model="):
            method(name)
