"""A small model that is whole, to be damaged."""

import pytest

from tests.models.conftest import save_model


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    sizes = {"num_hidden_layers": 1, "hidden_size": 16, "intermediate_size": 16}
    return save_model(tmp_path_factory.mktemp("models") / "small", "llama", **sizes)
