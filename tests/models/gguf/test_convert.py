"""A GGUF file becomes the model it was written from, whole or not at all."""

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from tests.models.gguf.written import model_of, write
from tokenarium.backend.models.gguf import convert as converting
from tokenarium.backend.models.gguf.convert import convert
from tokenarium.backend.models.gguf.converted import MARKER, GgufSource, identity
from tokenarium.backend.models.identity import fingerprint
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource, folder, resolve
from tokenarium.backend.models.refusal import ModelRefused
from tokenarium.backend.settings import Settings


def _source(file: Path, cache: Path) -> ModelSource:
    return ModelSource("tiny", None, None, "tiny", GgufSource(cache, file))


def _logits(model) -> np.ndarray:
    ids = torch.randint(2, 258, (1, 40), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return model(input_ids=ids).logits.float().numpy()


def test_a_converted_file_is_the_model_it_was_written_from(plain, tiny, tmp_path) -> None:
    source = _source(plain, tmp_path)
    convert(source.gguf, "tiny")
    loaded = load(source, "float32", "cpu", 128)
    np.testing.assert_allclose(_logits(loaded.model), _logits(tiny), atol=1e-5)
    assert loaded.tokenizer("hello w")["input_ids"][-2:] != []
    assert loaded.weights == "GGUF, F32"
    assert loaded.context == 128


def test_quantised_weights_are_those_that_the_gguf_package_unpacks(quantised, tmp_path) -> None:
    source = _source(quantised, tmp_path)
    convert(source.gguf, "tiny")
    loaded = load(source, "float32", "cpu", 128)
    reader = gguf.GGUFReader(quantised)
    stored = next(t for t in reader.tensors if t.name == "blk.1.ffn_down.weight")
    wanted = torch.from_numpy(gguf.dequantize(stored.data, stored.tensor_type))
    found = loaded.model.get_parameter("model.layers.1.mlp.down_proj.weight")
    assert torch.equal(found, wanted.to(torch.bfloat16).float())
    assert loaded.weights == "dequantised 4-bit copy: GGUF, Q4_1, as bfloat16"


def test_identity_is_that_of_file_and_converter_alone(quantised, plain, tmp_path) -> None:
    source = _source(quantised, tmp_path)
    assert folder(source) is None
    assert fingerprint(source) is None
    home = convert(source.gguf, "tiny")
    found = fingerprint(source)
    assert found == identity(source.gguf.known_digest())
    # As another version of transformers would write it.
    config = json.loads((home / "config.json").read_text())
    text = json.dumps(config | {"transformers_version": "9.9.9"})
    (home / "config.json").write_text(text)
    marker = json.loads((home / MARKER).read_text())
    marker["sizes"]["config.json"] = len(text)
    (home / MARKER).write_text(json.dumps(marker))
    assert fingerprint(source) == found
    other = _source(plain, tmp_path)
    convert(other.gguf, "tiny")
    assert fingerprint(other) != found


def test_a_second_conversion_reads_nothing(quantised, tmp_path, monkeypatch) -> None:
    source = _source(quantised, tmp_path).gguf
    home = convert(source, "tiny")
    monkeypatch.setattr(converting, "load_gguf_checkpoint", None)
    assert convert(source, "tiny") == home


def test_a_folder_that_is_not_whole_is_made_again(quantised, tmp_path) -> None:
    source = _source(quantised, tmp_path).gguf
    home = convert(source, "tiny")
    weights = (home / "model.safetensors").read_bytes()
    (home / "model.safetensors").write_bytes(weights[:-1])
    assert source.folder() is None
    assert convert(source, "tiny") == home
    assert (home / "model.safetensors").read_bytes() == weights


def test_a_conversion_that_fails_leaves_nothing(quantised, tmp_path, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no more memory")

    monkeypatch.setattr(converting, "save_file", fail)
    source = _source(quantised, tmp_path).gguf
    with pytest.raises(ModelRefused, match="no more memory"):
        convert(source, "tiny")
    assert source.folder() is None
    assert [entry.name for entry in (tmp_path / "gguf").iterdir()] == ["digests"]


def test_what_was_left_half_written_is_removed(quantised, tmp_path) -> None:
    source = _source(quantised, tmp_path).gguf
    home = convert(source, "tiny")
    left = home.with_name(f"{home.name}.killed.part")
    home.rename(left)
    assert source.folder() is None
    assert convert(source, "tiny") == home
    assert not left.exists()


def test_an_architecture_that_is_not_read_is_refused_by_name(tiny, tmp_path) -> None:
    file = write(tmp_path / "other.gguf", tiny, architecture="rwkv7")
    with pytest.raises(ModelRefused, match="architecture 'rwkv7', which transformers does not"):
        convert(GgufSource(tmp_path, file), "other")


def test_scaled_positions_are_refused_instead_of_left_out(tiny, tmp_path) -> None:
    file = write(tmp_path / "long.gguf", tiny, llama__rope__scaling__type="yarn")
    with pytest.raises(ModelRefused, match="scales its rotary positions"):
        convert(GgufSource(tmp_path, file), "long")


def test_tensors_that_would_be_left_out_are_refused(tmp_path) -> None:
    file = write(tmp_path / "bias.gguf", model_of(attention_bias=True))
    with pytest.raises(ModelRefused, match=r"8 tensors .* such as blk\.0\.attn_q\.bias"):
        convert(GgufSource(tmp_path, file), "bias")


def test_weights_that_do_not_fit_the_configuration_are_refused(
    tiny: PreTrainedModel, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(tiny.config, "intermediate_size", 96)
    file = write(tmp_path / "wide.gguf", tiny)
    with pytest.raises(ModelRefused, match=r"mlp\.\w+_proj\.weight are of the shape"):
        convert(GgufSource(tmp_path, file), "wide")


def test_a_disk_without_room_is_refused_before_the_work(quantised, tmp_path, monkeypatch) -> None:
    usage = type("Usage", (), {"free": 1_000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(ModelRefused, match="--cache-dir"):
        convert(GgufSource(tmp_path, quantised), "tiny")


def test_paths_of_files_and_folders_are_models(quantised, tmp_path, monkeypatch) -> None:
    settings = Settings(models_dir=tmp_path, hosted=False, cache_dir=tmp_path / "cache")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "any.gguf").write_bytes(quantised.read_bytes())
    file = tmp_path / "mine" / "any.gguf"
    monkeypatch.chdir(tmp_path)
    for name in (str(file), str(file.parent), "mine", "mine/any.gguf", "local/mine"):
        source = resolve(name, settings)
        assert source.gguf.file == file, name
        assert source.folder is None
    (tmp_path / "mine" / "second.gguf").write_bytes(b"")
    with pytest.raises(ValueError, match="give the path of one"):
        resolve("local/mine", settings)
