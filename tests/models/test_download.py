"""Hugging Face's failures in words, and nothing downloaded that would be refused."""

import shutil
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import errors
from safetensors.torch import load_file

from tokenarium.backend.models import download
from tokenarium.backend.models.download import fetch
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.models.refusal import DoesNotFit, ModelRefused


def _http(kind, status):
    return kind("said", response=SimpleNamespace(status_code=status, headers={}, request=None))


FAILURES = [
    (_http(errors.GatedRepoError, 403), r"gated.*https://huggingface\.co/org/name.*HF_TOKEN"),
    (_http(errors.RepositoryNotFoundError, 404), "not found.*check the spelling"),
    (_http(errors.RemoteEntryNotFoundError, 404), r"no config\.json"),
    (errors.LocalEntryNotFoundError("said"), "cannot be reached: check the network"),
    (errors.OfflineModeIsEnabled("said"), "HF_HUB_OFFLINE"),
    (_http(errors.HfHubHTTPError, 503), "answered 503"),
    (errors.NotASafetensorsRepoError("said"), r"no readable safetensors.*can run code"),
    (errors.HTTPError("said"), "cannot be reached"),
    (ConnectionError("said"), "cannot be reached"),
]


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    answers = SimpleNamespace(head=lambda *_, **__: None)
    monkeypatch.setattr(download, "get_session", lambda: answers)
    return tmp_path / "hub" / "models--org--name"


@pytest.fixture
def remote(saved, hub, monkeypatch):
    """Hugging Face with one model on it; returns what was downloaded."""
    asked = []
    files = saved("llama").folder
    home = hub / "snapshots" / "abc"

    def one(_, name):
        asked.append(name)
        (hub / "refs").mkdir(parents=True, exist_ok=True)
        (hub / "refs" / "main").write_text("abc")
        home.mkdir(parents=True, exist_ok=True)
        shutil.copy(files / name, home / name)
        return str(home / name)

    def rest(_, allow_patterns):
        asked.append("weights")
        shutil.copytree(files, home, dirs_exist_ok=True)

    tensors = load_file(files / "model.safetensors").values()
    metadata = SimpleNamespace(parameter_count={"F32": sum(t.numel() for t in tensors)})

    monkeypatch.setattr(download, "hf_hub_download", one)
    monkeypatch.setattr(download, "snapshot_download", rest)
    monkeypatch.setattr(download, "get_safetensors_metadata", lambda _: metadata)
    return asked


@pytest.mark.parametrize(("failure", "words"), FAILURES, ids=lambda value: type(value).__name__)
def test_fetch_failure_is_told_in_words(monkeypatch, failure, words):
    def fail(*_, **__):
        raise failure

    monkeypatch.setattr(download, "hf_hub_download", fail)
    with pytest.raises(ModelRefused, match=words):
        fetch("org/name", lambda *_: None)


def test_nothing_is_tried_again_where_nobody_answers(remote, monkeypatch):
    def head(url, timeout):
        assert timeout == download.REACH_S
        raise errors.HTTPError(f"no route to {url}")

    monkeypatch.setattr(download, "get_session", lambda: SimpleNamespace(head=head))
    with pytest.raises(ModelRefused, match="cannot be reached: check the network"):
        fetch("org/name", lambda *_: None)
    assert remote == []


def test_load_downloads_once_and_then_needs_no_network(remote):
    source = ModelSource("org/name", None, "org/name", "org/name")
    loaded = load(source, torch.float32, torch.device("cpu"), 512)
    assert remote == ["config.json", "weights"]
    assert loaded.fingerprint
    again = load(source, torch.float32, torch.device("cpu"), 512)
    assert remote == ["config.json", "weights"]
    assert again.fingerprint == loaded.fingerprint


def test_load_refuses_before_the_weights_are_downloaded(remote, monkeypatch):
    monkeypatch.setattr("tokenarium.backend.models.loading.free_bytes", lambda _: 1000)
    with pytest.raises(DoesNotFit):
        load(
            ModelSource("org/name", None, "org/name", "org/name"),
            torch.float32,
            torch.device("cpu"),
            512,
        )
    assert remote == ["config.json"]


def test_fetch_model_without_tokenizer_is_refused(remote, saved, hub, monkeypatch):
    def weights_only(*_, **__):
        shutil.copy(saved("llama").folder / "model.safetensors", hub / "snapshots" / "abc")

    monkeypatch.setattr(download, "snapshot_download", weights_only)
    with pytest.raises(ModelRefused, match="no tokenizer"):
        fetch("org/name", lambda *_: None)
