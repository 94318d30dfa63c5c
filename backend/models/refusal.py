"""Why a model is not used."""

from collections.abc import Iterator
from contextlib import contextmanager

from tokenarium.backend.runs.events import Cancelled

_LONGEST = 400


class ModelRefused(ValueError):  # noqa: N818
    """A model cannot be observed here; the message says what, why, and what to do instead."""


class DoesNotFit(ModelRefused):
    """A model needs more memory than is free; unloading another may help."""


@contextmanager
def refusing(what: str, remedy: str) -> Iterator[None]:
    """Turn whatever is raised while a model's files are read into a refusal in words.

    A file may say anything, so any library that reads it may fail in any way: pyo3's
    PanicException is not even an ``Exception``. What a person or the memory ends stays as it is.

    Args:
        what: which model or file, and what it is not.
        remedy: what to do instead.

    Raises:
        ModelRefused: "<what> (<error>): <remedy>".
    """
    try:
        yield
    except (ModelRefused, Cancelled, KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as error:
        if type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported here
            raise
        if isinstance(error, ModuleNotFoundError) and error.name:
            wanted = error.name.partition(".")[0].replace("_", "-")
            remedy = f"run 'pip install {wanted}' and start again, or choose another model"
        raise ModelRefused(f"{what} ({error_words(error)}): {remedy}") from error


def error_words(error: BaseException) -> str:
    """Return an error as one short line, with its type where the message alone says little."""
    words = " ".join(str(error).encode("utf-8", "backslashreplace").decode("utf-8").split())
    if len(words) > _LONGEST:
        words = f"{words[:_LONGEST]}..."
    if isinstance(error, OSError | ValueError | ImportError | RuntimeError) and words:
        return words if type(error) is not RecursionError else "nested too deeply"
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
