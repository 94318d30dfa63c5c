"""What pages of a test did that they must not: errors, dialogs, requests to other hosts."""

import json
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import (
    BrowserContext,
    Error,
    Page,
    Request,
)

from tests.browser.served import App

ABORTED = (
    "Unexpected error 404",
    "AbortError: signal is aborted",
    "AbortError: BodyStreamBuffer was aborted",
    "onnection errored out",
    "TypeError: network error",
)
"""What Gradio's script logs of a stream that was open when its page was left for another."""
LEAVING = "(while the page was being left)"
MARK_LEAVING = """mark => {
  let leaving = false;
  addEventListener('beforeunload', () => { leaving = true; }, true);
  addEventListener('pageshow', () => { leaving = false; }, true);
  const log = console.error;
  console.error = (...said) => log.call(console, ...(leaving ? [mark, ...said] : said));
}"""
"""Marks what a page logs between being left and being gone."""


@dataclass
class Watch:
    """What pages of one test did that they must not."""

    wrong: list[str] = field(default_factory=list)
    requests: defaultdict[Page, list[str]] = field(default_factory=lambda: defaultdict(list))

    def follow(self, context: BrowserContext, app: App) -> None:
        context.on("request", lambda request: self._asked(request, app))
        context.on("page", self._opened)
        context.add_init_script(f"({MARK_LEAVING})({json.dumps(LEAVING)})")

    def asked(self, page: Page) -> int:
        """Return how often a page has asked Python for something."""
        urls = self.requests[page]
        return sum("/queue/join" in url or "/component_server" in url for url in urls)

    def _asked(self, request: Request, app: App) -> None:
        with suppress(Error):  # of a page that is not there yet, or of a worker
            self.requests[request.frame.page].append(request.url)
        parts = urlsplit(request.url)
        if parts.scheme not in ("blob", "data") and not request.url.startswith(app.url):
            self.wrong.append(f"off-host request: {request.url}")

    def _opened(self, page: Page) -> None:
        page.on("console", lambda message: message.type == "error" and self._logged(message.text))
        page.on("pageerror", lambda error: self.wrong.append(f"page error: {error}"))
        page.on("dialog", self._refuse)

    def _logged(self, text: str) -> None:
        leaving = text.startswith(LEAVING) and any(words in text for words in ABORTED)
        if not leaving:
            self.wrong.append(f"console error: {text}")

    def _refuse(self, dialog: Any) -> None:
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()
