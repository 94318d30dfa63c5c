"""All pages as one Gradio application."""

from contextlib import nullcontext
from typing import Any
from unittest.mock import patch

import gradio as gr
from gradio.components.navbar import Navbar
from gradio.routes import App
from starlette.middleware import Middleware

from tokenarium.backend import Lab, Settings
from tokenarium.ui import theme
from tokenarium.ui.api import expose
from tokenarium.ui.components.actions import Offered, tools
from tokenarium.ui.pages import every_page
from tokenarium.ui.shell.answers import answer_in_words
from tokenarium.ui.shell.embedding import Embeds, Part, parts_of
from tokenarium.ui.shell.guard import HOSTED_SENT_BYTES, SENT_BYTES, Guard
from tokenarium.ui.shell.header import TAGLINE, header
from tokenarium.ui.shell.health import Health
from tokenarium.ui.shell.hosts import Hosts, hosts_of
from tokenarium.ui.shell.opened import Opened
from tokenarium.ui.shell.page import Page
from tokenarium.ui.shell.saving import saved_of
from tokenarium.ui.shell.section import RunPage
from tokenarium.ui.shell.sessions import MOST_SESSIONS, KeepLittle
from tokenarium.ui.shell.visitor import visitor_of
from tokenarium.ui.shell.web import served
from tokenarium.ui.shell.wiring import Wiring
from tokenarium.ui.shell.without_matplotlib import look_for_no_matplotlib

TITLE = "Tokenarium"
ENDPOINTS = "endpoints"
"""Route of no page: HTTP and MCP."""


class Pages(gr.Blocks):
    """Blocks of several routes, whose configuration is made once, after the last of them.

    Gradio makes a configuration of all that is there, and a web application, whenever a route is
    closed: a fifth of a second each time with eleven pages.
    """

    growing = False
    """Whether routes follow: until then what was made of the first stands for all."""
    _first: Any = None

    def __exit__(self, *raised: Any) -> None:
        """Close a route."""
        made = vars(self).get("app")
        again = self.growing and made is not None
        with patch.object(App, "create_app", lambda *_, **__: made) if again else nullcontext():
            super().__exit__(*raised)

    def get_config_file(self) -> Any:
        """Return the configuration that Gradio serves."""
        if not self.growing:
            return super().get_config_file()
        if self._first is None:
            self._first = super().get_config_file()
        return self._first


def build(lab: Lab) -> gr.Blocks:
    """Return the application: pages over one lab, no endpoint exposed but those named here."""
    look_for_no_matplotlib()
    first, *others = every_page()
    blocks: Pages
    with Pages(title=TITLE, analytics_enabled=False, fill_width=True) as blocks:
        blocks.growing = True
        blocks.embeds = {}  # type: ignore[attr-defined]
        blocks.why_not_ready = lab.why_not_ready  # type: ignore[attr-defined]
        blocks.packed = lab.packed  # type: ignore[attr-defined]
        _page(blocks, lab, first)
    for page in others:
        with blocks.route(page.title, f"/{page.path}", show_in_navbar=False):
            _page(blocks, lab, page)
    # Apart from the pages, which would all be sent what the endpoints take.
    with blocks.route("Endpoints", f"/{ENDPOINTS}", show_in_navbar=False):
        header(TITLE, _titles(), ENDPOINTS)
        gr.HTML(
            '<p>What every kind of run takes: <a href="gradio_api/openapi.json">openapi</a>.</p>'
        )
        expose(lab)
        blocks.growing = False
    answer_in_words(blocks, lab)
    return blocks


def _page(blocks: gr.Blocks, lab: Lab, page: type[RunPage] | type[Page]) -> None:
    Navbar(visible=False)
    if lab.settings.sign_in:
        gr.LoginButton(size="sm", elem_id="sign-in", min_width=0)
    header(TITLE, _titles(), page.path, page.intro or TAGLINE)
    if issubclass(page, Page):
        made = page(lab)
        parts = {name: (each.title, each.ids) for name, each in page.parts.items()}
        offered = Offered(page.figures, page.files, parts)

        def export(asked: dict[str, Any], request: gr.Request) -> dict[str, str]:
            visitor = visitor_of(lab, request, asked)
            return saved_of(made, asked.get("query"), asked.get("file"), visitor)

        tools(offered, export, made.explained if page.numbers else None)
        made.build(blocks)
        if parts:
            found = {name: Part(each.ids, None) for name, each in page.parts.items()}
            blocks.embeds[page.path] = found  # type: ignore[attr-defined]
    else:
        wired = Wiring(page(lab), lab, blocks).page
        blocks.embeds[page.path] = parts_of(wired)  # type: ignore[attr-defined]


def _titles() -> dict[str, str]:
    return {page.path: page.title for page in every_page()}


def launch_options(settings: Settings) -> dict[str, Any]:
    """Return what ``launch`` needs for the look of these pages and the mode they run in."""
    pages = list(_titles())
    sent_bytes = HOSTED_SENT_BYTES if settings.hosted else SENT_BYTES
    options = served(pages)
    guard = Middleware(
        Guard,
        pages=[*pages, ENDPOINTS],
        sent_bytes=sent_bytes,
        hosted=settings.hosted,
        behind_proxy=settings.behind_proxy,
        sign_in=settings.sign_in,
    )
    options["app_kwargs"]["middleware"][:0] = [
        Middleware(Hosts, **hosts_of(settings)),
        Middleware(Health),
        Middleware(Opened),
        Middleware(Embeds, pages=[*pages, ENDPOINTS]),
        guard,
        Middleware(KeepLittle),
    ]
    return {
        "theme": theme.theme(),
        "run_history": False,
        "state_session_capacity": MOST_SESSIONS,
        "footer_links": [],
        "mcp_server": True,
        "ssr_mode": False,
        "show_error": False,
        "quiet": settings.hosted or settings.log == "json",
        **options,
    }
