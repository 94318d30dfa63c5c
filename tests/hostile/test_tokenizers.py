"""A tokenizer or template that takes long, takes much or breaks is ended, and the page goes on."""

import threading
import time

import pytest

from tests.hostile.folders import change_json, copy
from tests.hostile.tokenizers import LOADED, STAGES, STUCK, TEMPLATES, texts, write_stage
from tokenarium.backend.models.encoding import read
from tokenarium.backend.models.isolation import process
from tokenarium.backend.models.isolation.backend import backend_of
from tokenarium.backend.models.loading import read_tokenizer
from tokenarium.backend.models.refusal import ModelRefused
from tokenarium.backend.models.spelling import spell
from tokenarium.backend.models.template import ChatTemplateError, fill
from tokenarium.backend.runs.events import Cancelled, CancelToken, cancelled_by
from tokenarium.backend.trace.request import TraceRequest

QUICK = ("loops", "three gigabytes")
LIMIT_S = 15
"""Within which everything here ends, on a machine that does other things."""


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(process, "CPU_S", 0.2)
    monkeypatch.setattr(process, "CPU_S_PER_MB", 0.0)


def _request(text):
    return TraceRequest(model="local/odd", text=text, special_tokens=False)


def _isolated(small, tmp_path, stage=None):
    home = copy(small, tmp_path / "odd")
    write_stage(home, stage or {})
    return read_tokenizer(home, "local/odd")


def _stuck(tokenizer, name):
    if name.startswith("decoder"):
        return tokenizer.decode([5, 6, 7])
    return read(tokenizer, _request(STUCK), "local/odd")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if number in (0, 2) else pytest.mark.slow)
        for number, name in enumerate(STAGES)
    ],
)
def test_a_tokenizer_that_does_not_end_is_ended_and_begun_again(small, tmp_path, quick, name):
    tokenizer = _isolated(small, tmp_path, STAGES[name])
    started = time.monotonic()
    with pytest.raises(ValueError, match=r"local/odd (did not end|took more|fails)"):
        _stuck(tokenizer, name)
    assert time.monotonic() - started < LIMIT_S
    assert read(tokenizer, _request("b"), "local/odd").ids, "the next text is read"


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if "long" in name else []) for name in LOADED],
)
def test_a_tokenizer_that_cannot_be_read_is_refused(small, tmp_path, name):
    started = time.monotonic()
    with pytest.raises(ValueError, match="local/odd"):
        read(_isolated(small, tmp_path, LOADED[name]), _request("ab"), "local/odd")
    assert time.monotonic() - started < 3 * LIMIT_S


def test_a_cancelled_run_ends_the_tokenizer_that_it_waits_for(small, tmp_path):
    tokenizer = _isolated(small, tmp_path, STAGES["normaliser bomb"])
    cancel = CancelToken()
    timer = threading.Timer(0.5, cancel.cancel)
    started = time.monotonic()
    timer.start()
    with pytest.raises(Cancelled), cancelled_by(cancel):
        _stuck(tokenizer, "")
    assert time.monotonic() - started < process.CPU_S
    assert backend_of(tokenizer)._process._running is None, "the process is gone"


def test_another_tokenizer_answers_meanwhile(small, tmp_path):
    stuck = _isolated(small, tmp_path / "one", STAGES["normaliser bomb"])
    other = _isolated(small, tmp_path / "two")
    cancel = CancelToken()

    def wait():
        with pytest.raises(Cancelled), cancelled_by(cancel):
            _stuck(stuck, "")

    thread = threading.Thread(target=wait)
    thread.start()
    read(other, _request("hello"), "local/odd")
    longest = 0.0
    for _ in range(20):
        started = time.monotonic()
        read(other, _request("hello"), "local/odd")
        longest = max(longest, time.monotonic() - started)
    assert thread.is_alive(), "the other still waits"
    assert longest < 1
    cancel.cancel()
    thread.join(LIMIT_S)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in TEMPLATES],
)
def test_a_template_ends_within_its_limit(small, tmp_path, monkeypatch, name):
    monkeypatch.setattr(process, "CPU_S", 1.2)
    tokenizer = _isolated(small, tmp_path)
    tokenizer.chat_template = TEMPLATES[name]
    started = time.monotonic()
    said = r"^fails \(.{1,400}\)$|^writes .* characters, more|template of local/odd (did|took)"
    with pytest.raises((ChatTemplateError, process.TokenizerStopped), match=said):
        fill(tokenizer, [{"role": "user", "content": "hi"}], answer=True)
    assert time.monotonic() - started < LIMIT_S


def test_a_panic_ends_the_process_and_is_said_in_words(small, tmp_path, monkeypatch):
    tokenizer = _isolated(small, tmp_path)
    running = backend_of(tokenizer)._process
    read(tokenizer, _request("a"), "local/odd")
    first = running._running
    monkeypatch.setattr(
        type(first), "answer", lambda *_: b'{"error": "a regex", "kind": "PanicException"}'
    )
    with pytest.raises(ValueError, match=r"local/odd fails on this text \(a regex\): change"):
        read(tokenizer, _request("a"), "local/odd")
    assert running._running is None
    monkeypatch.undo()
    assert read(tokenizer, _request("a"), "local/odd").ids


def test_texts_read_apart_as_they_are_read_in_process(small, tmp_path):
    own, apart = (read_tokenizer(small, "local/x") for _ in range(2))
    own._tokenizer = own._tokenizer._real
    assert backend_of(own) is None
    for text in texts(seed=1, count=100):
        one, other = (read(tokenizer, _request(text), "x") for tokenizer in (own, apart))
        assert one == other, repr(text)
        assert own.decode(one.ids) == apart.decode(one.ids)
        assert spell(own, one.ids) == spell(apart, one.ids)


def test_a_changed_tokenizer_is_read_anew(small, tmp_path):
    tokenizer = _isolated(small, tmp_path)
    before = read(tokenizer, _request("wxyz"), "x").ids
    tokenizer.add_tokens(["wxyz"])
    after = read(tokenizer, _request("wxyz"), "x").ids
    assert len(after) == 2 < len(before)


def test_models_of_this_project_stay_in_process(small):
    assert backend_of(read_tokenizer(small, "bundled/target")) is None
    assert backend_of(read_tokenizer(small, "local/x")) is not None


def test_a_tokenizer_that_cannot_be_handed_over_is_refused(small, monkeypatch):
    monkeypatch.setattr("tokenarium.backend.models.loading.isolate", _no_copy)
    with pytest.raises(ModelRefused, match=r"local/x has a tokenizer of its own code \(no copy\)"):
        read_tokenizer(small, "local/x")


def _no_copy(*_):
    raise ValueError("no copy")


def test_a_tokenizer_whose_configuration_breaks_transformers_is_said_in_words(small, tmp_path):
    home = copy(small, tmp_path / "odd")
    change_json("tokenizer_config.json", model_max_length="x")(home)
    tokenizer = read_tokenizer(home, "local/odd")
    with pytest.raises(ValueError, match=r"local/odd fails on this text \(TypeError: '>' not"):
        read(tokenizer, _request("a"), "local/odd")
