"""A class is begun, joined by a code, read by whoever has its secret; nobody has a name in it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from tokenarium.backend.classes import Classes, classes
from tokenarium.backend.errors import UserError
from tokenarium.storage import RunStore


@pytest.fixture
def store() -> Iterator[RunStore]:
    with RunStore("duckdb:///:memory:") as made:
        yield made


@pytest.fixture
def found(store: RunStore) -> Classes:
    return Classes(store, hosted=True)


def test_a_class_of_three_passes_steps_and_its_teacher_sees_who(found: Classes) -> None:
    begun = found.begin("  Year 10,\n physics ")
    assert begun.title == found.title(begun.code) == "Year 10, physics"
    assert [found.join(begun.code, name) for name in ("ann", "bob", "cem", "bob")] == [1, 2, 3, 2]
    assert found.passed(begun.code, "bob", "sink", 2) == 2
    found.passed(begun.code, "bob", "sink", 1)
    found.passed(begun.code, "bob", "sink", 2)
    found.passed(begun.code, "ann", "sink", 1)
    table = found.table(begun.secret)
    assert (table.code, table.title, table.students) == (begun.code, begun.title, 3)
    assert {who: sorted(steps) for who, steps in table.passed.items()} == {
        1: [("sink", 1)],
        2: [("sink", 1), ("sink", 2)],
    }
    head, *rows = table.csv().splitlines()
    assert head == "student,lesson,step,passed_utc"
    assert [row.rpartition(",")[0] for row in rows] == ["1,sink,1", "2,sink,1", "2,sink,2"]


def test_the_first_time_that_a_step_was_passed_stays(
    found: Classes, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = found.begin()
    found.passed(begun.code, "ann", "sink", 1)
    before = found.table(begun.secret).passed
    monkeypatch.setattr(classes, "datetime", At(datetime.now(UTC) + timedelta(hours=1)))
    found.passed(begun.code, "ann", "sink", 1)
    assert found.table(begun.secret).passed == before


def test_neither_names_nor_the_secret_are_kept(found: Classes, store: RunStore) -> None:
    one, other = found.begin(), found.begin()
    for begun in (one, other):
        found.join(begun.code, "ann")
    tables = [store.query(f"select * from {name}") for name in ("classes", "class_members")]
    kept = " ".join(str(table.to_pylist()) for table in tables)
    assert "ann" not in kept
    assert one.secret not in kept
    students = tables[1].column("student").to_pylist()
    assert len(set(students)) == 2  # the same browser in two classes cannot be recognised


class At:
    """``datetime`` at another moment."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self, zone: object) -> datetime:
        assert zone is UTC
        return self.moment


def test_a_class_ends_after_a_fortnight_and_is_then_deleted(
    found: Classes, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = found.begin()
    found.passed(begun.code, "ann", "sink", 1)
    monkeypatch.setattr(classes, "datetime", At(begun.until - timedelta(minutes=1)))
    found.forget_old()
    assert found.table(begun.secret).students == 1
    monkeypatch.setattr(classes, "datetime", At(begun.until + timedelta(minutes=1)))
    with pytest.raises(UserError, match=r"unknown.*deleted 14 days after"):
        found.join(begun.code, "ann")
    with pytest.raises(UserError, match="opens no class"):
        found.table(begun.secret)
    found.forget_old()
    for name in ("classes", "class_members", "class_passes"):
        assert store.query(f"select * from {name}").num_rows == 0


def test_a_teacher_deletes_one_class_and_no_other(found: Classes) -> None:
    one, other = found.begin(), found.begin()
    for begun in (one, other):
        found.passed(begun.code, "ann", "sink", 1)
    found.delete(one.secret)
    assert not found.has(one.code)
    assert found.has(other.code)
    assert found.table(other.secret).students == 1
    with pytest.raises(UserError, match="opens no class"):
        found.delete(one.secret)


@pytest.mark.parametrize("code", ["", "ABC", "ABCDEFG", "abcdef", "ABCDE1", "' OR 1", "ABCDEF"])
def test_another_code_joins_nothing(found: Classes, code: str) -> None:
    begun = found.begin()
    assert begun.code != code
    with pytest.raises(UserError, match="check the 6 letters and digits"):
        found.join(code, "ann")
    assert not found.has(code)


def test_neither_code_nor_digest_opens_the_table(found: Classes) -> None:
    begun = found.begin()
    for secret in ("", begun.code, classes._digest(begun.secret), begun.secret[:-1], None):
        with pytest.raises(UserError, match="opens no class"):
            found.table(secret)  # type: ignore[arg-type]


def test_a_code_may_be_typed_as_people_type(found: Classes) -> None:
    code = found.begin().code
    assert classes.class_code(f" {code[:3].lower()} - {code[3:]}\n") == code
    assert set(code) <= set(classes.LETTERS)


def test_a_full_class_takes_nobody_else(found: Classes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classes, "MOST_STUDENTS", 2)
    code = found.begin().code
    found.join(code, "ann")
    found.join(code, "bob")
    with pytest.raises(UserError, match="has 2 students"):
        found.join(code, "cem")
    assert found.join(code, "ann") == 1


def test_students_who_come_at_once_get_numbers_of_their_own(found: Classes) -> None:
    code = found.begin().code
    names = [f"student {number % 20}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda name: found.join(code, name), names))
    assert sorted(set(numbers)) == list(range(1, 21))
    assert numbers[:20] == numbers[20:]


def test_one_address_begins_so_many_classes_a_day_and_all_together_so_many(
    found: Classes, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(classes.MOST_OF_ONE):
        found.begin(address="a")
    with pytest.raises(UserError, match="5 classes were begun from your address"):
        found.begin(address="a")
    found.begin(address="b")
    local = Classes(store, hosted=False)
    for _ in range(classes.MOST_OF_ONE + 1):
        local.begin(address="a")
    monkeypatch.setattr(classes, "MOST_CLASSES", 12)
    with pytest.raises(UserError, match="there are 12 classes already"):
        local.begin(address="c")


def test_a_title_is_short(found: Classes) -> None:
    with pytest.raises(UserError, match="81 characters and 80 are allowed"):
        found.begin("x" * 81)
