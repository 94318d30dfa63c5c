import gc
import threading
import time
import weakref
from collections.abc import Callable

import numpy as np
import pytest

from tests.runs.conftest import MODEL, until
from tests.runs.stand_in import CountRequest, Watch
from tokenarium.backend.errors import UserError
from tokenarium.backend.models import files
from tokenarium.backend.runs import executor
from tokenarium.backend.runs.events import (
    Cancelled,
    CancelToken,
    Finished,
    Partial,
    Progress,
    Queued,
)
from tokenarium.backend.runs.lab import Lab

MakeLab = Callable[..., Lab]


def asked(text: str = "one", **values: object) -> CountRequest:
    return CountRequest(model=values.pop("model", MODEL), text=text, **values)


def in_background(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_run_computes_once_and_then_comes_from_the_store(lab: Lab, watch: Watch) -> None:
    first = lab.run(asked())
    second = lab.run(asked())
    assert (first.cached, second.cached) == (False, True)
    assert watch.calls == ["one"]
    assert second.id == first.id
    assert second.request == first.request
    assert second.created == first.created
    assert second.duration_ms == pytest.approx(first.duration_ms, rel=1e-6)
    assert second.environment == first.environment
    assert second.result.facts() == first.result.facts()
    np.testing.assert_array_equal(second.result.counts, first.result.counts)


def test_run_computes_again_for_another_question(lab: Lab, watch: Watch) -> None:
    ids = {
        lab.run(question).id
        for question in (
            asked(),
            asked("two"),
            asked(steps=4),
            asked(dtype="bfloat16"),
            asked(model="local/other"),
        )
    }
    assert len(ids) == len(watch.calls) == 5


def test_run_tells_how_it_was_made(lab: Lab) -> None:
    run = lab.run(asked(pause_ms=5))
    assert run.environment["device"] == "cpu"
    assert run.environment["dtype"] == "float32"
    assert len(run.environment["fingerprint"]) == 64
    assert run.environment["versions"]["transformers"]
    assert run.duration_ms >= 15
    assert run.owner == ""


def test_run_limit_is_the_smaller_of_settings_and_context(make_lab: MakeLab) -> None:
    assert make_lab().run(asked()).result.limit == 512
    short = make_lab(max_tokens=40, database="duckdb:///:memory:")
    assert short.run(asked()).result.limit == 40


def test_run_that_may_cut_is_not_served_under_another_limit(
    make_lab: MakeLab, watch: Watch
) -> None:
    first = make_lab()
    cut, whole = asked("one", overflow="keep_start"), asked("two")
    first.run(cut)
    first.run(whole)
    first.close()
    second = make_lab(max_tokens=40)
    assert not second.run(cut).cached
    assert second.run(whole).cached
    assert watch.calls == ["one", "two", "one"]


def test_stream_tells_progress_and_partial_results_then_finishes(lab: Lab, watch: Watch) -> None:
    events = list(lab.stream(asked(steps=5, pause_ms=30)))
    assert isinstance(events[-1], Finished)
    counting = [e.done for e in events if isinstance(e, Progress) and e.doing == "counting"]
    assert counting == sorted(counting)
    assert counting[-1] == 4
    partial = [e.result.layers_done for e in events if isinstance(e, Partial)]
    assert partial[-1] == 4
    assert len(lab.search()) == 1, "partial results are not stored"


def test_stream_gives_a_slow_reader_the_latest_only(lab: Lab) -> None:
    lab.run(asked("warm the model"))
    events = lab.stream(asked(steps=500))
    next(events)
    until(lambda: not lab.running())
    assert len(list(events)) <= 3


def test_stream_waits_for_the_model_and_tells_the_place(lab: Lab, watch: Watch) -> None:
    watch.gate.clear()
    in_background(lambda: lab.run(asked("first")))
    until(lambda: watch.calls == ["first"])
    second, third = lab.stream(asked("second")), lab.stream(asked("third"))
    assert next(second) == Queued(1)
    assert next(third) == Queued(2)
    assert lab.waiting(MODEL) == 2
    watch.gate.set()
    assert isinstance(list(third)[-1], Finished)
    assert isinstance(list(second)[-1], Finished)
    assert watch.calls == ["first", "second", "third"]
    assert watch.most_together[MODEL] == 1


def test_stream_of_another_model_does_not_wait(lab: Lab, watch: Watch) -> None:
    watch.gate.clear()
    threads = [
        in_background(lambda name=name: lab.run(asked(model=name)))
        for name in (MODEL, "local/other")
    ]
    until(lambda: len(watch.calls) == 2)
    watch.gate.set()
    for thread in threads:
        thread.join(10)


def test_stream_is_refused_when_too_many_wait(make_lab: MakeLab, watch: Watch) -> None:
    lab = make_lab(queue_size=1)
    watch.gate.clear()
    in_background(lambda: lab.run(asked("first")))
    until(lambda: watch.calls == ["first"])
    second = lab.stream(asked("second"))
    assert next(second) == Queued(1)
    with pytest.raises(UserError, match="busy: 1 requests are waiting"):
        lab.run(asked("third"))
    watch.gate.set()
    assert isinstance(list(second)[-1], Finished)


def test_identical_requests_at_once_are_computed_once(lab: Lab, watch: Watch) -> None:
    watch.gate.clear()
    runs = []
    threads = [in_background(lambda: runs.append(lab.run(asked()))) for _ in range(4)]
    until(lambda: lab.waiting() == 3)
    watch.gate.set()
    for thread in threads:
        thread.join(10)
    assert watch.calls == ["one"]
    assert len({run.id for run in runs}) == 1
    assert sorted(run.cached for run in runs) == [False, True, True, True]


def test_cancel_stops_the_runner_at_its_next_check_and_stores_nothing(
    lab: Lab, watch: Watch
) -> None:
    cancel = CancelToken()
    events = lab.stream(asked(steps=1000, pause_ms=5), cancel=cancel)
    for event in events:
        if isinstance(event, Partial) and event.result.layers_done >= 3:
            break
    cancel.cancel("enough")
    with pytest.raises(Cancelled, match="enough"):
        list(events)
    at = watch.steps
    assert watch.stopped.wait(5)
    assert watch.steps <= at + 1
    until(lambda: not lab.running())
    assert lab.search() == []
    assert not lab.run(asked("next")).cached, "the model is free again"


def test_closing_the_stream_cancels_the_run(lab: Lab, watch: Watch) -> None:
    events = lab.stream(asked(steps=1000, pause_ms=5))
    until(lambda: isinstance(next(events), Partial))
    events.close()
    assert watch.stopped.wait(5)
    assert watch.steps < 1000
    until(lambda: not lab.running())
    assert lab.search() == []


def test_cancel_while_waiting_leaves_the_queue(lab: Lab, watch: Watch) -> None:
    watch.gate.clear()
    in_background(lambda: lab.run(asked("first")))
    until(lambda: watch.calls == ["first"])
    waiting = lab.stream(asked("second"))
    assert next(waiting) == Queued(1)
    waiting.close()
    until(lambda: lab.waiting() == 0)
    watch.gate.set()
    until(lambda: not lab.running())
    assert watch.calls == ["first"]


def test_finished_run_leaves_the_token_of_its_caller_alone(lab: Lab) -> None:
    cancel = CancelToken()
    lab.run(asked(), cancel=cancel)
    assert not cancel.cancelled


def test_cancel_is_heard_while_large_weights_are_hashed(
    lab: Lab, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel, pieces = CancelToken(), []

    class Slow:
        def update(self, piece: memoryview) -> None:
            pieces.append(len(piece))
            cancel.cancel("enough")

    monkeypatch.setattr(executor, "_AT_ONCE_BYTES", 0)
    monkeypatch.setattr(files, "_PIECE", 64)
    monkeypatch.setattr(files.hashlib, "sha256", Slow)
    with pytest.raises(Cancelled, match="enough"):
        list(lab.stream(asked(), cancel=cancel))
    assert pieces == [64]
    assert watch.calls == []


def test_cancelled_run_frees_what_it_held(
    lab: Lab, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Activations:
        pass

    held = []

    def runner(request: object, loaded: object, limit: int, emit: object, cancel: CancelToken):
        activations = Activations()
        held.append(weakref.ref(activations))
        while True:
            cancel.check()
            time.sleep(0.001)

    monkeypatch.setattr("tests.runs.stand_in.count", runner)
    cancel = CancelToken()
    gc.disable()
    try:
        in_background(lambda: (until(lambda: held), cancel.cancel()))
        with pytest.raises(Cancelled):
            lab.run(asked(), cancel=cancel)
        until(lambda: not lab.running())
        assert held[0]() is None
    finally:
        gc.enable()


def test_failures_of_a_runner_surface_in_words_and_defects_as_they_are(lab: Lab) -> None:
    with pytest.raises(UserError, match="steps=3 is odd: take 4"):
        lab.run(asked(fail="value"))
    with pytest.raises(UserError, match="memory is used up"):
        lab.run(asked(fail="memory"))
    with pytest.raises(RuntimeError, match="steps=3"):
        lab.run(asked(fail="defect"))
    assert lab.search() == []


def test_unknown_models_are_refused_in_words(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("local/absent", "local/../tiny", "bundled/none"):
        with pytest.raises(UserError, match=name):
            lab.run(asked(model=name))
        with pytest.raises(UserError, match=name):
            lab.state(name)


def test_bundled_model_that_is_absent_is_said(
    lab: Lab, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenarium.backend.models.names.BUNDLED_FOLDER", tmp_path)
    with pytest.raises(UserError, match="bundled/target"):
        lab.run(asked(model="bundled/target"))


def test_run_that_cannot_be_stored_is_delivered_with_the_reason(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokenarium.storage import StoreError

    def full(*_: object, **__: object) -> list[str]:
        raise StoreError("the disk is full")

    monkeypatch.setattr(lab._repository.store, "save", full)
    run = lab.run(asked())
    assert run.result.layers_done == 3
    assert run.environment["storage"] == "not stored, so its link will not work: the disk is full"


def test_run_whose_files_changed_is_computed_again(
    lab: Lab, watch: Watch, models_dir: object
) -> None:
    import json

    lab.run(asked())
    file = models_dir / "tiny" / "config.json"
    before = file.read_text()
    try:
        file.write_text(json.dumps(json.loads(before) | {"pad_token_id": 1}))
        assert not lab.run(asked()).cached
    finally:
        file.write_text(before)
    assert len(watch.calls) == 2


def test_request_is_checked_in_words(lab: Lab) -> None:
    assert lab.request(CountRequest, model=MODEL, text="one") == asked()
    with pytest.raises(UserError, match=r"steps=-1: Input should be greater than or equal to 0"):
        lab.request(CountRequest, model=MODEL, text="one", steps=-1)


def test_eight_threads_with_mixed_requests_agree(lab: Lab, watch: Watch) -> None:
    failures: list[Exception] = []

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        try:
            for _ in range(8):
                steps = int(random.integers(1, 5))
                model = (MODEL, "local/other")[int(random.integers(2))]
                run = lab.run(asked(f"text {steps}", steps=steps, model=model))
                assert run.result.layers_done == steps
                assert run.request.model == model
                assert lab.open(run.id).result.layers_done == steps
                lab.search(text="text")
        except Exception as error:  # noqa: BLE001 - told by the main thread
            failures.append(error)

    threads = [in_background(lambda seed=seed: work(seed)) for seed in range(8)]
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert len(watch.calls) == len({r.key for r in lab.search(limit=100)}) <= 8
    assert set(watch.most_together.values()) == {1}


def test_close_stops_what_runs(make_lab: MakeLab, watch: Watch) -> None:
    lab = make_lab()
    errors = []

    def work() -> None:
        try:
            lab.run(asked(steps=10_000, pause_ms=5))
        except Cancelled as error:
            errors.append(str(error))

    thread = in_background(work)
    until(lambda: watch.steps > 0)
    lab.close()
    thread.join(5)
    assert errors == ["cancelled: the application is closing"]
