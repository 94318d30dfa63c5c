"""Any folder of a model is read, or is refused in words that name it; the list is always made."""

import json

import pytest
import torch

from tests.hostile.folders import change_json, copy, drawn, short, write_json
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import resolve
from tokenarium.backend.models.refusal import ModelRefused
from tokenarium.backend.models.registry import ModelRegistry
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.settings import Settings
from tokenarium.storage import RunStore

SHORT = dict(short())


def _outcome(home, models):
    """Load a folder of the models folder; return the refusal, or None where it is read."""
    try:
        source = resolve(f"local/{home.name}", Settings(models_dir=models))
        load(source, "float32", "cpu", 128)
    except ValueError as refusal:
        said = str(refusal)
        assert home.name in said, "the refusal names the folder"
        assert len(said) < 1500
        assert "\n" not in said
        return said
    return None


@pytest.mark.parametrize("name", SHORT)
def test_an_odd_folder_is_read_or_refused_in_words(small, tmp_path, name):
    home = copy(small, tmp_path / "odd")
    SHORT[name](home)
    said = _outcome(home, tmp_path)
    if name.startswith(("pipe", "device", "header", "index")):
        assert said, "what could never be read is refused"
    if name.startswith(("pipe", "device")):
        assert "no regular file" in said or "no folder with a config.json" in said


def test_damage_drawn_at_random_is_read_or_refused_in_words(small, tmp_path):
    for number, (_, change) in enumerate(drawn(seed=1, count=12)):
        home = copy(small, tmp_path / f"odd{number}")
        change(home)
        _outcome(home, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 6))
def test_more_damage_drawn_at_random_is_read_or_refused_in_words(small, tmp_path, seed):
    for number, (_, change) in enumerate(drawn(seed, count=50)):
        home = copy(small, tmp_path / f"odd{number}")
        change(home)
        _outcome(home, tmp_path)


def test_a_list_of_odd_folders_names_each_with_its_reason(small, tmp_path):
    for number, change in enumerate(SHORT.values()):
        home = copy(small, tmp_path / f"odd{number:03}")
        change(home)
    copy(small, tmp_path / "whole")
    with Lab(Settings(models_dir=tmp_path, database="duckdb:///:memory:")) as lab:
        listed = {info.name: info for info in lab.models()}
    assert listed["local/whole"].state == "cold"
    assert listed["local/whole"].layers == 1
    for number, name in enumerate(SHORT):
        info = listed.get(f"local/odd{number:03}")
        assert info is not None, f"{name} is listed"
        if name.startswith(("index", "header", "pipe config", "pipe model", "config.json 0")):
            assert info.state == "refused", name
            assert f"odd{number:03}" in info.detail, "the reason names the folder"
    json.dumps([info.detail for info in listed.values()], ensure_ascii=False).encode()


def test_a_mended_folder_is_offered_again(small, tmp_path):
    home = copy(small, tmp_path / "mended")
    whole = (home / "config.json").read_text()
    write_json("config.json", "[]")(home)
    registry = ModelRegistry(Settings(models_dir=tmp_path), RunStore("duckdb:///:memory:"))
    assert registry.info("local/mended").state == "refused"
    (home / "config.json").write_text(whole)
    assert registry.info("local/mended").state == "cold"


def test_an_error_that_no_file_names_still_ends_in_a_refusal(small, tmp_path, monkeypatch):
    class PanicException(BaseException):
        """As pyo3's: no ``Exception``."""

    def panic(*_, **__):
        raise PanicException("called `Option::unwrap()` on a `None` value")

    monkeypatch.setattr("tokenarium.backend.models.loading.find_structure", panic)
    source = resolve(f"local/{small.name}", Settings(models_dir=small.parent))
    with pytest.raises(ModelRefused, match=r"small could not be loaded \(PanicException: called"):
        load(source, torch.float32, "cpu", 128)
    monkeypatch.setattr("tokenarium.backend.models.loading.find_structure", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        load(source, torch.float32, "cpu", 128)


def _interrupted(*_):
    raise KeyboardInterrupt


def test_a_folder_whose_name_is_no_text_is_listed(small, tmp_path):
    home = copy(small, tmp_path / "odd\udcff")
    change_json("config.json", text_config=[])(home)
    registry = ModelRegistry(Settings(models_dir=tmp_path), RunStore("duckdb:///:memory:"))
    listed = [info for info in registry.infos() if info.name.startswith("local/")]
    assert [info.name for info in listed] == ["local/odd\\udcff"]
    assert listed[0].state == "refused"
