"""Tiny models and their eager twins, one set for all tests of a session."""

import pytest
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.models.conftest import save_model
from tests.trace.conftest import letters, twins
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource

__all__ = ["letters", "twins"]


@pytest.fixture(scope="session")
def one_layer(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedModel, PreTrainedModel]:
    """A Llama of one layer, where the kept keys depend on their own tokens alone."""
    folder = tmp_path_factory.mktemp("one")
    save_model(folder, "llama", num_hidden_layers=1, max_position_embeddings=2048)
    source = ModelSource("local/one", folder, None, "one")
    oracle = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    return load(source, "float32", "cpu", 2048), oracle.float().eval()
