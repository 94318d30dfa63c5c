"""A name means one model or is refused, and content decides the fingerprint."""

import hashlib
import os
import subprocess
import sys

import pytest

from tokenarium.backend.models import hub_cache, identity, names
from tokenarium.backend.models.default import DEFAULT_MODEL, HUB_COPY
from tokenarium.backend.models.identity import fingerprint
from tokenarium.backend.models.names import available, folder, resolve
from tokenarium.backend.models.refusal import ModelRefused
from tokenarium.backend.settings import PROJECT, Settings


def _model(path, weights=b"w", config="{}"):
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(config)
    (path / "tokenizer.json").write_text("{}")
    (path / "model.safetensors").write_bytes(weights)
    return path


class Memo:
    def __init__(self):
        self.known = {}
        self.asked = 0

    def digest(self, path, size, mtime_ns):
        self.asked += 1
        return self.known.get((path, size, mtime_ns))

    def remember_digest(self, path, size, mtime_ns, digest):
        self.known[path, size, mtime_ns] = digest


@pytest.fixture
def models_dir(tmp_path):
    root = tmp_path / "models"
    _model(root / "mine")
    return root


@pytest.fixture
def bundled(tmp_path, monkeypatch):
    monkeypatch.setattr(names, "BUNDLED_FOLDER", tmp_path / "bundled")
    return _model(tmp_path / "bundled" / "target")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def _local(models_dir, **more):
    return Settings(models_dir=models_dir, hosted=False, **more)


def test_resolve_bundled_local_folder_and_hub_id(models_dir, bundled, monkeypatch):
    settings = _local(models_dir)
    assert resolve("bundled/target", settings).folder == bundled
    assert resolve("local/mine", settings).folder == models_dir / "mine"
    assert resolve(str(models_dir / "mine"), settings).folder == models_dir / "mine"
    monkeypatch.chdir(models_dir.parent)
    assert resolve("models/mine", settings).folder == models_dir / "mine"
    assert resolve("./models/mine", settings).folder == models_dir / "mine"
    remote = resolve("Qwen/Qwen3-0.6B", settings)
    assert (remote.folder, remote.hub_id) == (None, "Qwen/Qwen3-0.6B")


