"""What a processor does with what it cannot use: a 400 that names the field and repeats nothing.
Through the front door alone, against any service."""

import gzip
import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid1, uuid4

import pytest

from tests.opendsr.controller import REQUESTS, V1, V2, Answer, Controller

CANARY = "canary-7731"


def refused(answer: Answer, why: str = "") -> None:
    assert answer.status == 400, (why, answer.raw)
    assert answer.error["errors"][0]["domain"] == "Validation"
    assert CANARY not in answer.raw.decode(), why


def identity(value: Any = "x", kind: Any = "controller_customer_id", form: Any = "raw") -> Any:
    return [{"identity_type": kind, "identity_value": value, "identity_format": form}]


MALFORMED: Mapping[str, bytes] = {
    "nothing": b"",
    "blank": b"  ",
    "no JSON": b"canary-7731",
    "cut short": b'{"subject_request_id": "canary-7731',
    "an array": b'["canary-7731"]',
    "a number": b"7",
    "null": b"null",
    "no UTF-8": b'{"a": "\xff\xfe canary-7731"}',
    "UTF-16": '{"a": "canary-7731"}'.encode("utf-16"),
    "an overlong form": b'{"a": "\xc0\xaf"}',
    "a surrogate in bytes": b'{"a": "\xed\xa0\x80"}',
    "deep": b"[" * 60 + b"]" * 60,
    "very deep": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    "an endless number": b'{"a": ' + b"1" * 10_000 + b"}",
    "not a number": b'{"a": NaN}',
    "infinite": b'{"a": -Infinity}',
    "a name twice": b'{"regulation": "gdpr", "regulation": "canary-7731"}',
    "a name twice, deeper": b'{"extensions": {"x": {"a": 1, "a": 2}}}',
    "two documents": b"{} {}",
    "a comment": b"{} // canary-7731",
    "a comma too many": b'{"a": 1,}',
}


def test_a_body_that_is_no_object_of_json_is_refused(processor: Controller) -> None:
    for why, raw in MALFORMED.items():
        for version in (V1, V2):
            answer = processor.post_raw(raw, version)
            refused(answer, why)
            assert answer.reason == "malformed-json", why


WRONG: list[tuple[str, dict[str, Any], str]] = [
    *(
        (f"{field} left out", {field: ...}, f"{field} is required")
        for field in ("subject_request_id", "subject_request_type", "submitted_time", "regulation")
    ),
    *(
        (f"{field} is {wrong!r}", {field: wrong}, field)
        for field in (
            "subject_request_id",
            "subject_request_type",
            "submitted_time",
            "regulation",
        )
        for wrong in (None, 7, True, [], {}, [CANARY], {CANARY: 1}, "", CANARY, 1.5)
        if (field, wrong) != ("regulation", None)
    ),
    *(
        (f"identities are {wrong!r}", {"subject_identities": wrong}, "subject_identities")
        for wrong in (
            *(..., None, [], {}, 7, "x", True, [7], ["x"], [None], [{}], [[]]),
            {"controller_customer_id": CANARY},
            {"controller_customer_id": [{"value": CANARY}]},
            {CANARY: {"value": "x"}},
            identity() * 21,
        )
    ),
    *(
        (f"value {wrong!r}", {"subject_identities": identity(value=wrong)}, "identity_value")
        for wrong in (None, 7, True, [], {}, "", " \t", "x\x00y", "\ud800", "x" * 1025)
    ),
    *(
        (f"type {wrong!r}", {"subject_identities": identity(kind=wrong)}, "identity_type")
        for wrong in (None, 7, "", CANARY, "E-Mail", "x" * 65, "no_dataset_has_this")
    ),
    *(
        (f"format {wrong!r}", {"subject_identities": identity(form=wrong)}, "identity_format")
        for wrong in (None, 7, "", "md5", "sha1", "sha512", "RAW", CANARY)
    ),
    *(
        (f"sha256 {wrong!r}", {"subject_identities": identity(wrong, form="sha256")}, "value")
        for wrong in (CANARY, "a" * 63, "g" * 64, "a" * 65)
    ),
    *(
        (f"id {wrong}", {"subject_request_id": wrong}, "must be a UUID of version 4 in lower case")
        for wrong in (
            str(uuid1()),
            str(uuid4()).upper(),
            uuid4().hex,
            f"{{{uuid4()}}}",
            f"urn:uuid:{uuid4()}",
            f"{uuid4()}\n",
            "00000000-0000-0000-0000-000000000000",
            "0195c7a2-f0e9-7c3e-8a4b-5d6e7f801234",
        )
    ),
    *(
        (f"time {wrong}", {"submitted_time": wrong}, "submitted_time")
        for wrong in (
            "2026-03-02",
            "2026-03-02T12:00:00",
            "2026-03-02T12:00Z",
            "2026-02-30T12:00:00Z",
            "2026-13-02T12:00:00Z",
            "2026-03-02T24:00:00Z",
            "2026-03-02T23:59:60Z",
            "2026-03-02T12:00:00+25:00",
            "1772452800",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "9999-12-31T23:59:59-23:59",
            "0001-01-01T00:00:00Z",
            "0001-01-01T00:00:00+23:59",
            "2009-01-01T00:00:00Z",
            "２０２６-03-02T12:00:00Z",
        )
    ),
    *(
        (f"regulation {wrong}", {"regulation": wrong}, "regulation")
        for wrong in ("lgpd", "GDPR", "gdpr ", "pipeda")
    ),
    *(
        (f"version {wrong!r}", {"api_version": wrong}, "api_version")
        for wrong in (2.0, 2, True, [], {}, "2" * 17)
    ),
    *(
        (f"extensions {wrong!r}", {"extensions": wrong}, "extensions")
        for wrong in (7, "x", True, [], [{}])
    ),
    *(
        (f"callbacks {wrong!r}", {"status_callback_urls": wrong}, "status_callback_urls")
        for wrong in (7, "https://x.example.org/", {}, [7], [None], [""], [["x"]])
    ),
    ("too many callbacks", {"status_callback_urls": ["https://x.example.org/"] * 11}, "at most 10"),
]


