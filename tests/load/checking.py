"""What became of every run: whether it is there, whole, and its owner's alone."""

from collections.abc import Sequence

from sqlalchemy import create_engine, text

from tests.load.asking import Asked, digest
from tests.load.figures import Checked
from tests.load.visitors import Visitor
from tokenarium.backend import Lab, Settings, UserError
from tokenarium.ui.shell.visitor import hashed


def checked(database: str, visitors: Sequence[Visitor]) -> Checked:
    """Open everything that is stored, and what each visitor may list of it."""
    with Lab(Settings(database=database, hosted=True, fetch=False, device="cpu")) as lab:
        lost = seen = 0
        for visitor in visitors:
            owner = hashed(visitor.name)
            listed = lab.search(visitor=owner, limit=10_000)
            seen += sum(run.owner not in ("", owner) for run in listed)
            seen += sum(not _is_own(each) for each in visitor.asked if each.run)
            lost += sum(_is_lost(lab, owner, each) for each in visitor.asked if each.run)
        ids = _all_ids(database)
        half = sum(_is_half(lab, run_id) for run_id in ids)
    return Checked(len(ids), lost, half, seen)


def _is_own(asked: Asked) -> bool:
    """Return whether an answer is one to what was asked."""
    assert asked.run is not None
    if asked.kind in ("open", "endpoint"):
        return asked.run["id"] == asked.text
    request = asked.run["request"]
    return asked.text in (request.get("text"), *request.get("prompts", ()))


def _is_lost(lab: Lab, owner: str, asked: Asked) -> bool:
    """Return whether an answer is not in the store as it was given."""
    assert asked.run is not None
    try:
        content = lab.content(asked.run["id"], visitor=owner)
    except UserError:
        return True
    return digest(content["values"]) != asked.run["values"]


def _is_half(lab: Lab, run_id: str) -> bool:
    try:
        lab.open(run_id).result.arrays()
    except (UserError, LookupError, ValueError):
        return True
    return False


def _all_ids(database: str) -> list[str]:
    engine = create_engine(database)
    with engine.connect() as connection:
        found = [str(run_id) for (run_id,) in connection.execute(text("SELECT id FROM runs"))]
    engine.dispose()
    return found
