"""GGUF files made once."""

from pathlib import Path

import gguf
import pytest
from transformers import PreTrainedModel

from tests.models.gguf.written import model_of, write


@pytest.fixture(scope="session")
def tiny() -> PreTrainedModel:
    return model_of()


@pytest.fixture(scope="session")
def plain(tiny: PreTrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that holds float32 numbers."""
    return write(tmp_path_factory.mktemp("plain") / "tiny.gguf", tiny)


@pytest.fixture(scope="session")
def quantised(tiny: PreTrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 4-bit blocks."""
    folder = tmp_path_factory.mktemp("quantised")
    return write(folder / "tiny.gguf", tiny, gguf.GGMLQuantizationType.Q4_1)
