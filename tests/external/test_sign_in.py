"""Signing in as on a Space: the session that the platform's sign-in leaves makes runs an account's.

Needs what the platform installs with Gradio: pip install 'gradio[oauth]', then pytest -m external.
"""

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from gradio import oauth

from tests.ui.served import serving
from tokenarium.backend import Settings

signing = pytest.importorskip("itsdangerous", reason="pip install 'gradio[oauth]'")
pytest.importorskip("authlib", reason="pip install 'gradio[oauth]'")
pytestmark = pytest.mark.external

OAUTH = {
    "OAUTH_CLIENT_ID": "id",
    "OAUTH_CLIENT_SECRET": "a secret",
    "OAUTH_SCOPES": "openid profile",
    "OPENID_PROVIDER_URL": "http://127.0.0.1:9",
}


@pytest.fixture
def space(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    for name, value in {**OAUTH, "SPACE_ID": "someone/tokenarium"}.items():
        monkeypatch.setenv(name, value)
        if hasattr(oauth, name):
            monkeypatch.setattr(oauth, name, value)
    monkeypatch.setattr(oauth, "get_space", lambda: "someone/tokenarium")
    with serving(Settings(database="duckdb:///:memory:", device="cpu", fetch=False)) as app:
        yield app


def cookie(subject: str, key: str = OAUTH["OAUTH_CLIENT_SECRET"]) -> str:
    """Return a session as Gradio signs it, or as somebody does who has another key."""
    known = {"sub": subject, "preferred_username": subject, "name": subject}
    info = {"userinfo": known, "expires_at": int(time.time()) + 600}
    secret = hashlib.sha256(f"{key}-v4".encode()).hexdigest()
    data = base64.b64encode(json.dumps({"oauth_info": info}).encode())
    return signing.TimestampSigner(secret).sign(data).decode()


def run_id(space: SimpleNamespace, headers: dict[str, str]) -> str:
    """Return the id of the run of one text for who sends these headers."""
    asked = {"model": "bundled/target", "text": "Once upon a time there was a fox"}
    begun = space.http.post("/gradio_api/call/v2/trace", json=asked, headers=headers).json()
    place = f"/gradio_api/call/trace/{begun['event_id']}"
    found = ""
    with space.http.stream("GET", place, headers=headers) as said_by:
        for line in said_by.iter_lines():
            if line.startswith("data: ") and '"finished"' in line:
                said = json.loads(line.removeprefix("data: "))
                found = (said[0] if isinstance(said, list) else said)["run"]["id"]
    return found


def test_runs_belong_to_the_account_whatever_the_browser(space: SimpleNamespace) -> None:
    assert "Sign in with Hugging Face" in space.http.get("/config").text
    assert space.http.get("/logout", follow_redirects=False).is_redirect
    visitors = ("0" * 32, "1" * 32)
    session = f"session={cookie('someone')}"
    mine = [run_id(space, {"cookie": f"tokenarium_visitor={name}; {session}"}) for name in visitors]
    assert mine[0] == mine[1] != ""
    assert run_id(space, {"cookie": f"tokenarium_visitor={visitors[0]}"}) not in mine
    other = f"tokenarium_visitor={visitors[0]}; session={cookie('somebody else')}"
    assert run_id(space, {"cookie": other}) not in mine
    forged = f"tokenarium_visitor={visitors[0]}; session={cookie('someone')[:-2]}xx"
    assert run_id(space, {"cookie": forged}) not in mine


@pytest.mark.parametrize("key", ["", "id", "None", "A secret"])
def test_a_session_signed_with_a_guessed_key_is_nobodys(space: SimpleNamespace, key: str) -> None:
    """Without a secret Gradio signs with the empty one, which anybody could: see ``sign_in``."""
    mine = run_id(space, {"cookie": f"tokenarium_visitor={'0' * 32}; session={cookie('someone')}"})
    forged = f"tokenarium_visitor={'1' * 32}; session={cookie('someone', key)}"
    assert run_id(space, {"cookie": forged}) not in (mine, "")
