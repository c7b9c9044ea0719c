"""One attempt over real connections: what counts as delivered, and what the world may try."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpcore2
import pytest

from app.version import code_version
from app.webhooks.sending import Network, Result, connect, look_up, send, tls_context
from app.webhooks.tables import DeliveryError
from tests.servers import free_port
from tests.webhooks.conftest import PUBLIC
from tests.webhooks.receiver import NAME, Receiver, receiving, self_signed, status

BODY = b'{"type":"webhook.ping"}'


def post(network: Network, url: str) -> Result:
    return send(network, url, {"webhook-id": "msg_1"}, BODY)


@pytest.mark.parametrize("code", [200, 201, 202, 204, 299])
def test_any_2xx_is_delivered(network: Network, receiver: Receiver, code: int) -> None:
    receiver.answers = [code]
    assert post(network, receiver.url("/hook?tenant=7")) == Result(code)
    (seen,) = receiver.seen
    assert (seen.path, seen.body) == ("/hook?tenant=7", BODY)
    assert seen.headers["host"] == f"{NAME}:{receiver.port}"
    assert seen.headers["user-agent"] == f"lotus-unlearning/{code_version()}"
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["webhook-id"] == "msg_1"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (304, DeliveryError.REDIRECT),
        (400, DeliveryError.STATUS),
        (404, DeliveryError.STATUS),
        (410, DeliveryError.GONE),
        (500, DeliveryError.STATUS),
        (503, DeliveryError.STATUS),
    ],
)
def test_any_other_status_is_a_failure(
    network: Network, receiver: Receiver, code: int, error: DeliveryError
) -> None:
    receiver.answers = [code]
    assert post(network, receiver.url()) == Result(code, error)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(network: Network, receiver: Receiver, code: int) -> None:
    called: list[str] = []
    watched = replace(network, resolve=lambda host, port: called.append(host) or [PUBLIC])
    receiver.answers = [status(code, Location="http://169.254.169.254/latest/meta-data/")]
    assert post(watched, receiver.url()) == Result(code, DeliveryError.REDIRECT)
    assert (called, len(receiver.seen)) == ([NAME], 1)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("120", 120), (" 7 ", 7), ("9" * 400, 10_000_000), ("soon", None), ("-5", None), ("", None)],
)
def test_a_receiver_may_say_when_to_come_again(
    network: Network, receiver: Receiver, said: str, seconds: int | None
) -> None:
    receiver.answers = [status(429, Retry_After=said)]
    asked = post(network, receiver.url()).retry_after
    assert (asked and asked.total_seconds()) == seconds


def test_it_may_say_so_as_a_date(network: Network, receiver: Receiver) -> None:
    receiver.answers = [
        status(503, Retry_After="Wed, 21 Oct 2099 07:28:00 GMT"),
        status(503, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
    ]
    later, past = (post(network, receiver.url()).retry_after for _ in range(2))
    assert later is not None and later.days > 365
    assert past is not None and past.total_seconds() == 0


def drip(handler: BaseHTTPRequestHandler, first: bytes) -> None:
    """A byte from time to time, for as long as anyone listens."""
    handler.wfile.write(first)
    for _ in range(200):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.05)


def test_a_receiver_that_does_not_answer_costs_the_time_of_an_attempt(
    network: Network, receiver: Receiver
) -> None:
    over = threading.Event()
    receiver.answers = [lambda handler: over.wait(60) and None]
    assert post(replace(network, seconds=0.5), receiver.url()).error is DeliveryError.TIMED_OUT
    over.set()


def test_a_head_that_drips_ends_with_the_time_of_the_attempt(
    network: Network, receiver: Receiver
) -> None:
    receiver.answers = [lambda handler: drip(handler, b"HTTP/1.1 200 OK\r\nX-Slow: ")]
    assert post(replace(network, seconds=0.7), receiver.url()).error is DeliveryError.TIMED_OUT


def test_the_status_counts_even_if_the_body_drips_for_ever(
    network: Network, receiver: Receiver
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    receiver.answers = [lambda handler: drip(handler, head)]
    assert post(replace(network, seconds=0.7), receiver.url()) == Result(200)


def test_no_more_than_64_kib_of_an_answer_are_read(network: Network, receiver: Receiver) -> None:
    written = 0

    def huge(handler: BaseHTTPRequestHandler) -> None:
        nonlocal written
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        for _ in range(1000):
            written += handler.wfile.write(b"x" * 1_000_000)

    read = 0

    class Counted(httpcore2.NetworkStream):
        def __init__(self, inner: httpcore2.NetworkStream) -> None:
            self.inner = inner

        def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
            nonlocal read
            got = self.inner.read(max_bytes, timeout)
            read += len(got)
            return got

        def write(self, buffer: bytes, timeout: float | None = None) -> None:
            self.inner.write(buffer, timeout)

        def close(self) -> None:
            self.inner.close()

        def start_tls(self, *args: object) -> "Counted":
            return Counted(self.inner.start_tls(*args))  # type: ignore[arg-type]

        def get_extra_info(self, info: str) -> object:
            return self.inner.get_extra_info(info)

    receiver.answers = [huge]
    dialled = replace(network, dial=lambda a, port, t: Counted(connect("127.0.0.1", port, t)))
    assert post(dialled, receiver.url()) == Result(200)
    assert 64 * 1024 <= read < 3 * 64 * 1024
    assert written < 100_000_000


def test_nobody_there_is_a_failure(network: Network) -> None:
    url = f"https://{NAME}:{free_port()}/"
    assert post(network, url) == Result(error=DeliveryError.NOT_CONNECTED)


def test_a_connection_that_is_dropped_is_a_failure(network: Network, receiver: Receiver) -> None:
    receiver.answers = [lambda handler: handler.connection.close()]
    assert post(network, receiver.url()).error in (
        DeliveryError.NOT_CONNECTED,
        DeliveryError.BROKEN_ANSWER,
        DeliveryError.TLS,
    )


def test_what_is_no_http_is_a_failure(network: Network, receiver: Receiver) -> None:
    receiver.answers = [lambda handler: handler.wfile.write(b"220 mail ready\r\n\r\n") and None]
    assert post(network, receiver.url()) == Result(error=DeliveryError.BROKEN_ANSWER)


def test_a_certificate_for_another_name_is_refused(network: Network, tmp_path: Path) -> None:
    other = self_signed(tmp_path, "other.example.org")
    trusting = replace(network, tls=tls_context(other))
    with receiving(other) as receiver:
        assert post(trusting, receiver.url()) == Result(error=DeliveryError.TLS)
        assert receiver.seen == []


def test_a_certificate_that_names_its_host_in_free_text_only_is_refused(
    network: Network, tmp_path: Path
) -> None:
    nameless = self_signed(tmp_path, "", common_name=NAME)
    trusting = replace(network, tls=tls_context(nameless))
    with receiving(nameless) as receiver:
        assert post(trusting, receiver.url()) == Result(error=DeliveryError.TLS)
        assert receiver.seen == []


def test_a_certificate_of_an_unknown_authority_is_refused(
    network: Network, receiver: Receiver
) -> None:
    distrusting = replace(network, tls=tls_context(None))
    assert post(distrusting, receiver.url()) == Result(error=DeliveryError.TLS)
    assert receiver.seen == []


def test_the_connection_goes_to_the_address_that_was_judged(
    network: Network, receiver: Receiver
) -> None:
    """A name that changes its address between the look-up and the call gains nothing by it."""
    answers = [[PUBLIC], ["169.254.169.254"], ["127.0.0.1"]]
    dialled: list[str] = []

    def dial(address: str, port: int, timeout: float) -> httpcore2.NetworkStream:
        dialled.append(address)
        return connect("127.0.0.1", port, timeout)

    rebinding = replace(network, resolve=lambda host, port: answers.pop(0), dial=dial)
    assert post(rebinding, receiver.url()) == Result(204)
    assert (dialled, len(answers)) == ([PUBLIC], 2)  # asked once
    assert post(rebinding, receiver.url()) == Result(error=DeliveryError.ADDRESS_REFUSED)
    assert post(rebinding, receiver.url()) == Result(error=DeliveryError.ADDRESS_REFUSED)
    assert dialled == [PUBLIC]


def test_the_next_address_is_tried_where_the_first_does_not_answer(
    network: Network, receiver: Receiver
) -> None:
    dialled: list[str] = []

    def dial(address: str, port: int, timeout: float) -> httpcore2.NetworkStream:
        dialled.append(address)
        if address.startswith("2606"):
            raise httpcore2.ConnectError
        return connect("127.0.0.1", port, timeout)

    two = replace(network, resolve=lambda host, port: ["2606:2800::1", PUBLIC], dial=dial)
    assert post(two, receiver.url()) == Result(204)
    assert dialled == ["2606:2800::1", PUBLIC]


def test_one_private_address_among_public_ones_is_enough_to_refuse(
    network: Network, receiver: Receiver
) -> None:
    mixed = replace(network, resolve=lambda host, port: [PUBLIC, "10.0.0.1"])
    assert post(mixed, receiver.url()) == Result(error=DeliveryError.ADDRESS_REFUSED)


def test_a_name_that_nobody_knows_is_a_failure(network: Network, receiver: Receiver) -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    assert post(replace(network, resolve=unknown), receiver.url()) == Result(
        error=DeliveryError.NAME_UNKNOWN
    )


def test_a_look_up_that_hangs_costs_the_time_of_an_attempt(
    network: Network, receiver: Receiver
) -> None:
    over = threading.Event()
    hanging = replace(
        network, resolve=lambda host, port: [PUBLIC] if over.wait(60) else [], seconds=0.3
    )
    assert post(hanging, receiver.url()).error is DeliveryError.TIMED_OUT
    over.set()


def test_no_proxy_of_the_environment_is_asked(
    network: Network, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert post(network, receiver.url()) == Result(204)


@pytest.fixture
def plain() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def test_plain_http_reaches_this_machine_only_where_the_setting_allows_it(
    network: Network, plain: Receiver
) -> None:
    real = replace(network, resolve=look_up, dial=connect)
    assert post(real, plain.url()) == Result(error=DeliveryError.ADDRESS_REFUSED)
    assert post(replace(real, http_loopback=True), plain.url()) == Result(204)
    assert len(plain.seen) == 1
