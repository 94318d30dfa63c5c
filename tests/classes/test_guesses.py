"""Classes under attack: guessed codes, made-up names, another's table, and time that is over."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from tests.hostile.server_functions import ODD
from tests.labs import shipped_store
from tokenarium.backend import Lab, Settings
from tokenarium.backend.classes import Classes, classes, guesses
from tokenarium.backend.classes.guesses import Guesses
from tokenarium.backend.errors import UserError
from tokenarium.storage import RunStore

HERE, THERE = "8.8.8.8", "9.9.9.9"


@pytest.fixture
def store() -> Iterator[RunStore]:
    with RunStore("duckdb:///:memory:") as made:
        yield made


@pytest.fixture
def found(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> Classes:
    monkeypatch.setattr(guesses, "MOST_WRONG", 5)
    return Classes(store, hosted=True)


def codes(count: int) -> list[str]:
    draw = random.Random(3)
    return ["".join(draw.choices(classes.LETTERS, k=classes.LENGTH)) for _ in range(count)]


def guess(found: Classes, address: str, tried: list[str]) -> str:
    said = ""
    for code in tried:
        with pytest.raises(UserError) as refused:
            found.join(code, "eve", address)
        said = str(refused.value)
    return said


def test_who_guesses_codes_is_stopped_even_at_the_right_one(found: Classes) -> None:
    code = found.begin().code
    assert "check the 6 letters" in guess(found, HERE, codes(5))
    assert "which is the most" in guess(found, HERE, [*codes(9)[5:], code])
    assert found.join(code, "ann", THERE) == 1


def test_who_mistypes_one_code_again_and_again_is_not_stopped(found: Classes) -> None:
    code = found.begin().code
    guess(found, HERE, codes(2) * 10)
    assert found.join(code, "ann", HERE) == 1


def test_tries_are_forgotten_after_an_hour(found: Classes, monkeypatch: pytest.MonkeyPatch) -> None:
    code, now = found.begin().code, 1e6
    monkeypatch.setattr(guesses.time, "monotonic", lambda: now)
    guess(found, HERE, codes(5))
    now += guesses.WITHIN_S - 1
    assert "which is the most" in guess(found, HERE, [code])
    now += 2
    assert found.join(code, "ann", HERE) == 1


def test_on_ones_own_machine_nobody_is_counted(store: RunStore) -> None:
    found = Classes(store, hosted=False)
    code = found.begin().code
    guess(found, HERE, codes(2 * guesses.MOST_WRONG))
    assert found.join(code, "ann", HERE) == 1


def test_addresses_that_guessed_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "MOST_ADDRESSES", 3)
    tried = Guesses()
    for number in range(50):
        tried.add(f"8.8.8.{number}", "ABCDEF")
    assert len(tried._wrong) == 3


def test_classes_end_though_nobody_begins_another(monkeypatch: pytest.MonkeyPatch) -> None:
    with Lab(Settings(database=shipped_store(), hosted=True, fetch=False)) as lab:
        begun = lab.classes.begin("Year 10")
        lab.classes.passed(begun.code, "ann", "sink", 1)
        late = datetime.now(UTC) + timedelta(days=classes.DAYS_KEPT, minutes=1)
        monkeypatch.setattr(classes, "datetime", SimpleNamespace(now=lambda _: late))
        monkeypatch.setattr(classes, "_EXPIRE_EVERY_S", 0.0)
        lab.visitor("b" * 32, HERE)  # anybody who asks for anything
        kept = lab._repository.store.classes
        assert not kept.codes()
        assert not kept.members(begun.code)
        assert not kept.passes(begun.code)


def test_classes_that_ended_while_nothing_ran_are_gone_at_the_next_start(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    Classes(store, hosted=True).begin("Year 10")
    late = datetime.now(UTC) + timedelta(days=classes.DAYS_KEPT, minutes=1)
    monkeypatch.setattr(classes, "datetime", SimpleNamespace(now=lambda _: late))
    Classes(store, hosted=True)
    assert not store.classes.codes()


def test_one_class_says_nothing_of_another(found: Classes, store: RunStore) -> None:
    mine, yours = found.begin("mine"), found.begin("yours")
    found.passed(yours.code, "ann", "sink", 1)
    assert found.table(mine.secret).students == 0
    odd = [value for value in ODD if isinstance(value, str)]
    for secret in (yours.code, mine.secret[:-1] + "x", yours.secret.upper(), *odd):
        with pytest.raises(UserError, match="opens no class"):
            found.table(secret)
        with pytest.raises(UserError, match="opens no class"):
            found.delete(secret)
    for code in odd:
        assert not found.has(code)
        with pytest.raises(UserError, match="check the 6 letters"):
            found.join(code, "ann")
    assert found.table(yours.secret).students == 1
    assert len(store.classes.codes()) == 2


@pytest.mark.parametrize("title", [value for value in ODD if isinstance(value, str)])
def test_whatever_a_class_is_called_is_kept_or_refused(found: Classes, title: str) -> None:
    try:
        begun = found.begin(title)
    except UserError as error:
        assert len(title) > classes.LONGEST_TITLE
        assert "shorten it" in str(error)  # noqa: PT017
    else:
        kept = found.table(begun.secret).title
        assert len(kept) <= classes.LONGEST_TITLE
        assert "\0" not in kept
