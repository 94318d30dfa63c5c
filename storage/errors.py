"""What can go wrong with stored runs, in words that say what to do."""


class StoreError(Exception):
    """Something about stored runs failed; the message says what and what to do."""


class StoreUnavailable(StoreError):  # noqa: N818
    """The database cannot be opened; it was left as it was."""


class QueryRefused(StoreError):  # noqa: N818
    """The query door did not run, or did not finish, a statement."""


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