def test_a_field_that_cannot_be_used_is_named_and_its_value_is_not(processor: Controller) -> None:
    for why, change, said in WRONG:
        answer = processor.post(processor.nobody(**change))
        refused(answer, why)
        assert said in answer.said, (why, answer.raw)


@pytest.mark.parametrize("kind", ["access", "portability"])
def test_other_types_of_requests_are_refused_with_the_reason(
    processor: Controller, kind: str
) -> None:
    answer = processor.post(processor.nobody(subject_request_type=kind))
    refused(answer)
    assert answer.reason == "unsupported-request-type"
    assert "holds no person's data" in answer.error["message"]


URLS = [
    "http://callbacks.example.org/",
    "ftp://callbacks.example.org/",
    "//callbacks.example.org/",
    "callbacks.example.org",
    "https://",
    "https:///path",
    "https://127.0.0.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0177.0.0.1/",
    "https://10.0.0.1/",
    "https://169.254.169.254/latest/meta-data",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[fe80::1%25eth0]/",
    "https://[2001:db8::1]/",
    "https://localhost/",
    "https://a.localhost/",
    "https://intranet/",
    "https://printer.local/",
    "https://metadata.google.internal/",
    "https://callbacks.example.org:22/",
    "https://callbacks.example.org:99999/",
    "https://user:canary-7731@callbacks.example.org/",
    "https://callbacks.example.org@127.0.0.1/",
    "https://callbacks.example.org/#canary-7731",
    "https://callbacks.example.org/\n",
    "https://callbacks.example.org/a b",
    "https://callbacks.example.org\\@evil.example/",
    "https://bücher.example/",
    "https://１２７.0.0.1/",
    "https://callbacks.example.org/\ud800",
    "https://callbacks.example.org/" + "x" * 1000,
    "file:///etc/passwd",
    "javascript:alert(1)",
]


def test_a_callback_that_could_lead_inside_is_refused(processor: Controller) -> None:
    good = "https://callbacks.example.org/opendsr"
    for url in URLS:
        answer = processor.post(processor.nobody(status_callback_urls=[good, url]))
        refused(answer, url)
        assert "status_callback_urls.1" in answer.said, url
        assert "callbacks.example" not in answer.raw.decode(), url


def test_what_was_refused_was_not_accepted(processor: Controller) -> None:
    body = processor.nobody(status_callback_urls=["https://127.0.0.1/"])
    refused(processor.post(body))
    assert processor.get(body["subject_request_id"]).status == 404
    # So the id is free.
    del body["status_callback_urls"]
    assert processor.post(body).status == 201


@pytest.mark.parametrize("version", [V1, V2])
def test_a_body_that_is_not_declared_as_json_is_refused(
    processor: Controller, version: str
) -> None:
    raw = json.dumps(processor.nobody()).encode()
    media = ["text/plain", "application/xml", "application/x-www-form-urlencoded", "", "json"]
    for wrong in media:
        answer = processor.post_raw(raw, version, wrong)
        assert (answer.status, answer.reason) == (415, "unsupported-media-type")
    packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    for content in (raw, gzip.compress(raw)):
        answer = processor.call("POST", REQUESTS[version], content=content, headers=packed)
        assert (answer.status, answer.reason) == (415, "unsupported-media-type")


@pytest.mark.parametrize(
    "media", ["application/json; charset=utf-8", "Application/JSON", "application/json;v=2"]
)
def test_json_may_be_declared_in_every_way_that_means_it(processor: Controller, media: str) -> None:
    raw = b"\xef\xbb\xbf" + json.dumps(processor.nobody()).encode()
    assert processor.post_raw(raw, media=media).status == 201


def test_a_body_that_is_too_large_is_refused_and_signed(processor: Controller) -> None:
    answer = processor.post_raw(b'{"a": "' + b"x" * (2 * 1024 * 1024) + b'"}')
    assert (answer.status, answer.reason) == (413, "body-too-large")
    declared = {"Content-Type": "application/json", "Content-Length": str(5 * 1024**3)}
    if processor.authority is not None:  # over a real wire nobody can lie like this
        answer = processor.call("POST", REQUESTS[V2], content=b"x", headers=declared)
        assert answer.status == 413


def test_a_request_must_not_be_named_like_the_person(processor: Controller) -> None:
    name = str(uuid4())
    body = processor.nobody(subject_request_id=name, subject_identities=identity(name))
    answer = processor.post(body)
    refused(answer)
    assert answer.reason == "external-id-names-person"
    assert name not in answer.raw.decode()
