"""The application as a process of its own."""

import json
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_S = 200.0


@dataclass(frozen=True)
class App:
    """A running application."""

    url: str
    log: Path

    def get(self, path: str) -> Any:
        """Return the JSON at a path."""
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=30) as answer:
            return json.load(answer)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_app(app: App, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            app.get("gradio_api/startup-events")
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the application did not start:\n{app.log.read_text()[-2000:]}")
