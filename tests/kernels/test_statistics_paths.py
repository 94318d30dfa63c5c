"""Which path computes attention statistics on a CPU: compiled, compared, tried, remembered."""

import json
import os
import shutil
import stat

import pytest
import torch

from tokenarium.kernels.attention_stats import implementation, paths, trial
from tokenarium.kernels.attention_stats.native import build, layer


@pytest.fixture
def decide(monkeypatch):
    """Decide anew, as a new process would."""
    paths._decide.cache_clear()
    monkeypatch.setattr(paths, "_wished", None)
    yield paths.prefer
    paths._decide.cache_clear()


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache folder of the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "tokenarium" / "native"


@pytest.fixture
def compiled():
    """This machine's compiled kernel; a machine may have no compiler, CI must have one."""
    if "CI" not in os.environ and not any(map(shutil.which, build.COMPILERS)):
        pytest.skip("no C compiler was found")
    return build.build()


@pytest.mark.process
def test_build_keeps_one_kernel_in_a_private_folder(cache, compiled):
    made = build.build()
    assert made.parent == cache
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert [file.name for file in cache.iterdir()] == [made.name]
    before = made.stat().st_mtime_ns
    assert build.build() == made
    assert made.stat().st_mtime_ns == before


def test_build_depends_on_the_processor_and_on_torch(monkeypatch):
    names = {build._identity(["cc"]), build._identity(["cc", "-m64"])}
    monkeypatch.setattr(build, "_processor", lambda: "another")
    names.add(build._identity(["cc"]))
    monkeypatch.setattr(torch, "__version__", "0.0")
    names.add(build._identity(["cc"]))
    assert len(names) == 4


def test_build_refuses_a_folder_that_others_may_write_to(cache, decide):
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    with pytest.raises(build.UnavailableError, match="chmod 700"):
        build.build()
    assert decide("native").name == paths.PANELS


def test_without_a_compiler_the_panels_compute_and_say_why(monkeypatch, decide):
    monkeypatch.setattr(build.shutil, "which", lambda _: None)
    found = decide("auto")
    assert found.library is None
    name, why = implementation(torch.device("cpu"))
    assert name == paths.PANELS
    assert "no C compiler" in why


@pytest.mark.process
def test_what_does_not_compile_leaves_nothing_behind(
    monkeypatch, cache, decide, tmp_path, compiled
):
    wrong = tmp_path / "attention.c"
    wrong.write_text("int attention_job(\n")
    before = set(cache.iterdir())
    monkeypatch.setattr(build, "SOURCE", wrong)
    found = decide("native")
    assert found.name == paths.PANELS
    assert "did not compile" in found.reason
    assert set(cache.iterdir()) == before


@pytest.mark.process
@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("SOURCE", "x += found * t;", "x -= found * t;"),
        ("SOURCE", "back -= (float)LANES;", "back += (float)LANES;"),
        ("SOURCE", "float sum = 0, peak", "float sum = 1, peak"),
        ("SOURCE", "b->inverse[row] = inverse;", "b->inverse[row] = -inverse;"),
        ("VOCAB", "- mean * mean", "+ mean * mean"),
        ("VOCAB", "(x > of_target)", "(x >= of_target)"),
        ("VOCAB", "value > values[at - 1]", "value >= values[at - 1]"),
        ("VOCAB", "2 * (s + s * square * series)", "2 * (s - s * square * series)"),
        ("VOCAB", "(bits)(x == 0) & (bits)(y > 0)", "(bits)(x == 0) & (bits)(y > 1)"),
        ("VOCAB", "ahead ? value <= than", "ahead ? value < than"),
        ("VOCAB", "(below += p[at]) > reach", "(below += p[at]) > 0"),
        ("VOCAB", "probs_at(p, at, size) - probs_at(q, at, size)", "probs_at(q, at, size)"),
        ("CHOSEN", "rest < size; rest++", "rest < size - 1; rest++"),
        ("CHOSEN", "sums[r][n] += weights", "sums[r][n] -= weights"),
    ],
)
def test_a_kernel_that_computes_something_else_is_not_used(
    monkeypatch, cache, decide, tmp_path, compiled, file, right, wrong
):
    source = getattr(build, file).read_text()
    assert source.count(right) == 1
    changed = tmp_path / "changed.c"
    changed.write_text(source.replace(right, wrong))
    monkeypatch.setattr(build, file, changed)
    found = decide("native")
    assert found.name == paths.PANELS
    assert "differs" in found.reason


@pytest.mark.process
@pytest.mark.parametrize(("share", "name"), [(0.5, paths.NATIVE), (1.2, paths.PANELS)])
def test_the_faster_path_is_taken_and_remembered(monkeypatch, cache, decide, compiled, share, name):
    monkeypatch.setattr(trial, "_tried", lambda _: share)
    found = decide("auto")
    assert found.name == name
    assert f"{share:.2f}" in found.reason
    [memo] = cache.glob("*.json")
    assert json.loads(memo.read_text()) == {"share": share}
    monkeypatch.setattr(trial, "_tried", lambda _: pytest.fail("tried again"))
    paths._decide.cache_clear()
    assert decide("auto").name == name


def test_the_variable_decides_where_no_option_does(monkeypatch, decide):
    monkeypatch.setenv(paths.VARIABLE, "panels")
    assert paths.chosen().name == paths.PANELS
    monkeypatch.setenv(paths.VARIABLE, "both")
    with pytest.raises(ValueError, match="TOKENARIUM_STATISTICS=both is not one of auto"):
        paths.chosen()


def test_what_the_kernel_does_not_take_goes_to_the_panels(monkeypatch):
    q, k, v = (torch.zeros(1, 4, 8) for _ in range(3))
    half = torch.zeros(1, 4, 4, dtype=torch.bfloat16)
    taken = layer.AttentionInput(q, k, v, scaling=1.0)
    assert layer.why_not(taken) is None
    assert "mask" in layer.why_not(layer.AttentionInput(q, k, v, scaling=1.0, mask=half))
    assert "no key" in layer.why_not(layer.AttentionInput(q, k, v, scaling=1.0, offset=2))
