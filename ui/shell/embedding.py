"""Parts of a page by themselves, for a frame on another site: ``?embed=strip,map``.

Only such an address may be framed by any site; it shows a stored run and offers nothing that
computes, so that a click which another site leads astray costs nothing.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from starlette.responses import HTMLResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tokenarium.backend import UserError
from tokenarium.ui.lessons.framed import FRAMED as LESSON
from tokenarium.ui.lessons.framed import beside, moved_to, step_of
from tokenarium.ui.shell.section import RunPage
from tokenarium.ui.text import escape

EMBED = "embed"
FRAMED = "tokenarium.framed"
"""In the scope of a request for an embed: what the head of its document has more."""
ONLY_SHOWN = "an embed only shows a stored run: open the whole page to compute"
_PLOT = "plot-"


@dataclass(frozen=True)
class Part:
    """What a name in ``?embed=`` stands for."""

    ids: tuple[str, ...]
    view: str | None
    """The tab that it is in."""


def parts_of(page: RunPage) -> dict[str, Part]:
    """Return what of a built page can be embedded, by name: panels and each of their parts."""
    found = {"sentence": Part(("sentence",), None)}
    for panel in page.every_panel():
        view = panel.slug if panel.slug in page.tabs else None
        shown = [part for name, part in panel.parts.items() if name not in panel.controls]
        ids = [str(part.elem_id) for part in shown if part.elem_id]
        found |= {each.removeprefix(_PLOT): Part((each,), view) for each in ids}
        if ids:
            found[panel.slug] = Part(tuple(ids), view)
    return {**found, LESSON: Part((LESSON,), None)}


def chosen(parts: Mapping[str, Part], asked: str) -> tuple[tuple[str, ...], str | None]:
    """Return the ids of the parts that are asked for, and the tab that has them.

    Raises:
        UserError: if a name is unknown, or parts are in several tabs.
    """
    names = _names(asked)
    unknown = [name for name in names if name not in parts]
    if unknown or not names:
        wrong = unknown[0][:60] if unknown else ""
        raise UserError(f"embed={wrong!r} is no part of this page: choose {', '.join(parts)}")
    views = {name: part.view for name in names if (part := parts[name]).view}
    if len(set(views.values())) > 1:
        said = ", ".join(f"{name} in {view}" for name, view in views.items())
        raise UserError(f"embed={asked[:60]!r} is in several views, {said}: embed one of them")
    ids = tuple(dict.fromkeys(each for name in names for each in parts[name].ids))
    return ids, next(iter(views.values()), None)


class Embeds:
    """Middleware of the application: answers for addresses with ``embed``.

    Args:
        app: what comes after it.
        pages: the routes, the first page's as an empty text.
    """

    def __init__(self, app: ASGIApp, pages: Collection[str]) -> None:
        self._app, self._pages = app, frozenset(pages)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Mark a request for an embed, lead it to its view, or refuse it in words."""
        path = scope.get("path", "").removeprefix(scope.get("root_path", "")).strip("/")
        asked = _asked(scope) if path in self._pages else None
        if asked is None:
            await self._app(scope, receive, send)
            return
        pages: Mapping[str, Mapping[str, Part]] = scope["app"].get_blocks().embeds
        scope[FRAMED] = b""
        try:
            if path not in pages:
                whole = ", ".join(f"/{each}" for each in pages)
                raise UserError(f"page=/{path[:60]} has no parts to embed: take one of {whole}")
            names = _names(asked[EMBED])
            if LESSON in names and LESSON in pages[path]:
                if begins := moved_to(asked, path):
                    await RedirectResponse(begins, 307)(scope, receive, send)
                    return
                names += _beside(asked, pages[path]) if names == [LESSON] else []
            ids, view = chosen(pages[path], ",".join(names))
        except UserError as error:
            await _refused(str(error))(scope, receive, send)
            return
        if view and asked.get("view") != view:
            query = urlencode({**asked, "view": view}, safe=",")
            await RedirectResponse(f"{path or './'}?{query}", 307)(scope, receive, send)
            return
        scope[FRAMED] = _head(ids)
        await self._app(scope, receive, send)


def embedded(request: Any) -> bool:
    """Return whether an event comes from an embed: the browser says which page sends it."""
    told = getattr(request, "headers", None) or {}
    return EMBED in parse_qs(urlsplit(told.get("referer") or "").query, keep_blank_values=True)


def _names(asked: str) -> list[str]:
    return [name.strip() for name in asked.split(",") if name.strip()]


def _beside(asked: Mapping[str, str], parts: Mapping[str, Part]) -> list[str]:
    """Return what a step alone is shown with; nothing where its part cannot be framed."""
    lesson, number = step_of(asked)
    found = beside(lesson.steps[number - 1], {name: part.ids for name, part in parts.items()})
    return [] if found is None else [found]


def _asked(scope: Scope) -> dict[str, str] | None:
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
        return None
    asked = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    return asked if EMBED in asked else None


def _refused(words: str) -> HTMLResponse:
    return HTMLResponse(f"<!doctype html><title>Tokenarium</title><p>{escape(words)}</p>", 400)


def _head(ids: Sequence[str]) -> bytes:
    """Return a style that hides everything but the parts, and what the scripts are to know."""
    kept = f":is({','.join(f'#{each}' for each in ids)})"
    boxes = "main :is(.block,.row,.column,.form,.tabs,.tab-wrapper,.tk-part)"
    style = f"{boxes}:not({kept}):not({kept} *):not(:has({kept})){{display:none!important}}"
    told = json.dumps({"ids": list(ids)})
    return f"<style>{style}</style><script>window.tokenariumEmbed={told}</script>".encode()
