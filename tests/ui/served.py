"""The application as it is launched, in this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import httpx

from tokenarium.backend import Lab, Settings
from tokenarium.ui.page import build, launch_options


@contextmanager
def serving(settings: Settings, port: int | None = None) -> Iterator[SimpleNamespace]:
    """Serve the pages at a port: ``http``, ``url``, ``blocks``, ``lab``, ``hosted``."""
    with Lab(settings) as lab:
        blocks = build(lab).queue(api_open=False)
        _, url, _ = blocks.launch(
            prevent_thread_lock=True,
            server_name="127.0.0.1",
            server_port=port,
            **{**launch_options(settings), "quiet": True},
        )
        try:
            with httpx.Client(base_url=url, timeout=60) as http:
                yield SimpleNamespace(
                    http=http, url=url, blocks=blocks, lab=lab, hosted=settings.hosted
                )
        finally:
            blocks.close(verbose=False)
