import pytest

from tokenarium.backend.errors import UserError, in_words, told_in_words
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.storage import RunNotFound


def told_of(**values: object) -> str:
    with pytest.raises(UserError) as caught, told_in_words():
        TraceRequest(**values)
    return str(caught.value)


def test_validation_error_names_value_and_range() -> None:
    assert told_of(model="m", text="x", top_k=0) == (
        "top_k=0: Input should be greater than or equal to 1"
    )


def test_validation_error_names_every_problem_once() -> None:
    told = told_of(model="m", tiles=1_000, sink_threshold="high")
    assert told.count(";") == 2
    assert "text is empty: give at least one character, or messages" in told
    assert "tiles=1000: Input should be less than or equal to 256" in told
    assert "sink_threshold='high': Input should be a valid number" in told


def test_validation_error_shows_our_own_sentence_alone() -> None:
    assert told_of(model="m", text="ab\ud83d").startswith("text has the unpaired surrogate U+D83D")


def test_validation_error_shortens_a_long_value() -> None:
    assert len(told_of(model="m", text="x" * 1_000_001)) < 160


def test_expected_failures_become_user_errors_and_defects_do_not() -> None:
    assert str(in_words(ValueError("steps=3 is odd: take 4"))) == "steps=3 is odd: take 4"
    assert str(in_words(RunNotFound("a"))).startswith("run 'a' is not stored")
    assert "memory is used up" in str(in_words(MemoryError()))
    assert in_words(RuntimeError("defect")) is None
    with pytest.raises(ZeroDivisionError), told_in_words():
        _ = 1 / 0


def test_user_error_is_left_as_it_is() -> None:
    first = UserError("busy")
    with pytest.raises(UserError) as caught, told_in_words():
        raise first
    assert caught.value is first
    assert first.__cause__ is None


def test_memory_error_of_torch_is_told_in_words() -> None:
    import torch

    assert "dtype=bfloat16" in str(in_words(torch.OutOfMemoryError("CUDA out of memory")))


def test_a_panic_of_a_library_is_said_in_words_and_an_interrupt_is_not():
    class PanicException(BaseException):
        """As pyo3's."""

    said = in_words(PanicException("called unwrap"))
    assert "PanicException: called unwrap" in str(said)
    assert in_words(KeyboardInterrupt()) is None
    with pytest.raises(UserError), told_in_words():
        raise PanicException
    with pytest.raises(KeyboardInterrupt), told_in_words():
        raise KeyboardInterrupt
