"""Bringing the tables of an older release up to date, after a copy where a database is a file."""

import filecmp
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, text

from tokenarium.storage.errors import StoreUnavailable

MIGRATIONS = Path(__file__).parent / "migrations"
VERSIONS = (MIGRATIONS / "versions",)
"""Folders of revisions; a file's name begins with the revision's number."""


def older_than(version: str) -> list[str]:
    """Return the revisions from which the tables can be brought to ``version``, oldest first."""
    names = sorted(file.name for folder in VERSIONS for file in folder.glob("[0-9]*_*.py"))
    return [name.partition("_")[0] for name in names if name.partition("_")[0] < version]


def migrate(connection: Connection) -> None:
    """Run the migrations that are due, within the transaction of ``connection``."""
    # Alembic is imported here only: an existing database opens without it.
    from alembic import command
    from alembic.config import Config

    logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)
    if connection.dialect.name == "postgresql":
        # Replicas that start together wait here, and all but the first find the work done.
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('tokenarium schema'))"))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", os.pathsep.join(map(str, VERSIONS)))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def copy_beside(path: Path, version: str) -> Path:
    """Copy a database file, and the log that belongs to it, and return where the copy is.

    A copy that is there from an attempt that failed is used again.

    Args:
        path: of the database, which nobody writes meanwhile.
        version: of its tables.
    Raises: StoreUnavailable if there is no room; nothing is left behind then.
    """
    number = 1
    while True:
        mark = f".schema-{version}" if number == 1 else f".schema-{version}-{number}"
        copy = path.with_name(f"{path.stem}{mark}{path.suffix}")
        if not copy.exists():
            break
        if filecmp.cmp(path, copy, shallow=False):
            return copy
        number += 1
    log = path.with_name(f"{path.name}.wal")
    try:
        if log.exists():
            shutil.copy2(log, copy.with_name(f"{copy.name}.wal"))
        part = copy.with_name(f"{copy.name}.part")
        shutil.copy2(path, part)
        part.replace(copy)
    except OSError as error:
        for left in (copy.with_name(f"{copy.name}.wal"), copy.with_name(f"{copy.name}.part")):
            with suppress(OSError):
                left.unlink()
        raise StoreUnavailable(
            f"{path} has the tables of an older release and is copied before they are changed, but "
            f"{copy} cannot be written ({error.strerror}): free {path.stat().st_size} bytes there, "
            "or open it with the release that wrote it"
        ) from error
    return copy
