import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runs.conftest import MODEL, until
from tests.runs.stand_in import CountRequest
from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.lab import Lab


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    return make_lab(cold=True)


def test_models_are_described_before_they_are_loaded(lab: Lab, models_dir: Path) -> None:
    from safetensors.numpy import load_file

    info = {info.name: info for info in lab.models()}[MODEL]
    stored = load_file(models_dir / "tiny" / "model.safetensors")
    assert info.parameters == sum(array.size for array in stored.values())
    assert (info.layers, info.heads, info.kv_heads, info.context) == (2, 4, 2, 512)
    assert (info.state, info.detail) == ("cold", "")


def test_warm_loads_in_the_background(lab: Lab) -> None:
    lab.warm(MODEL)
    assert lab.state(MODEL).state in ("loading", "ready")
    until(lambda: lab.state(MODEL).state == "ready", 20)
    assert lab.state("local/other").state == "cold"


def test_running_makes_a_model_ready(lab: Lab) -> None:
    lab.run(CountRequest(model=MODEL, text="one"))
    assert lab.state(MODEL).state == "ready"


def test_state_is_loading_while_it_loads(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    import tokenarium.backend.models.model_cache as shelf

    go, real = threading.Event(), shelf.load
    monkeypatch.setattr(shelf, "load", lambda *a: (go.wait(10), real(*a))[1])
    lab.warm(MODEL)
    until(lambda: lab.state(MODEL).state == "loading")
    go.set()
    until(lambda: lab.state(MODEL).state == "ready")


def test_refusal_is_kept_in_the_state_until_loading_succeeds(
    make_lab: Callable[..., Lab], tmp_path: Path, models_dir: Path
) -> None:
    broken = tmp_path / "models" / "broken"
    broken.mkdir(parents=True)
    for file in (models_dir / "tiny").iterdir():
        if file.suffix != ".safetensors":
            (broken / file.name).write_bytes(file.read_bytes())
    lab = make_lab(cold=True, models_dir=tmp_path / "models")
    with pytest.raises(UserError, match="no weights"):
        lab.run(CountRequest(model="local/broken", text="one"))
    refused = lab.state("local/broken")
    assert refused.state == "refused"
    assert "no weights" in refused.detail
    assert refused.parameters is None
    weights = "model.safetensors"
    (broken / weights).write_bytes((models_dir / "tiny" / weights).read_bytes())
    lab.run(CountRequest(model="local/broken", text="one"))
    assert (lab.state("local/broken").state, lab.state("local/broken").detail) == ("ready", "")
    lab._registry._shelf.clear()
    assert lab.state("local/broken").state == "cold", "unloaded, and not refused any more"


def test_defect_while_warming_is_kept_in_the_state(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("defect")

    monkeypatch.setattr("tokenarium.backend.models.model_cache.load", fail)
    lab.warm(MODEL)
    until(lambda: lab.state(MODEL).state == "refused")
    assert lab.state(MODEL).detail == "RuntimeError: defect"


def test_warm_of_an_unknown_model_is_refused(lab: Lab) -> None:
    with pytest.raises(UserError, match="local/absent"):
        lab.warm("local/absent")
