"""What the result says beside the numbers of the methods, and how requests are refused."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tokenarium.backend.interventions.predictions import Predictions
from tokenarium.backend.interventions.request import InterventionRequest
from tokenarium.backend.interventions.runner import _losses, intervene, most_attended
from tokenarium.backend.observe.attention import _active
from tokenarium.backend.runs.events import Cancelled, CancelToken, Progress


def ask(text: str, method: str, parameters: dict[str, Any] | None = None, **values: Any) -> Any:
    return InterventionRequest(
        model="tiny", text=text, intervention=method, parameters=parameters or {}, **values
    )


def run(loaded: Any, request: InterventionRequest, emit: Any = None, cancel: Any = None) -> Any:
    return intervene(request, loaded, 2048, emit or (lambda _: None), cancel or CancelToken())


def test_losses_by_hand():
    nan = float("nan")
    values = {
        "surprisal": np.array([nan, 1.0, 2.0, 4.0, 3.0], np.float32),
        "changed_surprisal": np.array([nan, 2.5, 3.0, 5.0], np.float32),
    }
    rest = dict.fromkeys(("entropy", "changed_entropy", "kl"), np.zeros(1, np.float32))
    found = _losses(Predictions(**values, **rest), [1, 2, 3, 4])
    # Tokens 2, 3 and 4: plain 2, 4, 3; changed 2.5, 3, 5; differences 0.5, -1, 2.
    assert found["compared_tokens"] == 3
    assert found["loss_nats"] == pytest.approx(3)
    assert found["changed_loss_nats"] == pytest.approx(3.5)
    assert found["loss_difference_nats"] == pytest.approx(0.5)
    assert found["loss_error_nats"] == pytest.approx(1.5 / 3**0.5)


def test_losses_leave_out_what_is_not_aligned():
    plain = np.array([np.nan, 1.0, 2.0], np.float32)
    changed = np.array([np.nan, 9.0, 1.5], np.float32)
    rest = dict.fromkeys(("entropy", "changed_entropy", "kl"), np.zeros(1, np.float32))
    found = _losses(Predictions(surprisal=plain, changed_surprisal=changed, **rest), [0, -1, 2])
    assert found["compared_tokens"] == 1
    assert found["loss_difference_nats"] == pytest.approx(-0.5)
    assert np.isnan(found["loss_error_nats"])


def test_most_attended_needs_enough_queries():
    received = np.zeros((1, 2, 20), np.float32)
    received[0, 0, [3, 4]] = 0.5, 0.2
    received[0, 1, [2, 5]] = 0.3, 0.9  # key 5 rests on 15 queries only
    assert most_attended(received).tolist() == [[3, 2]]
    assert most_attended(received[..., :9]).tolist() == [[0, 0]]


def test_run_of_one_token_has_no_losses(twins):
    loaded, _ = twins("llama")
    result = run(loaded, ask("a", "zero_head", add_bos=False))
    assert result.compared_tokens == 0
    assert np.isnan(result.loss_nats)
    assert result.kl_nats.shape == (1,)
    with pytest.raises(ValueError, match=r"the text has 1 token.*at least 2"):
        run(loaded, ask("a", "drop_first", add_bos=False))


def test_progress_counts_both_readings_and_the_predictions(twins, letters):
    loaded, _ = twins("llama")
    events: list[Progress] = []
    run(loaded, ask(letters(30), "zero_head"), events.append)
    assert {event.doing for event in events} == {
        "reading layers", "reading layers, changed", "predicting",
    }  # fmt: skip
    reading = [event.done for event in events if event.total == 6]
    assert reading == sorted(reading)


@pytest.mark.parametrize("after", [0, 2, 5, 8])
def test_cancelled_anywhere_it_stops_and_leaves_the_model_as_it_was(twins, letters, after):
    loaded, _ = twins("llama")
    cancel, events = CancelToken(), []

    def emit(event: Any) -> None:
        events.append(event)
        if len(events) == after:
            cancel.cancel()

    if not after:
        cancel.cancel()
    with pytest.raises(Cancelled):
        run(loaded, ask(letters(30), "softplus"), emit, cancel)
    assert len(events) <= after
    assert _active.get() is None
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in loaded.layers)


@pytest.mark.parametrize(
    ("method", "parameters", "message"),
    [
        ("zero_head", {"layer": 3}, r"layer=3 is not below the model's 3: choose 0 to 2"),
        ("move_to_bos", {"head": 4}, r"head=4 is not below the model's 4: choose 0 to 3"),
        ("act", {"heads": [[0, 9]]}, r"head=9 .*choose 0 to 3"),
        ("softplus", {"layers": [0, 7]}, r"layer 7, but the model has 3: choose from 0 to 2"),
        ("swap_first", {"text": "xyz"}, r"text='xyz' is 3 tokens .*token_id"),
        ("swap_first", {"token_id": 272}, r"token_id=272 .*choose 0 to 271"),
    ],
)
def test_what_the_model_does_not_have_is_refused_in_words(
    twins, letters, method, parameters, message
):
    loaded, _ = twins("llama")
    with pytest.raises(ValueError, match=message):
        run(loaded, ask(letters(9), method, parameters))


class _Largest(TorchDispatchMode):
    """Notes the most numbers that one tensor held."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.numbers = max(self.numbers, out.numel())
        return out


@pytest.mark.parametrize("method", ["softplus", "lm_infinite", "act"])
def test_changed_weights_are_held_a_few_rows_at_a_time(twins, letters, method):
    loaded, _ = twins("llama")
    with _Largest() as largest:
        run(loaded, ask(letters(2000), method))
    rows, heads, length = 128, 4, 2001
    assert 0 < largest.numbers <= rows * heads * length
    assert rows * heads * length < heads * length**2 / 10


def test_reading_past_one_block_of_predictions(twins, letters):
    """Rows come in chunks of 128: the numbers of a chunk do not depend on the others."""
    loaded, _ = twins("llama")
    result = run(loaded, ask(letters(300), "drop_first", add_bos=False))
    with torch.inference_mode():
        log_p = loaded.model(torch.tensor([result.changed_ids.tolist()])).logits[0].log_softmax(-1)
    wanted = -log_p[np.arange(298), result.changed_ids[1:]]
    np.testing.assert_allclose(result.changed_surprisal_nats[1:], wanted, rtol=1e-3, atol=1e-4)
    assert np.isfinite(result.entropy_nats).all()
    assert np.isfinite(result.kl_nats).all()
    assert np.isfinite(result.surprisal_nats[1:]).all()
