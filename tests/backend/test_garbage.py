import gc
import weakref

import pytest

from tokenarium.backend.garbage import lasting


class Cycle:
    def __init__(self) -> None:
        self.own = self


def test_what_lasts_is_not_looked_at_and_what_comes_after_is() -> None:
    before = gc.get_freeze_count()
    kept = None

    def start() -> None:
        nonlocal kept
        with lasting():
            assert not gc.isenabled()
            kept = weakref.ref(Cycle())
            raise ValueError("a start that fails")

    with pytest.raises(ValueError, match="a start that fails"):
        start()
    try:
        assert kept is not None
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
        later = weakref.ref(Cycle())
        gc.collect()
        assert later() is None
        assert kept() is not None
    finally:
        gc.unfreeze()
        gc.collect()
    assert kept() is None
