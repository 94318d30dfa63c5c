"""A visitor of a Space is offered a copy of it, by the name that the platform gives."""

import pytest

from tokenarium.ui.shell.layout import own_space


@pytest.mark.parametrize(
    ("space", "offered"),
    [
        ("someone/tokenarium", "https://huggingface.co/spaces/someone/tokenarium?duplicate=true"),
        ("", ""),
        ('a/b"><script>', ""),
        ("tokenarium", ""),
    ],
)
def test_a_copy_is_offered_on_a_space_only(
    monkeypatch: pytest.MonkeyPatch, space: str, offered: str
) -> None:
    monkeypatch.setenv("SPACE_ID", space)
    assert (offered in own_space()) if offered else own_space() == ""
