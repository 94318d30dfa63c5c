"""A run that cannot be stored reaches who asked for it."""

from collections.abc import Callable

import pytest

from tests.runs.conftest import MODEL
from tests.runs.stand_in import CountRequest
from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.lab import Lab
from tokenarium.storage import open_database
from tokenarium.storage.errors import DatabaseFailed, StoreUnavailable


@pytest.mark.parametrize("hosted", [False, True])
@pytest.mark.parametrize("error", [DatabaseFailed("No space left"), StoreUnavailable("gone")])
def test_a_run_is_handed_over_where_nothing_can_be_stored_or_read(
    make_lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch, hosted: bool, error: Exception
) -> None:
    lab = make_lab(hosted=hosted)

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as full:
        for name in ("_read", "writing"):
            full.setattr(open_database.OpenDatabase, name, fail)
        run = lab.run(CountRequest(model=MODEL, text="one"), visitor="v")
        assert "not stored" in run.environment["storage"]
        ticket = lab.start(CountRequest(model=MODEL, text="two"), visitor="v")
        followed = list(lab.follow(ticket.id, visitor="v"))[-1].run  # type: ignore[union-attr]
        assert lab.content(followed, visitor="v")["values"]["layers_done"] == 3
        for ask in (lambda: lab.open("x"), lambda: lab.search(), lambda: lab.delete("x")):
            with pytest.raises(UserError):
                ask()
    assert lab.run(CountRequest(model=MODEL, text="one"), visitor="v").environment.get(
        "storage"
    ) in (None, "")
