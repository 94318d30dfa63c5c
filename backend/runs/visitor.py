"""Who asks in hosted mode: a private name, and where it comes from."""

import hashlib
import ipaddress
import threading
import time
from collections import OrderedDict

KNOWN_AFTER_S = 2.0
"""How long ago a name must have been seen first, so that a new one per request is none."""
_MOST_NAMES = 20_000


class Visitor(str):
    """The private name of who asks; a plain text is a name that is known, of no address.

    Args:
        name: as runs are kept under it.
        address: where the request came from, as ``network_of`` returns it.
        known: whether the name was used before.
        group: code of the class that the visitor is in; empty for none.
    """

    __slots__ = ("address", "group", "known")
    address: str
    group: str
    known: bool

    def __new__(
        cls, name: str, address: str = "", *, known: bool = True, group: str = ""
    ) -> "Visitor":
        """Return the name with what is known of it."""
        made = super().__new__(cls, name)
        made.address, made.known, made.group = address, known, group
        return made


class SeenNames:
    """When names were seen first. Thread-safe; holds no name itself."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first: OrderedDict[bytes, float] = OrderedDict()

    def known(self, name: str) -> bool:
        """Return whether a name was seen first at least ``KNOWN_AFTER_S`` ago."""
        digest, now = (
            hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8],
            time.monotonic(),
        )
        with self._lock:
            first = self._first.setdefault(digest, now)
            if now - first >= KNOWN_AFTER_S:  # the names in use are forgotten last
                self._first.move_to_end(digest)
            while len(self._first) > _MOST_NAMES:
                self._first.popitem(last=False)
        return now - first >= KNOWN_AFTER_S


def address_of(peer: str, forwarded: str, *, behind_proxy: bool) -> str:
    """Return where a request came from, as one text for all addresses of one customer.

    Args:
        peer: the other end of the connection.
        forwarded: header X-Forwarded-For; each proxy writes at its end whom it heard, so what a
            visitor writes stands before that.
        behind_proxy: whether the header is set by a proxy in front of this program.
    """
    if behind_proxy:
        heard = [part.strip() for part in forwarded.split(",") if part.strip()]
        public = [part for part in heard if _is_public(part)]
        peer = public[-1] if public else (heard[-1] if heard else peer)
    return network_of(peer)


def network_of(address: str) -> str:
    """Return an IPv4 address as it is, of an IPv6 one the network of 64 bits."""
    found = _parsed(address)
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found) if found else address[:64]


def _is_public(address: str) -> bool:
    found = _parsed(address)
    return found is not None and found.is_global


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    plain = address.partition("]")[0].lstrip("[")
    if plain.count(":") == 1:  # with a port
        plain = plain.partition(":")[0]
    try:
        return ipaddress.ip_address(plain)
    except ValueError:
        return None
