"""Where a callback may go: what a URL may look like, and which addresses its name may have.

A callback makes this service call a place that somebody else chose, from inside a network that may
trust it. So a URL is read strictly, and what is not plainly a public place is refused; and the
addresses of a name are judged at every attempt, right before the connection goes to one of them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv6Address,
    ip_address,
    ip_network,
)

LONGEST_URL = 1_000
HTTPS, HTTP = 443, 80
# Below lie mail, shells and other services that a callback must not be able to talk to.
LOWEST_FREE_PORT = 1024

# RFC 3986, without user information, fragment or anything outside ASCII.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?"
    r"(?P<query>\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?"
)
_ORIGIN = re.compile(r"[A-Za-z]+://[^/?#]*")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# What some resolvers read as an IPv4 address: a last label of digits, or of 0x and hex digits.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

_LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")
# Names that mean this machine or this network and nothing on the Internet.
_LOCAL_SUFFIXES = (
    "localhost",
    "localdomain",
    "local",
    "internal",
    "intranet",
    "lan",
    "home",
    "corp",
    "private",
    "home.arpa",
    "in-addr.arpa",
    "ip6.arpa",
    "onion",
)

# Everything else of IPv6 is not (yet) the Internet: loopback, link-local, site-local, unique local,
# multicast, and forms that carry an IPv4 address (mapped, compatible, NAT64).
_INTERNET_V6 = ip_network("2000::/3")
_ISATAP = 0x0000_5EFE  # bits 64 to 95; two of them may say "universal" and "group" as well
_REFUSED = [
    ip_network(each)
    for each in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by the customers of a provider
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's own control address, though it looks public
        "169.254.0.0/16",  # link-local, and most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",  # Teredo carries an IPv4 address; the rest is for protocols
        "2001:db8::/32",
        "2002::/16",  # 6to4 carries an IPv4 address
        "3fff::/20",
    )
]


class RefusedUrl(ValueError):
    """A URL that no callback goes to; the message says why and repeats nothing of it."""


@dataclass(frozen=True)
class Target:
    """A URL that has passed. `host` is a name in ASCII or, for loopback, an address."""

    url: str
    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def host_header(self) -> str:
        usual = HTTPS if self.scheme == "https" else HTTP
        return self.host if self.port == usual else f"{self.host}:{self.port}"


def read_url(url: str, *, http_loopback: bool) -> Target:
    """The parts of a URL that callbacks may go to, by its form alone; RefusedUrl otherwise.

    With `http_loopback`, plain http to this machine is allowed as well, for trying things out.
    """
    if len(url) > LONGEST_URL:
        raise RefusedUrl(f"must have at most {LONGEST_URL} characters")
    origin = _ORIGIN.match(url)
    if origin is None:
        raise RefusedUrl("must begin with https:// and a host")
    if "@" in origin[0]:
        raise RefusedUrl("must not contain a user name or password")
    if "#" in url:
        raise RefusedUrl("must not have a fragment")
    if not url.isascii():
        raise RefusedUrl("must be in ASCII; write an international name in its xn-- form")
    # Only scheme and host are case-insensitive.
    parts = _URL.fullmatch(origin[0].lower() + url[origin.end() :])
    if parts is None:
        raise RefusedUrl("is not a URL of the form https://host[:port][/path][?query]")
    scheme, host = parts["scheme"], parts["host"]
    port = int(parts["port"] or (HTTPS if scheme == "https" else HTTP))
    if not LOWEST_FREE_PORT <= port <= 65_535 and port != HTTPS:
        raise RefusedUrl(f"must use port {HTTPS}, or one from {LOWEST_FREE_PORT} upwards")
    if scheme == "http":
        if not (http_loopback and host in _LOOPBACK_HOSTS):
            raise RefusedUrl("must begin with https://")
    else:
        _check_name(host)
    path = (parts["path"] or "/") + (parts["query"] or "")
    return Target(f"{scheme}://{_netloc(host, parts['port'])}{path}", scheme, host, port, path)


def check_addresses(target: Target, addresses: Sequence[str]) -> list[str]:
    """The addresses if a connection may go to every one of them, else RefusedUrl.

    One bad address among good ones is an attack or a mistake, and the next look-up may give it
    alone: so none is used.
    """
    allowed = _is_loopback if target.scheme == "http" else is_public
    if not addresses or not all(allowed(address) for address in addresses):
        raise RefusedUrl("its name has an address that is not on the public Internet")
    return list(addresses)


def is_public(address: str) -> bool:
    parsed = _parse(address)
    if parsed is None or any(
        parsed in network for network in _REFUSED if network.version == parsed.version
    ):
        return False
    if isinstance(parsed, IPv6Address) and (parsed not in _INTERNET_V6 or _is_isatap(parsed)):
        return False
    return parsed.is_global and not parsed.is_multicast


def _is_isatap(address: IPv6Address) -> bool:
    """Carries an IPv4 address under any prefix (RFC 5214, 6.1), and no public service uses it."""
    return int(address) >> 32 & 0xFCFF_FFFF == _ISATAP


def _is_loopback(address: str) -> bool:
    parsed = _parse(address)
    return parsed is not None and parsed in (IPv4Address("127.0.0.1"), IPv6Address("::1"))


def _parse(address: str) -> IPv4Address | IPv6Address | None:
    """None also for an address with a zone, which means nothing beyond this machine."""
    try:
        return None if "%" in address else ip_address(address)
    except ValueError:
        return None


def _check_name(host: str) -> None:
    labels = host.split(".")
    if host.startswith("[") or _NUMBER.fullmatch(labels[-1]):
        raise RefusedUrl("must name its host, not give an address")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise RefusedUrl("has a host that is not a domain name")
    if len(labels) < 2 or any(
        host == suffix or host.endswith("." + suffix) for suffix in _LOCAL_SUFFIXES
    ):
        raise RefusedUrl("has a host that is known in a local network only")


def _netloc(host: str, port: str | None) -> str:
    return host if port is None else f"{host}:{int(port)}"
