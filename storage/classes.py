"""Classes of students, who is in them and which steps of lessons they passed."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from tokenarium.storage.open_database import OpenDatabase
from tokenarium.storage.schema import ClassMemberRow, ClassPassRow, ClassRow

_TABLES = (ClassRow, ClassMemberRow, ClassPassRow)


class ClassTables:
    """The part of a store that is about classes; safe to use from many threads.

    Args:
        opened: the store's database.
        write: lends a connection whose changes are kept together, to one writer at a time.
    """

    def __init__(
        self, opened: OpenDatabase, write: Callable[[], AbstractContextManager[Connection]]
    ) -> None:
        self._open, self._write = opened, write

    def add(self, code: str, secret: str, title: str, created: datetime) -> bool:
        """Keep a new class; return whether its code was free.

        Args:
            code: that students type.
            secret: digest of what opens the table.
            title: that the teacher gave it.
            created: with a time zone.
        """
        values = {"code": code, "secret": secret, "title": title, "created": created}
        try:
            with self._write() as connection:
                if connection.scalar(select(ClassRow.code).where(ClassRow.code == code)):
                    return False
                connection.execute(insert(ClassRow), values)
        except IntegrityError:  # another process on the same database was first
            return False
        return True

    def codes(self) -> frozenset[str]:
        """Return the codes of all classes."""
        query = select(ClassRow.code)
        return frozenset(self._open.read(lambda connection: connection.scalars(query).all()))

    def title(self, code: str) -> tuple[str, datetime] | None:
        """Return title and begin of a class; None if there is none."""
        query = select(ClassRow.title, ClassRow.created).where(ClassRow.code == code)
        row = self._open.read(lambda connection: connection.execute(query).first())
        return None if row is None else (row.title, row.created)

    def opened_by(self, secret: str) -> tuple[str, str, datetime] | None:
        """Return code, title and begin of the class whose table a secret's digest opens."""
        query = select(ClassRow.code, ClassRow.title, ClassRow.created)
        row = self._open.read(
            lambda connection: connection.execute(query.where(ClassRow.secret == secret)).first()
        )
        return None if row is None else (row.code, row.title, row.created)

    def member(self, code: str, student: str, most: int) -> int | None:
        """Return the number of a student in a class, a new one for whoever has none yet.

        Args:
            code: of a class.
            student: digest of the student's private name.
            most: students that a class has room for.

        Returns:
            The number, from 1 on; None where the class is full.
        """
        known = select(ClassMemberRow.member).where(
            ClassMemberRow.code == code, ClassMemberRow.student == student
        )
        number = self._open.read(lambda connection: connection.scalar(known))
        if number is not None:
            return number
        last = select(func.max(ClassMemberRow.member)).where(ClassMemberRow.code == code)
        with self._write() as connection:
            number = connection.scalar(known)
            if number is not None:  # came twice at once
                return number
            number = (connection.scalar(last) or 0) + 1
            if number > most:
                return None
            values = {"code": code, "member": number, "student": student}
            connection.execute(insert(ClassMemberRow), values)
            return number

    def add_pass(self, code: str, member: int, lesson: str, step: int, passed: datetime) -> None:
        """Keep that a student passed a step, once."""
        values = {"code": code, "member": member, "lesson": lesson, "step": step}
        known = select(ClassPassRow.passed).filter_by(**values)
        with self._write() as connection:
            if connection.scalar(known) is None:
                connection.execute(insert(ClassPassRow), {**values, "passed": passed})

    def members(self, code: str) -> int:
        """Return how many students joined a class."""
        query = select(func.count()).select_from(ClassMemberRow).where(ClassMemberRow.code == code)
        return self._open.read(lambda connection: connection.scalar(query)) or 0

    def passes(self, code: str) -> list[tuple[int, str, int, datetime]]:
        """Return student's number, lesson, step and time of every step that was passed."""
        columns = (ClassPassRow.member, ClassPassRow.lesson, ClassPassRow.step, ClassPassRow.passed)
        query = select(*columns).where(ClassPassRow.code == code).order_by(*columns)
        rows = self._open.read(lambda connection: connection.execute(query).all())
        return [(row.member, row.lesson, row.step, row.passed) for row in rows]

    def delete(self, code: str) -> None:
        """Delete a class and all that is kept of it."""
        with self._write() as connection:
            for table in _TABLES:
                connection.execute(delete(table).where(table.code == code))

    def delete_before(self, moment: datetime) -> int:
        """Delete all classes that began before a moment; return how many."""
        query = select(ClassRow.code).where(ClassRow.created < moment)
        with self._write() as connection:
            codes = list(connection.scalars(query))
            for table in _TABLES if codes else ():
                connection.execute(delete(table).where(table.code.in_(codes)))
        return len(codes)
