"""One attempt to hand a message over: ten seconds, one address, and only the status is believed.

The name is resolved once, every address it has is judged, and the connection goes to those very
addresses, so that a name which changes its mind in between leads nowhere. TLS still checks the
certificate for the name. No proxy, no redirect, and nothing of the answer's body is kept.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpcore2

from app.clock import utc_now
from app.version import code_version
from app.webhooks.addresses import RefusedUrl, Target, check_addresses, read_url
from app.webhooks.tables import DeliveryError

# For everything together, from the look-up of the name to the last byte that is read.
SEND_SECONDS = 10.0
MOST_ANSWER_BYTES = 64 * 1024
MOST_ADDRESSES = 4
GONE = 410

Resolve = Callable[[str, int], list[str]]
Dial = Callable[[str, int, float], httpcore2.NetworkStream]


@dataclass(frozen=True)
class Result:
    """How an attempt ended: delivered if there is no error."""

    status: int | None = None
    error: DeliveryError | None = None
    retry_after: timedelta | None = None


def look_up(host: str, port: int) -> list[str]:
    """Every address that this machine finds for the name, a zone included if it has one."""
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def connect(address: str, port: int, timeout: float) -> httpcore2.NetworkStream:
    return httpcore2.SyncBackend().connect_tcp(address, port, timeout)


@dataclass(frozen=True)
class Network:
    """What an attempt needs of the world; tests pass their own."""

    tls: ssl.SSLContext
    http_loopback: bool = False
    resolve: Resolve = look_up
    dial: Dial = connect
    seconds: float = SEND_SECONDS
    clock: Callable[[], datetime] = utc_now


class BadAuthorities(Exception):
    """LOTUS_CALLBACK_CA_FILE cannot be used; the message says why."""


def tls_context(extra_ca: Path | None) -> ssl.SSLContext:
    """The system's authorities and, where a file is named, those in it; raises BadAuthorities."""
    context = httpcore2.default_ssl_context()
    # A name counts only where certificates name hosts since RFC 6125, not in free text.
    context.hostname_checks_common_name = False
    if extra_ca is not None:
        try:
            context.load_verify_locations(extra_ca)
        except OSError as error:
            no_pem = isinstance(error, ssl.SSLError)
            why = "it holds no certificate in PEM" if no_pem else error.strerror
            raise BadAuthorities(f"LOTUS_CALLBACK_CA_FILE: {extra_ca}: {why}") from None
    return context


def send(network: Network, url: str, headers: Mapping[str, str], body: bytes) -> Result:
    """Never raises for what a receiver, its name or its network does."""
    deadline = _Deadline(network.seconds)
    try:
        target = read_url(url, http_loopback=network.http_loopback)
        addresses = check_addresses(target, _resolved(network.resolve, target, deadline))
        return _exchange(network, target, addresses[:MOST_ADDRESSES], headers, body, deadline)
    except RefusedUrl:
        return Result(error=DeliveryError.ADDRESS_REFUSED)
    except (TimeoutError, httpcore2.TimeoutException):
        return Result(error=DeliveryError.TIMED_OUT)
    except httpcore2.NetworkError as error:
        is_tls = isinstance(error.__cause__ or error.__context__, ssl.SSLError)
        return Result(error=DeliveryError.TLS if is_tls else DeliveryError.NOT_CONNECTED)
    except httpcore2.ProtocolError:
        return Result(error=DeliveryError.BROKEN_ANSWER)
    except OSError:  # socket.gaierror: the name has no address, or nobody could say
        return Result(error=DeliveryError.NAME_UNKNOWN)


def _exchange(
    network: Network,
    target: Target,
    addresses: list[str],
    headers: Mapping[str, str],
    body: bytes,
    deadline: "_Deadline",
) -> Result:
    scheme, host = target.scheme.encode(), target.host.strip("[]").encode()
    sent = {
        "Host": target.host_header,
        "User-Agent": f"lotus-unlearning/{code_version()}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Accept-Encoding": "identity",
        "Connection": "close",
        **headers,
    }
    pinned = _Pinned(network.dial, addresses, deadline)
    with (
        httpcore2.ConnectionPool(ssl_context=network.tls, network_backend=pinned) as pool,
        pool.stream(
            "POST",
            httpcore2.URL(scheme=scheme, host=host, port=target.port, target=target.path.encode()),
            headers=list(sent.items()),
            content=body,
        ) as response,
    ):
        result = _judged(response, network.clock())
        # Its status is the answer. The rest is only taken so that a receiver is not cut off while
        # it writes; how that goes changes nothing.
        with suppress(httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError):
            _swallow(response.iter_stream())
    return result


def _judged(response: httpcore2.Response, now: datetime) -> Result:
    status = response.status
    if 200 <= status < 300:
        return Result(status)
    if status == GONE:
        return Result(status, DeliveryError.GONE)
    error = DeliveryError.REDIRECT if 300 <= status < 400 else DeliveryError.STATUS
    asked = next((value for name, value in response.headers if name.lower() == b"retry-after"), b"")
    return Result(status, error, _retry_after(asked, now))


def _retry_after(value: bytes, now: datetime) -> timedelta | None:
    """Seconds or a date (RFC 9110, 10.2.3); what cannot be read was not said."""
    text = value.decode("latin-1").strip()
    if text.isdecimal() and text.isascii():
        return timedelta(seconds=min(int(text[:9]), 10_000_000))
    with suppress(ValueError, TypeError, OverflowError):
        at = parsedate_to_datetime(text)
        if at.tzinfo is not None:
            return max(at - now, timedelta(0))
    return None


def _swallow(chunks: Iterable[bytes]) -> None:
    seen = 0
    for chunk in chunks:
        seen += len(chunk)
        if seen >= MOST_ANSWER_BYTES:
            return


class _Deadline:
    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        left = self._end - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout("the time of the attempt is over")
        return left


def _resolved(resolve: Resolve, target: Target, deadline: _Deadline) -> list[str]:
    """In a thread of its own: a look-up knows no time limit, and is left behind if it hangs."""
    found: list[list[str]] = []
    failed: list[Exception] = []

    def look() -> None:
        try:
            found.append(resolve(target.host, target.port))
        except (OSError, UnicodeError) as error:
            failed.append(error)

    thread = threading.Thread(target=look, daemon=True, name="callback-name")
    thread.start()
    thread.join(deadline.left())
    if failed:
        raise OSError("no address") from None
    if not found:
        raise TimeoutError
    return found[0]


class _Pinned(httpcore2.NetworkBackend):
    """Connects to the addresses that were judged, in turn, whatever host it is asked for."""

    def __init__(self, dial: Dial, addresses: list[str], deadline: _Deadline) -> None:
        self._dial, self._addresses, self._deadline = dial, addresses, deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        for address in self._addresses[:-1]:
            with suppress(httpcore2.ConnectError, httpcore2.ConnectTimeout):
                share = self._deadline.left() / len(self._addresses)
                return _Bounded(self._dial(address, port, share), self._deadline)
        stream = self._dial(self._addresses[-1], port, self._deadline.left())
        return _Bounded(stream, self._deadline)


class _Bounded(httpcore2.NetworkStream):
    """Every read and write ends with the attempt's time, however slowly the bytes drip."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: _Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, self._deadline.left())
        return _Bounded(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
