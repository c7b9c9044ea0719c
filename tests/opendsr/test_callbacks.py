"""Callbacks as a controller gets them: over real HTTPS, believed only after domain, certificate and
signature were checked on the raw bytes."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.runtime import Runtime
from app.webhooks.tables import RequestCallback, WebhookDelivery
from tests.end_to_end.service import ROOT
from tests.erasure.conftest import Cases
from tests.erasure.working import Hand
from tests.opendsr.conftest import DOMAIN
from tests.opendsr.controller import HEADERS, V1, V2, Controller, NotBelieved
from tests.webhooks.conftest import Office
from tests.webhooks.receiver import Receiver, Seen


def now() -> datetime:
    return datetime.now(UTC)


def believed(controller: Controller, seen: Seen, version: str = V2) -> dict[str, Any]:
    controller.verifier.check(version, seen.headers, seen.body)
    body: dict[str, Any] = json.loads(seen.body)
    return body


def heard(controller: Controller, receiver: Receiver, path: str = "/hook") -> list[dict[str, Any]]:
    return [believed(controller, one) for one in receiver.seen if one.path == path]


def statuses(controller: Controller, receiver: Receiver, path: str = "/hook") -> list[str]:
    return [one["request_status"] for one in heard(controller, receiver, path)]


def test_each_change_of_a_request_is_told_in_order_signed_and_in_the_form_of_the_protocol(
    controller: Controller, office: Office, receiver: Receiver, hand: Hand
) -> None:
    url = receiver.url("/hook")
    identity = controller.accepted(controller.person(status_callback_urls=[url]))
    hand.publish(hand.must_claim(now()), now())
    office.send()
    told = heard(controller, receiver)
    assert [one["request_status"] for one in told] == ["pending", "in_progress", "completed"]
    for one in told:
        assert sorted(one) == [
            "api_version",
            "controller_id",
            "expected_completion_time",
            "extensions",
            "request_status",
            "results_count",
            "results_url",
            "status_callback_url",
            "subject_request_id",
        ]
        assert (one["subject_request_id"], one["api_version"]) == (identity, "2.0")
        assert one["status_callback_url"] == url
    # The last is what the status says, down to the certificate.
    last = {key: value for key, value in told[-1].items() if key != "status_callback_url"}
    assert last == controller.status(identity)
    own = controller.own(last)
    assert (own["state"], own["outcome"]) == ("completed", "unlearned")
    assert len(own["certificate_sha256"]) == 64
    assert last["results_count"] == 4
    assert last["results_url"].startswith(f"https://{DOMAIN}/api/v1/erasure-requests/req_")


def test_every_url_is_told_each_with_a_signature_of_its_own(
    controller: Controller, office: Office, receiver: Receiver
) -> None:
    urls = [receiver.url("/one"), receiver.url("/two?x=1"), receiver.url("/one")]
    controller.accepted(controller.nobody(status_callback_urls=urls))
    office.send()
    assert sorted(one.path for one in receiver.seen) == ["/one", "/two?x=1"]
    first, second = (believed(controller, one) for one in receiver.seen)
    assert {first.pop("status_callback_url"), second.pop("status_callback_url")} == set(urls)
    assert first == second
    signatures = {one.headers["x-opendsr-signature"] for one in receiver.seen}
    assert len(signatures) == 2


def test_a_byte_changed_on_the_way_or_another_domain_is_not_believed(
    controller: Controller, office: Office, receiver: Receiver
) -> None:
    controller.accepted(controller.nobody(status_callback_urls=[receiver.url("/hook")]))
    office.send()
    (seen,) = receiver.seen
    for headers, body in (
        (seen.headers, seen.body + b" "),
        (seen.headers, seen.body.replace(b"completed", b"cancelled")),
        ({**seen.headers, "x-opendsr-processor-domain": "evil.example"}, seen.body),
        ({**seen.headers, "x-opendsr-signature": ""}, seen.body),
    ):
        with pytest.raises((NotBelieved, ValueError)):
            controller.verifier.check(V2, headers, body)


def test_nobody_in_the_data_is_told_once_and_as_completed(
    controller: Controller, office: Office, receiver: Receiver
) -> None:
    controller.accepted(controller.nobody(status_callback_urls=[receiver.url("/hook")]))
    office.send()
    (told,) = heard(controller, receiver)
    assert (told["request_status"], told["results_count"]) == ("completed", 0)
    assert controller.own(told)["outcome"] == "no_match"


def test_the_first_version_s_callbacks_have_its_headers_and_its_number(
    controller: Controller, office: Office, receiver: Receiver
) -> None:
    body = controller.nobody(
        regulation=..., api_version="0.1", status_callback_urls=[receiver.url("/hook")]
    )
    controller.accepted(body, V1)
    office.send()
    (seen,) = receiver.seen
    assert believed(controller, seen, V1)["api_version"] == "0.1"
    assert not [name for name in seen.headers if name.startswith(HEADERS[V2].lower())]


def test_a_failed_erasure_is_never_told_as_completed_or_cancelled(
    controller: Controller, office: Office, receiver: Receiver, hand: Hand
) -> None:
    controller.accepted(controller.person(status_callback_urls=[receiver.url("/hook")]))
    hand.reject(hand.must_claim(now()), now())
    office.send()
    told = heard(controller, receiver)
    assert [one["request_status"] for one in told] == ["pending", "in_progress", "in_progress"]
    own = controller.own(told[-1])
    assert own["state"] == "needs_decision"
    assert own["verification"]["verdict"] == "distinguishable"


def test_a_refused_request_is_told_once_more_and_stays_in_progress(
    controller: Controller, office: Office, receiver: Receiver, cases: Cases
) -> None:
    identity = controller.accepted(controller.person(status_callback_urls=[receiver.url("/hook")]))
    (native,) = office.api.get("/api/v1/erasure-requests", params={"external_id": identity}).json()[
        "items"
    ]
    assert cases.refuse(native["id"]).status_code < 300
    office.send()
    told = heard(controller, receiver)
    assert [one["request_status"] for one in told] == ["pending", "in_progress"]
    own = controller.own(told[-1])
    assert (own["state"], own["reason_code"]) == ("refused", "legal_claims")
    assert controller.status(identity)["request_status"] == "in_progress"
    assert controller.delete(identity).status == 409


def test_a_cancelled_request_is_told_as_cancelled(
    controller: Controller, office: Office, receiver: Receiver
) -> None:
    body = controller.person(status_callback_urls=[receiver.url("/hook")])
    assert controller.delete(controller.accepted(body)).status == 202
    office.send()
    assert statuses(controller, receiver) == ["pending", "cancelled"]


def test_what_is_not_taken_is_sent_again_under_the_same_bytes_and_in_order(
    controller: Controller, office: Office, receiver: Receiver, hand: Hand
) -> None:
    receiver.answers = [302, 404, 500]
    controller.accepted(controller.person(status_callback_urls=[receiver.url("/hook")]))
    hand.publish(hand.must_claim(now()), now())
    for _ in range(6):
        office.send(timedelta(minutes=10))
    assert statuses(controller, receiver) == [
        *["pending"] * 4,
        "in_progress",
        "completed",
    ]
    assert len({one.body for one in receiver.seen[:4]}) == 1


def test_410_stops_one_url_and_no_other(
    controller: Controller, office: Office, receiver: Receiver, hand: Hand
) -> None:
    urls = [receiver.url("/gone"), receiver.url("/hook")]
    controller.accepted(controller.person(status_callback_urls=urls))

    def gone_or_not(handler: Any) -> None:
        handler.send_response(410 if handler.path == "/gone" else 204)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    receiver.answers = [gone_or_not, gone_or_not]
    office.send()
    hand.publish(hand.must_claim(now()), now())
    office.send_until_it_ends()
    assert statuses(controller, receiver, "/gone") == ["pending"]
    assert statuses(controller, receiver) == ["pending", "in_progress", "completed"]


def test_a_repeat_tells_nothing_again(
    controller: Controller, office: Office, receiver: Receiver
) -> None:
    body = controller.nobody(status_callback_urls=[receiver.url("/hook")])
    for _ in range(3):
        controller.accepted(body)
    office.send()
    assert statuses(controller, receiver) == ["completed"]


def test_urls_need_no_registered_webhook_and_their_addresses_are_judged_when_called(
    controller: Controller, office: Office, receiver: Receiver, runtime: Runtime
) -> None:
    inside = "https://inside.example.org/"
    controller.accepted(controller.nobody(status_callback_urls=[inside]))
    office.courier._network = office.network.__class__(
        office.network.tls, resolve=lambda host, port: ["10.0.0.1"], seconds=3.0
    )
    office.send()
    (row,) = office.deliveries()
    assert (row["state"], row["last_error"]) == ("waiting", "address_refused")


def test_nothing_that_names_the_person_is_stored_or_sent(
    controller: Controller, office: Office, receiver: Receiver, runtime: Runtime
) -> None:
    url = receiver.url("/hook")
    body = controller.nobody(status_callback_urls=[url])
    value = body["subject_identities"][0]["identity_value"]
    controller.accepted(body)
    office.send()
    assert value.encode() not in receiver.seen[0].body
    with runtime.database.read() as session:
        for payload in session.scalars(select(WebhookDelivery.payload)):
            assert value.encode() not in payload


def test_without_a_key_messages_wait_and_go_out_when_it_is_back(
    controller: Controller,
    office: Office,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    runtime: Runtime,
) -> None:
    controller.accepted(controller.nobody(status_callback_urls=[receiver.url("/hook")]))
    object.__setattr__(
        office.courier,
        "runtime",
        runtime.__class__(
            runtime.settings.model_copy(
                update={"opendsr_key": runtime.settings.data_dir / "nothing"}
            ),
            runtime.database,
            runtime.artifacts,
            runtime.keyring,
        ),
    )
    office.send()
    (row,) = office.deliveries()
    assert (row["state"], row["last_error"]) == ("waiting", "secret_unreadable")
    object.__setattr__(office.courier, "runtime", runtime)
    office.send(timedelta(minutes=5))
    assert statuses(controller, receiver) == ["completed"]


def test_when_the_case_ends_its_urls_are_cut(
    controller: Controller, office: Office, receiver: Receiver, runtime: Runtime
) -> None:
    body = controller.person(status_callback_urls=[receiver.url("/unmistakable")])
    controller.delete(controller.accepted(body))
    office.send()
    with runtime.database.read() as session:
        assert session.scalars(select(RequestCallback.url)).all() == [None]


def test_every_process_that_changes_a_request_knows_the_dialects() -> None:
    asked = (
        "import app.runtime; from app.webhooks.dialects import DIALECTS; print(*sorted(DIALECTS))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["opendsr", "opengdpr", "standard"]
