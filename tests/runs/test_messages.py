"""Runs that read messages: every kind by one mechanism, found again by what was really read."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runs.conftest import MODEL
from tokenarium.backend.benchmark.sweep.request import SweepRequest
from tokenarium.backend.cache.request import CacheRequest
from tokenarium.backend.errors import UserError
from tokenarium.backend.heartbeat.request import HeartbeatRequest
from tokenarium.backend.interventions.request import InterventionRequest
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.runs.request import ModelRequest
from tokenarium.backend.speculation.request import SpeculateRequest
from tokenarium.backend.trace.request import TraceRequest

CHAT = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
MESSAGES = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
WRITTEN = "system: Be kind.\nuser: Hi\nassistant:"
TURNS = [0] * 17 + [1] * 9 + [2] * 10
ASKED: tuple[tuple[type[ModelRequest], dict[str, object]], ...] = (
    (TraceRequest, {"tiles": 4}),
    (InterventionRequest, {"intervention": "drop_first"}),
    (HeartbeatRequest, {"layer": 0, "head": 0}),
    (CacheRequest, {"policies": ("recent",), "budget": 12, "max_new_tokens": 2, "oracle": False}),
    (
        SpeculateRequest,
        {"drafter": "prompt_lookup", "rule": "greedy", "max_new_tokens": 2, "plain": False},
    ),
)


@pytest.fixture
def chatting(make_lab: Callable[..., Lab], models_dir: Path, tmp_path: Path) -> Lab:
    shutil.copytree(models_dir / "tiny", tmp_path / "models" / "tiny")
    (tmp_path / "models" / "tiny" / "chat_template.jinja").write_text(CHAT, "utf-8")
    return make_lab(models_dir=tmp_path / "models", cold=True)


def test_every_kind_reads_messages_and_its_run_knows_the_turns(chatting: Lab) -> None:
    for kind, values in ASKED:
        request = chatting.request(kind, model=MODEL, messages=MESSAGES, **values)
        result = chatting.run(request).result
        assert getattr(result, "prompt", None) or result.text == WRITTEN, kind
        assert result.turn.tolist() == TURNS, kind
        assert result.turn_role == ("system", "user", "assistant"), kind
        again = chatting.run(request)
        assert again.cached, kind
        assert again.request == request, kind
    found = chatting.search(text="be kind")
    assert {run.kind for run in found} == {kind.kind for kind, _ in ASKED}


def test_a_query_counts_by_turn(chatting: Lab) -> None:
    chatting.run(chatting.request(TraceRequest, model=MODEL, messages=MESSAGES, tiles=2))
    chatting.run(chatting.request(TraceRequest, model=MODEL, text="Hi", tiles=2))
    found = chatting.query(
        "SELECT turn, turn_role, count(*) AS n FROM tokens GROUP BY ALL ORDER BY turn"
    )
    assert [tuple(row.values()) for row in found.to_pylist()] == [
        (-1, None, 3),
        (0, "system", 17),
        (1, "user", 9),
        (2, "assistant", 10),
    ]


def test_an_estimate_counts_the_words_of_the_turns(chatting: Lab) -> None:
    found = chatting.estimate(chatting.request(TraceRequest, model=MODEL, messages=MESSAGES))
    assert (found.words, found.tokens) == (3, len(TURNS))


def test_a_sweep_reads_prompts_that_are_messages(chatting: Lab) -> None:
    values = {"policies": ("recent",), "budgets": (0.5,), "max_new_tokens": 2}
    request = chatting.request(SweepRequest, model=MODEL, prompts=("Hi", MESSAGES), **values)
    assert [len(text.messages) for text in request.texts] == [0, 2]
    assert len(request.rendered) == 1
    assert not chatting.run(request).cached
    assert chatting.run(request).cached


def test_a_stored_run_is_found_only_while_the_template_writes_the_same(
    chatting: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = chatting.request(TraceRequest, model=MODEL, messages=MESSAGES, tiles=2)
    text = chatting.request(TraceRequest, model=MODEL, text="Hi", tiles=2)
    first = chatting.run(request)
    assert first.environment["rendered"]
    assert "rendered" not in chatting.run(text).environment
    # As a template that writes the date does on another day.
    monkeypatch.setattr("tokenarium.backend.cost.sketch.digest_of_ids", lambda *_: "tomorrow")
    later = chatting.run(request)
    assert not later.cached
    assert chatting.run(text).cached
    assert chatting.run(request).id == later.id
    monkeypatch.undo()
    assert chatting.run(request).id == first.id


def test_a_model_without_a_template_refuses_messages_with_the_reason(lab: Lab) -> None:
    request = lab.request(TraceRequest, model=MODEL, messages=MESSAGES)
    with pytest.raises(UserError, match="has no chat template: give text instead"):
        lab.run(request)