@pytest.mark.parametrize(
    "name",
    [
        "local/../mine",
        "local/..",
        "local/.",
        "local/",
        "local/mine/..",
        "local/a/b",
        "local/a\\b",
        "local/mine\0",
        "local/absent",
        "local/link",
        "~/mine",
        "~root",
        "/absent/folder",
        "./absent",
        "gpt2",
        "",
        "a/b/c",
        "org/../name",
        "org/na..me",
        "org/na--me",
        "org/name ",
        "org/näme",
        "bundled/other",
        "bundled/../models/mine",
    ],
)
def test_resolve_refuses_what_is_no_model(name, models_dir, tmp_path):
    _model(tmp_path / "outside")
    (models_dir / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(ValueError, match="model=") as caught:
        resolve(name, _local(models_dir))
    assert str(tmp_path) not in str(caught.value)


def test_resolve_tilde_asks_for_the_full_path(models_dir):
    with pytest.raises(ValueError, match="begins with ~: give the folder's full path"):
        resolve("~/mine", _local(models_dir))


def test_resolve_local_without_a_models_folder_names_the_option():
    with pytest.raises(ValueError, match="--models-dir"):
        resolve("local/mine", Settings(models_dir=None, hosted=False))


def test_resolve_hosted_allows_only_the_list_and_names_it(models_dir, bundled):
    settings = Settings(hosted=True, models_dir=models_dir, hosted_models="org/small,local/mine")
    assert resolve("bundled/target", settings).folder == bundled
    assert resolve("org/small", settings).hub_id == "org/small"
    assert resolve("local/mine", settings).folder == models_dir / "mine"
    for name in ("org/other", str(models_dir / "mine"), "local/other", "./models"):
        offered = f"{DEFAULT_MODEL}, bundled/target, bundled/draft, {HUB_COPY}, org/small, local/"
        with pytest.raises(ValueError, match=offered):
            resolve(name, settings)


def test_available_lists_what_is_there(models_dir, bundled, hub):
    (models_dir / "empty").mkdir()
    first = [DEFAULT_MODEL, "bundled/target"]
    assert [s.name for s in available(_local(models_dir))] == [*first, "local/mine"]
    hosted = Settings(hosted=True, models_dir=models_dir, hosted_models="org/small")
    assert [s.name for s in available(hosted)] == [*first, "org/small"]


def test_fingerprint_follows_content_not_place(models_dir, tmp_path):
    settings = _local(models_dir)
    first = fingerprint(resolve("local/mine", settings))
    twin = _model(tmp_path / "twin")
    assert fingerprint(resolve(str(twin), settings)) == first
    (twin / "README.md").write_text("not part of the model")
    assert fingerprint(resolve(str(twin), settings)) == first
    seen = {first}
    for file in ("config.json", "tokenizer.json", "model.safetensors", "chat_template.jinja"):
        (twin / file).write_text(f"other {file}")
        seen.add(fingerprint(resolve(str(twin), settings)))
    assert len(seen) == 5


def test_fingerprint_hashes_an_unchanged_file_once(models_dir, monkeypatch):
    source, memo = resolve("local/mine", _local(models_dir)), Memo()
    first = fingerprint(source, memo)
    monkeypatch.setattr(identity, "sha256_of", None)
    assert fingerprint(source, memo) == first
    weights = models_dir / "mine" / "model.safetensors"
    os.utime(weights, ns=(1, 1))
    with pytest.raises(ModelRefused, match="mine cannot be read \\(TypeError"):
        fingerprint(source, memo)


def test_fingerprint_of_a_hub_model_needs_a_whole_snapshot(hub):
    source = resolve("org/name", Settings(hosted=False))
    assert fingerprint(source) is None
    home = hub / "models--org--name"
    snapshot = _model(home / "snapshots" / "abc")
    assert fingerprint(source) is None
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("abc")
    assert folder(source) == snapshot
    assert fingerprint(source) is not None
    (snapshot / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}'
    )
    (snapshot / "model-1.safetensors").write_bytes(b"1")
    assert fingerprint(source) is None


def test_fingerprint_of_a_downloaded_file_is_the_name_of_its_blob(hub, monkeypatch):
    home = hub / "models--org--name"
    snapshot = _model(home / "snapshots" / "abc")
    plain = fingerprint(names.ModelSource("x", snapshot, None, "x"))
    digest = hashlib.sha256(b"w").hexdigest()
    (home / "blobs").mkdir()
    (snapshot / "model.safetensors").rename(home / "blobs" / digest)
    (snapshot / "model.safetensors").symlink_to(home / "blobs" / digest)
    assert hub_cache.content_name(snapshot / "model.safetensors") == digest
    assert fingerprint(names.ModelSource("x", snapshot, None, "x")) == plain


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"HF_HUB_CACHE": "a", "HF_HOME": "b", "XDG_CACHE_HOME": "c"}, "a"),
        ({"HF_HOME": "b", "XDG_CACHE_HOME": "c"}, "b/hub"),
        ({"XDG_CACHE_HOME": "c"}, "c/huggingface/hub"),
    ],
)
def test_snapshot_is_looked_for_where_hugging_face_puts_it(
    variables, expected, tmp_path, monkeypatch
):
    for name in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    home = tmp_path / expected / "models--org--name"
    snapshot = _model(home / "snapshots" / "abc")
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("abc\n")
    assert hub_cache.snapshot("org/name") == snapshot


@pytest.mark.process
def test_names_imports_neither_torch_nor_transformers():
    script = (
        "import sys, tokenarium.backend.models.names\n"
        "print({'torch', 'transformers', 'huggingface_hub'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
