"""What stands between the browser and Gradio: one set of scripts, addresses of old."""

import gzip
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tokenarium.ui.shell.scripts import FOLDER, GRADIOS, KINDS, NAMES, files
from tokenarium.ui.shell.web import served

HEAD = '<head><title>é</title><script type="module" src="a.js"></script></head>'
PAGE = f"<html>{HEAD}<body></body></html>"


@pytest.fixture
def client() -> TestClient:
    routes = [
        Route("/", lambda _: HTMLResponse(PAGE)),
        Route("/cache", lambda _: HTMLResponse(PAGE)),
        Route("/other", lambda _: PlainTextResponse(PAGE)),
    ]
    return TestClient(
        Starlette(routes=routes, **served(["", "cache"])["app_kwargs"]), follow_redirects=False
    )


@pytest.mark.parametrize("path", ["/", "/cache"])
def test_every_page_names_each_script_once_before_gradios_own(
    client: TestClient, path: str
) -> None:
    plain = client.get(path, headers={"accept-encoding": "identity"})
    assert int(plain.headers["content-length"]) == len(plain.content)
    found = client.get(path)
    assert found.content == plain.content
    assert found.headers["content-encoding"] == "gzip"
    assert int(found.headers["content-length"]) < len(found.content)
    assert client.head(path).headers["content-length"] == found.headers["content-length"]
    scripts = [address for address in files() if address.endswith(".js")]
    places = [found.text.index(f'src="{address}"></script>') for address in scripts]
    assert places == sorted(places)
    assert places[-1] < found.text.index('<script type="module"')
    (look,) = (address for address in files() if address.endswith(".css"))
    assert found.text.index(f'href="{look}"></body>') > places[-1]
    assert all(found.text.count(address) == 1 for address in files())
    assert found.text.count("<title>é</title>") == 1


def test_what_is_no_page_is_left_alone(client: TestClient) -> None:
    assert client.get("/other").text == PAGE


def test_a_script_is_kept_by_the_browser_under_an_address_of_its_content(
    client: TestClient,
) -> None:
    for address, script in files().items():
        found = client.get(address)
        assert found.content == script.text == gzip.decompress(script.packed)
        assert "immutable" in found.headers["cache-control"]
        plain = client.get(address, headers={"accept-encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == script.text
    assert {path.stem for path in FOLDER.glob("*.js")} == set(NAMES)


def test_gradios_own_scripts_and_styles_are_served_once_and_for_all(client: TestClient) -> None:
    names = [path.name for path in GRADIOS.iterdir() if path.suffix in KINDS][::40]
    assert len(names) > 10
    for name in names:
        found = client.get(f"/assets/{name}")
        assert found.content == (GRADIOS / name).read_bytes()
        assert found.headers["content-type"].startswith(KINDS[Path(name).suffix])
        assert "immutable" in found.headers["cache-control"]
        assert found.headers["content-encoding"] == "gzip"
    for name in ("nothing-00000000.js", "../index.html", "..%2f..%2findex-00000000.js", "a.svg"):
        assert client.get(f"/assets/{name}").status_code == 404


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("/?tab=cache&run=a%20b&sweep=s", "cache?run=a+b&sweep=s"),
        ("/?__theme=dark&tab=cache", "cache?__theme=dark"),
        ("/?tab=cache", "cache"),
        ("/?tab=explore&run=r&token=3", "./?run=r&token=3"),
        ("/?tab=//elsewhere.example", "./"),
    ],
)
def test_an_address_of_a_tab_leads_to_its_page(client: TestClient, asked: str, wanted: str) -> None:
    found = client.get(asked)
    assert found.status_code == 307
    assert found.headers["location"] == wanted


def test_a_page_is_not_moved(client: TestClient) -> None:
    assert client.get("/?run=r&token=3").status_code == 200
    assert client.get("/cache?tab=cache").status_code == 200
