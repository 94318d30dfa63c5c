"""What can go wrong with stored runs, in words that say what to do."""

_FULL = ("No space left", "Disk quota", "not enough space", "disk is full")


class StoreError(Exception):
    """Something about stored runs failed; the message says what and what to do."""


class StoreUnavailable(StoreError):  # noqa: N818
    """The database cannot be opened; it was left as it was."""


class QueryRefused(StoreError):  # noqa: N818
    """The query door did not run, or did not finish, a statement."""


class DatabaseFailed(StoreError):  # noqa: N818
    """The database did not do what was asked, such as on a full disk.

    Args:
        reason: what it said.
        reopened: whether it would have answered nothing any more, and was opened again.
    """

    def __init__(self, reason: str, *, reopened: bool = False) -> None:
        self.reopened = reopened
        full = any(sign in reason for sign in _FULL)
        said = "the disk is full, make room on it" if full else "the database failed"
        again = "; the database was opened again" if reopened else ""
        super().__init__(f"{said}{again} ({reason.strip().splitlines()[0][:200]})")


class DatabaseGone(DatabaseFailed):
    """The connection to a database server was lost, or none came about; it names no address."""

    def __init__(self) -> None:
        super().__init__("the connection was lost: try again in a moment")


class RunNotFound(StoreError, KeyError):  # noqa: N818
    """No run has this id."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"run {run_id!r} is not stored: it was deleted, or the link has a typing error"
        )

    # KeyError would show the message in quotes.
    __str__ = Exception.__str__


class ArraysDropped(StoreError):  # noqa: N818
    """The run's arrays were dropped to keep the store within its size limit."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"the arrays of run {run_id!r} were dropped to keep the store within its size limit: "
            "run the request again"
        )
