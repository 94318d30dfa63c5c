"""A PostgreSQL server of these tests alone: in a folder of its own, on a Unix socket, as nobody."""

import getpass
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

OWNER = "tokenarium"
_QUICK = {
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "shared_buffers": "32MB",
    "max_connections": "60",
}
"""The machine may not end under these tests, the server may: what is committed it has written to
the system. Nobody else can reach it."""


class Server:
    """A running server.

    Args:
        folder: of its data and its socket; short, as a socket's address may have 107 bytes.
        binaries: where ``postgres`` lies.
    """

    def __init__(self, folder: Path, binaries: Path) -> None:
        self._folder, self._binaries = folder, binaries
        self._data = folder / "data"
        self._number = 0
        named = ["-U", OWNER, "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"]
        self._run("initdb", "-D", self._data, *named)
        lines = [f"{name} = '{value}'" for name, value in _QUICK.items()]
        lines.append(f"unix_socket_directories = '{folder}'")
        with (self._data / "postgresql.conf").open("a") as file:
            file.write("\n".join(lines) + "\n")
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        log = self._folder / "log"
        self._run("pg_ctl", "-D", self._data, "-l", log, "-w", "-t", "60", "start")

    def stop(self, how: str = "immediate") -> None:
        """End the server and every connection to it; ``fast`` loses nothing on the way."""
        self._run("pg_ctl", "-D", self._data, "-m", how, "-w", "stop")

    @property
    def pid(self) -> int:
        """The server's process, whose children serve its connections."""
        return int((self._data / "postmaster.pid").read_text().split()[0])

    def url(self, database: str, user: str = OWNER) -> str:
        """Return the address of a database."""
        return f"postgresql+psycopg://{user}@/{database}?host={self._folder}"

    def new(self) -> str:
        """Return the address of an empty database."""
        self._number += 1
        name = f"runs_{self._number}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Delete a database, whoever is still connected to it."""
        self.execute(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    def execute(self, sql: str, database: str = "postgres") -> None:
        """Run a statement outside any transaction."""
        engine = create_engine(self.url(database), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(sql))
        engine.dispose()

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self._binaries / program), *map(str, arguments)]
        done = subprocess.run(
            command,
            user=_nobody(),
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the server inherits it: a pipe would never end
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            log = self._folder / "log"
            said = log.read_text()[-2000:] if log.exists() else ""
            pytest.fail(f"{program} ended with {done.returncode}: {said}")


@contextmanager
def running() -> Iterator[Server]:
    """Run a server; skip without one, except in CI."""
    binaries = _binaries()
    if binaries is None:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL is not installed: apt-get install postgresql")
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="tokenarium-pg-", dir="/tmp"))
    try:
        if (user := _nobody()) is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        folder.chmod(0o755)
        server = Server(folder, binaries)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path | None:
    """Return the folder of the newest server; Debian keeps it off the path."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = str(debian[-1]) if debian else shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def _nobody() -> str | None:
    """Return the user to run it as: it refuses root."""
    if getpass.getuser() != "root" and os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
