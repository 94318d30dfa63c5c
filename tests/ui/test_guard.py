"""What answers of a running server: the pages, their own events, named endpoints, and no more."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from starlette.responses import JSONResponse
from starlette.testclient import TestClient

from tests.labs import shipped_store
from tests.ui.served import serving
from tokenarium.backend import Settings
from tokenarium.storage import DatabaseFailed
from tokenarium.ui import api
from tokenarium.ui.pages import every_page
from tokenarium.ui.shell.guard import HOSTED_SENT_BYTES, SENT_BYTES, Guard
from tokenarium.ui.shell.opened import AWAY
from tokenarium.ui.shell.visitor import CALLER, passed_on, visitor_of

API = "/gradio_api"
ANSWER = {
    *(f"/{page.path}" for page in every_page()),
    *("/openapi.json", "/endpoints", "/config", "/favicon.ico"),
    *("/theme.css", "/robots.txt", "/manifest.json", "/pwa_icon", f"{API}/theme.css"),
    *(f"{API}/info", f"{API}/openapi.json", f"{API}/startup-events", f"{API}/app_id"),
    *(f"{API}/queue/status", f"{API}/mcp/schema"),
}
"""Addresses that answer a GET; others are refused or need more than an address."""
MORE = ("/assets/", "/static/", "heartbeat", "queue/data", "/call/", "/mcp", "pwa_icon")
"""Routes with a name in them, or that stay open."""


@pytest.fixture(scope="module", params=[False, True], ids=["local", "hosted"])
def served(request: pytest.FixtureRequest) -> Iterator[SimpleNamespace]:
    with serving(
        Settings(database=shipped_store(), device="cpu", hosted=request.param, fetch=False)
    ) as app:
        yield app


def routes(app: Any) -> Iterator[tuple[str, str]]:
    """Return method and path of every route, of routers inside the application too."""
    for route in app.routes:
        inside = getattr(route, "original_router", None) or getattr(route, "router", None)
        if inside is not None:
            yield from routes(inside)
        elif getattr(route, "path", None) is not None:
            yield from ((m, route.path) for m in getattr(route, "methods", None) or ("GET",))


def test_no_route_answers_but_those_in_use(served: SimpleNamespace) -> None:
    known = list(routes(served.blocks.app))
    assert len(known) > 60
    assert any(path.endswith("/upload") for _, path in known)
    for method, path in known:
        filled = path.replace("{path:path}", "x").replace("{", "").replace("}", "")
        if method == "GET" and any(part in filled for part in MORE):
            continue
        found = served.http.request(method, filled, content=b"{}", headers=JSON)
        if method in ("GET", "HEAD") and filled.rstrip("/") in {p.rstrip("/") for p in ANSWER}:
            assert found.status_code in (200, 301), (method, path)
        else:
            assert found.status_code in (404, 405, 422), (method, path, found.status_code)


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    "path",
    ["/gradio_api/upload", "//gradio_api//upload", "/gradio_api/upload/", "/gradio_api/%75pload",
     "/gradio_api/component_server", "/gradio_api/process_recording"],
)  # fmt: skip
def test_no_file_is_taken(served: SimpleNamespace, path: str) -> None:
    found = served.http.post(path, files={"files": ("a.bin", b"a")})
    assert found.status_code in (404, 415)
    assert found.json()["detail"]
    assert served.http.get(f"/gradio_api/file={__file__}").status_code == 404


def test_more_than_the_most_is_refused(served: SimpleNamespace) -> None:
    most = HOSTED_SENT_BYTES if served.hosted else SENT_BYTES

    def chunks() -> Iterator[bytes]:
        for _ in range(most // 2**18 + 2):
            yield b" " * 2**18

    address = "/gradio_api/queue/join"
    assert served.http.post(address, content=chunks(), headers=JSON).status_code == 413
    told = served.http.post(address, content=b" " * (most + 1), headers=JSON)
    assert told.status_code == 413
    assert "MB" in told.json()["detail"]
    assert served.http.post(address, content=b" " * 9, headers=JSON).status_code == 422


def test_functions_answer_as_they_were_registered_and_in_no_other_way(
    served: SimpleNamespace,
) -> None:
    fns = served.blocks.fns
    counted = {"queue": 0, "run": 0, "call": 0}
    for index, fn in [*fns.items(), (len(fns), None), (-1, None)]:
        registered = fn is not None and fn.fn is not None
        endpoint = registered and fn.api_visibility == "public"
        event = registered and bool(fn.targets)
        wanted = {
            "queue/join": (endpoint or event) and fn.queue,
            "run/predict": event and not fn.queue,
            "api/predict": False,
            f"run/{fn.api_name}" if fn else "run/x": event and not fn.queue,
            f"call/{fn.api_name}" if fn else "call/x": endpoint,
            f"call/v2/{fn.api_name}" if fn else "call/v2/x": endpoint,
        }
        for path, answers in wanted.items():
            body = {"data": None, "session_hash": f"s{index}"}  # nothing runs: 422 once let through
            if not path.startswith("call"):
                body["fn_index"] = index
            if path.startswith("call/v2") and answers:
                continue  # a body of any shape is an answer there
            told = served.http.post(f"{API}/{path}", json=body)
            assert (told.status_code == 422) == bool(answers), (index, path, told.text)
            assert answers or told.status_code == 404
            counted[path.partition("/")[0]] = counted.get(path.partition("/")[0], 0) + bool(answers)
    assert counted["queue"] > 60
    assert counted["run"] >= 10
    assert counted["call"] == len(served.lab.kinds()) + 1


@pytest.mark.parametrize("index", ["0", 0.0, True, [0], None, {}])
def test_an_index_of_another_type_calls_nothing(served: SimpleNamespace, index: object) -> None:
    body = {"data": [], "fn_index": index, "session_hash": "s"}
    assert served.http.post(f"{API}/queue/join", json=body).status_code == 404


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{}", "text/plain", 415),
        (b"[]", "application/json", 422),
        (b"[" * 100_000, "application/json", 422),
        (b"\xff", "application/json", 422),
        (b"", "application/json", 422),
    ],
)
def test_what_is_no_json_object_is_refused(
    served: SimpleNamespace, content: bytes, kind: str, status: int
) -> None:
    told = served.http.post(f"{API}/queue/join", content=content, headers={"content-type": kind})
    assert told.status_code == status
    assert json.loads(told.text)["detail"]


def test_only_functions_of_parts_are_called(served: SimpleNamespace) -> None:
    part = next(
        number
        for number, block in served.blocks.blocks.items()
        if getattr(block, "export_file", None) is not None
    )
    for component, name, status in [
        (part, "export_file", 200),
        (part, "get_config", 404),
        (part, 5, 404),
        (0, "export_file", 404),
        ([], "export_file", 404),
    ]:
        body = {"component_id": component, "fn_name": name, "session_hash": "s", "data": {}}
        assert served.http.post(f"{API}/component_server", json=body).status_code == status


def test_endpoints_are_called_through_the_queue(served: SimpleNamespace) -> None:
    client = Client(served.url, verbose=False)
    with pytest.raises(AppError, match="no/such"):
        client.predict(run_id="no/such", api_name="/run")


@pytest.mark.parametrize("path", ["/", "/cache", "/speculate/", "/config", "/gradio_api/info"])
def test_pages_answer(served: SimpleNamespace, path: str) -> None:
    assert served.http.get(path, follow_redirects=True).status_code == 200


def test_health_and_readiness_answer_a_probe_and_nothing_else(served: SimpleNamespace) -> None:
    for path in ("/health", "/ready"):
        found = served.http.get(path)
        assert (found.status_code, found.json()) == (200, {"status": "ok"}), path
        assert found.headers["cache-control"] == "no-store"
        assert found.headers["x-content-type-options"] == "nosniff"
        assert served.http.head(path).content == b""
        assert served.http.post(path, json={}).status_code == 404
        assert served.http.get(f"{path}/x").status_code == 404


def test_a_stored_run_has_an_address_of_its_own(served: SimpleNamespace) -> None:
    lab = served.lab
    run = lab.examples("trace")[0].run_id
    found = served.http.get(f"/runs/{run}.json")
    assert found.status_code == 200
    assert found.headers["content-encoding"] == "gzip"
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.json() == lab.content(run)
    plain = served.http.get(f"/runs/{run}.json", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == found.content
    same = {"if-none-match": found.headers["etag"]}
    again = served.http.get(f"/runs/{run}.json", headers=same)
    assert (again.status_code, again.content) == (304, b"")
    whole = served.http.get(f"/runs/{run}.json?everything=1")
    assert whole.json() == lab.content(run, most=2**62)
    assert whole.headers["etag"] != found.headers["etag"]
    assert served.http.head(f"/runs/{run}.json").content == b""
    missing = served.http.get("/runs/no-such.json")
    assert missing.status_code == 404
    assert "no-such" in missing.json()["error"]
    for path in ("/runs/a/b.json", "/runs/.json", f"/runs/{run}", "/runs/"):
        assert served.http.get(path).status_code == 404, path
    assert served.http.post(f"/runs/{run}.json", json={}).status_code == 404


def test_a_store_that_does_not_answer_is_no_missing_run_and_names_no_address(
    served: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(run_id: str) -> None:
        raise DatabaseFailed("connection to server on socket /secret/.s failed")

    monkeypatch.setattr(served.lab._repository.store, "created", away)
    found = served.http.get(f"/runs/{served.lab.examples('trace')[0].run_id}.json")
    assert (found.status_code, found.json()["error"]) == (503, AWAY)


def test_tools_answer(served: SimpleNamespace) -> None:
    began = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }
    accepts = {"accept": "application/json, text/event-stream"}
    told = served.http.post(f"{API}/mcp/", json=began, headers=accepts)
    assert told.status_code == 200
    assert "Tokenarium" in told.text


def test_a_call_through_mcp_counts_for_the_address_it_came_from(
    served: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def watched(lab: Any, request: Any) -> Any:
        asked.append(visitor_of(lab, request))
        return asked[-1]

    monkeypatch.setattr(api, "visitor_of", watched)
    call = {"name": "run", "arguments": {"run_id": "nothing"}}
    sent = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    accepts = {"accept": "application/json, text/event-stream", CALLER: "0 6.6.6.6"}
    told = served.http.post(f"{API}/mcp/", json=sent, headers=accepts, timeout=60)
    assert "'nothing' is not stored" in told.text
    name, caller = passed_on("127.0.0.1")
    headers = {name.decode(): caller.decode()}
    known = SimpleNamespace(cookies={}, headers=headers, session_hash="another", client=None)
    assert asked == [visitor_of(served.lab, known)]
    assert asked[0].address == "127.0.0.1"


def test_who_typed_a_wrong_address_is_told_in_a_page_with_a_way_back(
    served: SimpleNamespace,
) -> None:
    found = served.http.get("/<b>nothing", headers={"accept": "text/html,*/*"})
    assert found.status_code == 404
    assert found.headers["content-type"].startswith("text/html")
    assert "nothing answers here" in found.text
    assert '<a href="/">' in found.text
    assert "<b>nothing" not in found.text
    assert "error" in served.http.get("/nothing").json()


@pytest.mark.parametrize("offered", [False, True])
def test_the_way_to_sign_in_answers_only_where_that_is_offered(offered: bool) -> None:
    passed: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["path"])
        await JSONResponse({})(scope, receive, send)

    client = TestClient(Guard(app, [""], SENT_BYTES, sign_in=offered))
    ways = ["/login/huggingface", "/login/callback", "/logout"]
    for path in [*ways, "/login", "/login/other", "/logout/x"]:
        client.get(path)
        client.post(path, json={})
    assert passed == (ways if offered else [])
