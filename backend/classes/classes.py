"""Classes of students: begun by a teacher, joined by a code, gone after a fortnight."""

import csv
import hashlib
import io
import re
import secrets
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tokenarium.backend.arguments import checks_arguments
from tokenarium.backend.classes.guesses import Guesses
from tokenarium.backend.errors import UserError, told_in_words
from tokenarium.storage import RunStore

DAYS_KEPT = 14
MOST_STUDENTS = 60
MOST_CLASSES = 200
"""Classes at a time, over all teachers."""
MOST_OF_ONE = 5
"""Classes that one address may begin within a day; outside hosted mode there is no limit."""
LONGEST_TITLE = 80
LENGTH = 6
LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""Without those that are taken for others: I, L, O, 0, 1."""
_DAY_S = 86_400.0
_FRESH_S = 5.0
_EXPIRE_EVERY_S = 600.0
_SECRET = re.compile(r"[\w-]{43}", re.ASCII)


@dataclass(frozen=True)
class StartedClass:
    """What a teacher is given once."""

    code: str
    """For the students."""
    secret: str
    """Opens the table; for the teacher alone. It is not kept, only its digest is."""
    title: str
    until: datetime
    """When all of it is deleted."""


@dataclass(frozen=True)
class ClassTable:
    """What a teacher sees: which student passed which step, and when."""

    code: str
    title: str
    until: datetime
    students: int
    """Those who joined, numbered from 1 on in the order in which they came."""
    passed: Mapping[int, Mapping[tuple[str, int], datetime]]
    """By student, then by lesson and step."""

    def csv(self) -> str:
        """Return a row for every step that was passed."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(("student", "lesson", "step", "passed_utc"))
        for student, steps in sorted(self.passed.items()):
            for (lesson, step), moment in sorted(steps.items()):
                when = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                rows.writerow((student, lesson, step, when))
        return text.getvalue()


