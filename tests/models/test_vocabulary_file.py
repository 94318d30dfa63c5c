"""A vocabulary in tokenizer.model alone is read as SentencePiece reads it, or refused."""

import json
from importlib.util import find_spec

import pytest
import torch

from tokenarium.backend.models import vocabulary_file
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.models.refusal import ModelRefused

HERE = find_spec("sentencepiece") and find_spec("google")


def _load(folder):
    return load(ModelSource("local/m", folder, None, "m"), torch.float32, "cpu", 512)


def _saved(save, folder, content, **config):
    save(folder, "llama", vocab_size=400)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "tokenizer.model").write_bytes(content)


@pytest.mark.parametrize("there", [(), ("sentencepiece",), ("google.protobuf",)])
def test_what_a_sentencepiece_file_needs_is_named(tmp_path, save, monkeypatch, there):
    def find(module):
        if module.startswith("google") and module not in there:
            raise ModuleNotFoundError("No module named 'google'")
        return object() if module in there else None

    monkeypatch.setattr(vocabulary_file, "find_spec", find)
    _saved(save, tmp_path, b"\n\x0e")
    names = {"sentencepiece": "sentencepiece", "google.protobuf": "protobuf"}
    wanted = " ".join(package for module, package in names.items() if module not in there)
    with pytest.raises(ModelRefused, match=f"run 'pip install {wanted}'.* tokenizer.json beside"):
        _load(tmp_path)


def test_a_file_of_tiktoken_is_refused(tmp_path, save):
    _saved(save, tmp_path, b"IQ== 0\nIg== 1\n")
    with pytest.raises(ModelRefused, match=r"of tiktoken alone.*put the model's tokenizer\.json"):
        _load(tmp_path)


@pytest.fixture
def vocabulary(tmp_path):
    sentencepiece = pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
    text = tmp_path / "text.txt"
    text.write_text("hello world\nthe cat sat on the mat\nhello again and again\n" * 50)
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(tmp_path / "made"),
        vocab_size=310,
        model_type="bpe",
        byte_fallback=True,
        hard_vocab_limit=False,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    return (tmp_path / "made.model").read_bytes()


@pytest.mark.external
@pytest.mark.skipif(not HERE, reason="sentencepiece or protobuf is not installed")
def test_a_sentencepiece_file_is_read(tmp_path, save, vocabulary):
    import sentencepiece

    _saved(save, tmp_path / "m", vocabulary, tokenizer_class="LlamaTokenizer")
    loaded = _load(tmp_path / "m")
    text = "hello world, the cat"
    original = sentencepiece.SentencePieceProcessor(model_proto=vocabulary)
    assert loaded.tokenizer(text, add_special_tokens=False)["input_ids"] == original.encode(text)


@pytest.mark.external
@pytest.mark.skipif(not HERE, reason="sentencepiece or protobuf is not installed")
def test_a_sentencepiece_file_that_is_read_otherwise_is_refused(tmp_path, save, vocabulary):
    _saved(save, tmp_path / "m", vocabulary)
    with pytest.raises(ModelRefused, match="otherwise than SentencePiece does: put the model's"):
        _load(tmp_path / "m")
