"""What is known of who asks: the address, and whether the name was seen before."""

import pytest

from tokenarium.backend.runs import visitor as module
from tokenarium.backend.runs.visitor import SeenNames, address_of, network_of


@pytest.mark.parametrize(
    ("forwarded", "behind_proxy", "wanted"),
    [
        ("8.8.8.8", False, "10.1.1.1"),
        ("8.8.8.8", True, "8.8.8.8"),
        ("1.2.3.4, 8.8.8.8", True, "8.8.8.8"),
        ("1.2.3.4, 8.8.8.8, 10.0.0.7", True, "8.8.8.8"),
        ("8.8.8.8:4711, 127.0.0.1", True, "8.8.8.8"),
        ("192.168.0.9, 10.0.0.7", True, "10.0.0.7"),
        ("", True, "10.1.1.1"),
        (" , ", True, "10.1.1.1"),
    ],
)
def test_address_is_what_the_last_proxy_heard_only_behind_one(
    forwarded: str, behind_proxy: bool, wanted: str
) -> None:
    assert address_of("10.1.1.1", forwarded, behind_proxy=behind_proxy) == wanted


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]:443", "2001:db8:1:2::/64"),
        ("::ffff:8.8.8.8", "8.8.8.8"),
        ("testclient", "testclient"),
        ("x" * 200, "x" * 64),
    ],
)
def test_a_network_of_one_customer_is_one_address(address: str, wanted: str) -> None:
    assert network_of(address) == wanted


def test_a_name_is_known_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    seen = SeenNames()
    assert not seen.known("me")
    now[0] += 1
    assert not seen.known("me")
    now[0] += 1
    assert seen.known("me")
    assert not seen.known("you")


def test_names_in_use_outlast_a_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KNOWN_AFTER_S", 0.0)
    monkeypatch.setattr(module, "_MOST_NAMES", 10)
    seen = SeenNames()
    for number in range(100):
        seen.known("me")
        monkeypatch.setattr(module, "KNOWN_AFTER_S", 5.0)
        seen.known(f"flood {number}")
        monkeypatch.setattr(module, "KNOWN_AFTER_S", 0.0)
    assert len(seen._first) <= 10
