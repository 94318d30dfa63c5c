"""Under which names the pages answer, and the headers of every answer."""

import pytest
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tokenarium.backend import Settings
from tokenarium.ui.page import launch_options
from tokenarium.ui.shell.hosts import Hosts, hosts_of

HEADERS = ("content-security-policy", "x-content-type-options", "referrer-policy")


def client(**options: object) -> TestClient:
    hosts = hosts_of(Settings(**{"hosted": False, **options}))
    routes = [Route("/", lambda _: PlainTextResponse("page"))]
    return TestClient(
        Starlette(routes=routes, middleware=[Middleware(Hosts, **hosts)]), "http://localhost"
    )


def status(asked: str, **options: object) -> int:
    return client(**options).get("/", headers={"host": asked}).status_code


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:7860", "LOCALHOST:1", "localhost.", "127.0.0.1:7860", "[::1]:7860",
     "[::1]"],
)  # fmt: skip
def test_local_mode_answers_to_its_own_names(host: str) -> None:
    assert status(host) == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:7860", "localhost.evil.example", "127.0.0.1.evil.example:7860",
     "evil.example:localhost", "[::2]", "", "localhost:80@evil.example", "192.168.0.5:7860",
     "notexample.org", "127.0.0.1:x"],
)  # fmt: skip
def test_local_mode_refuses_other_names_in_words(host: str) -> None:
    found = client().get("/", headers={"host": host})
    assert found.status_code == 403
    assert "--allowed-hosts" in found.json()["detail"]
    assert all(name in found.headers for name in HEADERS)


def test_names_can_be_added() -> None:
    options = {"allowed_hosts": "a.example, *.Example.org,[fd00::1]", "host": "box"}
    for host in ("a.example:1", "b.example.org", "c.d.example.org", "[FD00::1]:7", "box"):
        assert status(host, **options) == 200
    for host in ("b.a.example", "example.org", "evil-example.org", "::1"):
        assert status(host, **options) == 403
    assert status("anything", allowed_hosts="*") == 200
    assert status("[fd00::2]:80", host="fd00::2") == 200


def test_hosted_mode_answers_to_all_names_unless_some_are_given() -> None:
    assert status("someone-tokenarium.hf.space", hosted=True) == 200
    assert status("other.example", hosted=True, allowed_hosts="a.example") == 403


@pytest.mark.parametrize(
    "values",
    [
        {"allowed_hosts": "http://a.example"},
        {"allowed_hosts": "a.example:80"},
        {"frame_ancestors": "a.example; script-src *"},
        {"frame_ancestors": "*"},
    ],
)
def test_what_is_no_name_and_no_site_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="such as"):
        Settings(**values)


def test_frames_are_for_the_page_itself_or_the_sites_of_its_host() -> None:
    own = client().get("/").headers
    assert own["content-security-policy"].endswith("frame-ancestors 'self'")
    assert own["x-frame-options"] == "SAMEORIGIN"
    hosted = client(hosted=True, frame_ancestors="https://a.example").get("/").headers
    sites = hosted["content-security-policy"].partition("frame-ancestors ")[2].split()
    assert sites == ["'self'", "https://huggingface.co", "https://*.hf.space", "https://a.example"]
    assert "x-frame-options" not in hosted
    assert (hosted["x-content-type-options"], hosted["referrer-policy"]) == (
        "nosniff",
        "same-origin",
    )


def test_names_are_looked_at_before_anything_answers() -> None:
    first = launch_options(Settings(hosted=False))["app_kwargs"]["middleware"][0]
    assert first.cls is Hosts
