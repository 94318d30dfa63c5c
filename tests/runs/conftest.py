"""A tiny random model in a folder, and labs over it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.runs import stand_in
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.settings import Settings

if TYPE_CHECKING:
    from tokenarium.backend.models.model_cache import ModelCache

MODEL = "local/tiny"


def until(condition: object, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.002)


@pytest.fixture(autouse=True)
def no_shipped_examples(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A store holds what the test put there, and nothing else."""
    monkeypatch.setattr("tokenarium.backend.runs.examples.FOLDER", tmp_path / "no examples")


@pytest.fixture(autouse=True)
def watch(monkeypatch: pytest.MonkeyPatch) -> stand_in.Watch:
    fresh = stand_in.Watch()
    monkeypatch.setattr(stand_in, "watch", fresh)
    return fresh


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the models ``tiny`` and ``other``, of different random weights."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    root = tmp_path_factory.mktemp("models")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: index for index, piece in enumerate(["<|bos|>", *alphabet])}
    bytewise = Tokenizer(models.BPE(vocabulary, merges=[]))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    bytewise.add_special_tokens(["<|bos|>"])
    bytewise.post_processor = processors.TemplateProcessing(
        single="<|bos|> $A", special_tokens=[("<|bos|>", 0)]
    )
    for seed, name in enumerate(("tiny", "other")):
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=len(vocabulary),
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            bos_token_id=0,
            eos_token_id=0,
        )
        LlamaForCausalLM(config).save_pretrained(root / name)
        PreTrainedTokenizerFast(
            tokenizer_object=bytewise, bos_token="<|bos|>", eos_token="<|bos|>"
        ).save_pretrained(root / name)
    return root


@pytest.fixture(scope="session")
def shelf() -> "ModelCache":
    """Loaded models, kept from test to test: loading is tested where it matters."""
    from tokenarium.backend.models.model_cache import ModelCache

    return ModelCache()


@pytest.fixture
def make_lab(
    models_dir: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Lab]]:
    """Open labs on one database file; options override the defaults; ``cold`` shares no model."""
    opened: list[Lab] = []

    def make(*, cold: bool = False, **options: object) -> Lab:
        values = {
            "database": f"duckdb:///{tmp_path / 'runs.duckdb'}",
            "device": "cpu",
            "models_dir": models_dir,
            "hosted": False,
            "hosted_models": (MODEL, "local/other"),
        }
        lab = Lab(Settings(**{**values, **options}))
        if not cold:
            lab._registry._shelf = request.getfixturevalue("shelf")
        opened.append(lab)
        return lab

    yield make
    for lab in opened:
        lab.close()


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    return make_lab()