@checks_arguments
class Classes:
    """The classes of one store; safe to use from many threads.

    Nothing personal is kept: a student is a number and a digest of the private name that the
    browser made, salted with the class's code, so that two classes cannot be laid side by side.

    Args:
        store: where they are kept.
        hosted: whether one address may begin so many only.
    """

    def __init__(self, store: RunStore, *, hosted: bool) -> None:
        self._tables, self._hosted = store.classes, hosted
        self._lock = threading.Lock()
        self._begun: dict[str, list[float]] = {}
        self._codes: tuple[float, frozenset[str]] = (float("-inf"), frozenset())
        self._guesses = Guesses()
        self._expired_at = float("-inf")
        self.expire()

    def begin(self, title: str = "", address: str = "") -> StartedClass:
        """Begin a class.

        Args:
            title: for the teacher's own eyes and the students', at most 80 characters.
            address: where the teacher asks from.

        Raises:
            UserError: if the title is too long, or there are too many classes already.
        """
        plain = title.encode("utf-8", "replace").decode().replace("\0", "␀")
        title = " ".join(plain.split())
        if len(title) > LONGEST_TITLE:
            raise UserError(
                f"title has {len(title)} characters and {LONGEST_TITLE} are allowed: shorten it"
            )
        self._admit(address)
        secret, now = secrets.token_urlsafe(32), datetime.now(UTC)
        self.forget_old()
        with told_in_words():
            if len(self._tables.codes()) >= MOST_CLASSES:
                raise UserError(
                    f"there are {MOST_CLASSES} classes already, which is the most: try again in "
                    "some days, or run the app on your own machine"
                )
            code = _new_code()
            while not self._tables.add(code, _digest(secret), title, now):
                code = _new_code()
        self._forget()
        return StartedClass(code, secret, title, now + timedelta(days=DAYS_KEPT))

    def has(self, code: object) -> bool:
        """Return whether there is a class with a code; it may be a few seconds late."""
        if not isinstance(code, str) or not is_code(code):
            return False
        with self._lock:
            read, codes = self._codes
        if time.monotonic() - read > _FRESH_S:
            with told_in_words():
                codes = self._tables.codes()
            with self._lock:
                self._codes = (time.monotonic(), codes)
        return code in codes

    def title(self, code: str) -> str:
        """Return what a class is called.

        Raises:
            UserError: if there is none.
        """
        with told_in_words():
            found = self._tables.title(code) if is_code(code) else None
        if found is None or _is_over(found[1]):
            raise UserError(
                f"class={code!r:.40} is unknown: check the {LENGTH} letters and digits of the "
                f"code; a class is deleted {DAYS_KEPT} days after it was begun"
            )
        return found[0]

    def join(self, code: str, visitor: str, address: str = "") -> int:
        """Return a student's number in a class, a new one for whoever comes first now.

        Args:
            code: of the class.
            visitor: the student's private name.
            address: where the student asks from; hosted, each has so many wrong codes.

        Raises:
            UserError: if there is no such class, it is full, or too many codes were wrong.
        """
        guesser = address if self._hosted else ""
        self._guesses.refuse_many(guesser)
        try:
            self.title(code)
        except UserError:
            self._guesses.add(guesser, code[: LENGTH + 1])
            raise
        with told_in_words():
            number = self._tables.member(code, _digest(f"{code} {visitor}"), MOST_STUDENTS)
        if number is None:
            raise UserError(
                f"class={code!r} has {MOST_STUDENTS} students, which is the most: ask the teacher "
                "to begin another one"
            )
        return number

    def passed(self, code: str, visitor: str, lesson: str, step: int) -> int:
        """Keep that a student passed a step, and return the student's number.

        Raises:
            UserError: as ``join`` does.
        """
        number = self.join(code, visitor)
        with told_in_words():
            self._tables.add_pass(code, number, lesson, step, datetime.now(UTC))
        return number

    def table(self, secret: object) -> ClassTable:
        """Return what a teacher sees.

        Raises:
            UserError: if the secret opens none.
        """
        code, title, begun = self._opened_by(secret)
        passed: dict[int, dict[tuple[str, int], datetime]] = {}
        with told_in_words():
            for student, lesson, step, moment in self._tables.passes(code):
                passed.setdefault(student, {})[lesson, step] = moment
            students = self._tables.members(code)
        return ClassTable(code, title, begun + timedelta(days=DAYS_KEPT), students, passed)

    def delete(self, secret: object) -> None:
        """Delete a class with all that is kept of it.

        Raises:
            UserError: if the secret opens none.
        """
        code, *_ = self._opened_by(secret)
        with told_in_words():
            self._tables.delete(code)
        self._forget()

    def expire(self) -> None:
        """Delete the classes whose time is over, at most every ten minutes; later on a full disk.

        Whoever asks for anything at all brings it about, so that nothing stays because nobody
        begins another class.
        """
        with self._lock:
            if time.monotonic() - self._expired_at < _EXPIRE_EVERY_S:
                return
            self._expired_at = time.monotonic()
        with suppress(UserError):
            self.forget_old()

    def forget_old(self) -> None:
        """Delete the classes whose time is over."""
        with told_in_words():
            self._tables.delete_before(datetime.now(UTC) - timedelta(days=DAYS_KEPT))

    def _opened_by(self, secret: object) -> tuple[str, str, datetime]:
        with told_in_words():
            known = isinstance(secret, str) and _SECRET.fullmatch(secret)
            found = self._tables.opened_by(_digest(str(secret))) if known else None
        if found is None or _is_over(found[2]):
            raise UserError(
                "this link opens no class: use the teacher's link as it was given; a class is "
                f"deleted {DAYS_KEPT} days after it was begun"
            )
        return found

    def _admit(self, address: str) -> None:
        """Count a class that is begun, or refuse it."""
        if not self._hosted or not address:
            return
        now = time.monotonic()
        with self._lock:
            for name, times in list(self._begun.items()):
                self._begun[name] = [moment for moment in times if now - moment < _DAY_S]
                if not self._begun[name]:
                    del self._begun[name]
            begun = self._begun.setdefault(address, [])
            if len(begun) >= MOST_OF_ONE:
                raise UserError(
                    f"{len(begun)} classes were begun from your address within a day, which is the "
                    "most: use one of them, or come back tomorrow"
                )
            begun.append(now)

    def _forget(self) -> None:
        with self._lock:
            self._codes = (float("-inf"), frozenset())


def is_code(text: str) -> bool:
    """Return whether a text can be the code of a class."""
    return len(text) == LENGTH and all(letter in LETTERS for letter in text)


def class_code(typed: str) -> str:
    """Return a code as it was given out, from how somebody typed it."""
    return re.sub(r"[\s-]", "", typed).upper()[: LENGTH + 1]


def _is_over(begun: datetime) -> bool:
    return begun + timedelta(days=DAYS_KEPT) < datetime.now(UTC)


def _new_code() -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(LENGTH))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
