"""Reads that are repeated with the tag of an earlier answer."""

import json
from typing import Any

import anyio
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from app.http.etags import LARGEST, ETags, matches
from app.runtime import Runtime
from tests.conftest import MakeKey
from tests.erasure.factories import add_dataset, add_model, people, submission
from tests.keys.conftest import bearer
from tests.keys.operations import GUARDED
from tests.registry.content import weights
from tests.registry.front import Front

API = "/api/v1"
LIST = f"{API}/erasure-requests"
KEYS = f"{API}/keys"


def test_a_read_is_answered_with_304_until_something_has_changed(
    api: TestClient, runtime: Runtime
) -> None:
    with runtime.database.write() as session:
        add_model(session, add_dataset(runtime, session, people(ada=2)))
    first = api.get(LIST)
    tag = first.headers["ETag"]
    assert tag.startswith('W/"') and first.status_code == 200
    again = api.get(LIST, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    api.post(LIST, json=submission("ada"))
    changed = api.get(LIST, headers={"If-None-Match": tag})
    assert changed.status_code == 200 and len(changed.json()["items"]) == 1
    assert changed.headers["ETag"] != tag


def test_the_overview_s_own_tag_is_compared(api: TestClient) -> None:
    tag = api.get(f"{API}/overview").headers["ETag"]
    answer = api.get(f"{API}/overview", headers={"If-None-Match": tag})
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", tag)


def test_a_304_says_what_the_answer_would_have_said_but_of_its_body(api: TestClient) -> None:
    whole = api.get(KEYS)
    unchanged = api.get(KEYS, headers={"If-None-Match": whole.headers["ETag"]})
    own = {"content-length", "content-type", "x-request-id"}
    assert dict(unchanged.headers).keys() & own == {"x-request-id"}
    expected = {name: value for name, value in whole.headers.items() if name not in own}
    assert {n: v for n, v in unchanged.headers.items() if n not in own} == expected
    assert expected["vary"] == "Authorization, Cookie"
    assert expected["cache-control"] == "no-store"
    assert unchanged.headers["X-Request-Id"] != whole.headers["X-Request-Id"]


def test_every_read_in_json_has_a_tag_of_its_bytes(api: TestClient) -> None:
    tried = 0
    for operation in GUARDED:
        if operation.method != "GET" or operation.names_a_resource:
            continue
        first, second = (operation.call(api, {}, {}) for _ in range(2))
        if first.headers["content-type"] != "application/json":
            assert "ETag" not in first.headers, operation
            continue
        same = first.content == second.content
        assert (first.headers["ETag"] == second.headers["ETag"]) is same, operation
        tried += 1
    assert tried > 8


def test_what_another_caller_sees_has_another_tag(api: TestClient, make_key: MakeKey) -> None:
    other = bearer(make_key(controller="other"))
    tag = api.get(KEYS).headers["ETag"]
    answer = api.get(KEYS, headers={**other, "If-None-Match": tag})
    assert answer.status_code == 200


def test_a_tag_opens_nothing(api: TestClient) -> None:
    tag = api.get(KEYS).headers["ETag"]
    for condition in (tag, "*"):
        refused = api.get(KEYS, headers={**bearer("lot_x"), "If-None-Match": condition})
        assert refused.status_code == 401 and "ETag" not in refused.headers


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ("%s", 304),
        ("%o", 304),
        ("*", 304),
        (" * ", 304),
        ('"x", %s', 304),
        ('%s , "x"', 304),
        ('"x",%s,W/"y"', 304),
        (", ,\t%s, ,", 304),
        ('"a,b", "", %s', 304),
        ('"x"', 200),
        ("", 200),
        (",", 200),
        ("W/%s", 200),
        ("w/%o", 200),
        ("*, %s", 200),
        ("%s, *", 200),
        ('%s "x"', 200),
        ('%s"x"', 200),
        ('%s, "x', 200),
        ("%s, x", 200),
        ('"%s"', 200),
    ],
)
def test_the_condition_is_read_as_rfc_9110_says_and_ignored_if_it_is_malformed(
    api: TestClient, form: str, status: int
) -> None:
    """%s is the tag, %o what is in it without `W/`."""
    tag = api.get(KEYS).headers["ETag"]
    said = form.replace("%s", tag).replace("%o", tag.removeprefix("W/"))
    answer = api.get(KEYS, headers={"If-None-Match": said})
    assert answer.status_code == status
    assert answer.headers["ETag"] == tag


def test_several_lines_are_one_list(api: TestClient) -> None:
    tag = api.get(KEYS).headers["ETag"]
    lines = [("If-None-Match", '"x"'), ("If-None-Match", tag)]
    assert api.get(KEYS, headers=lines).status_code == 304
    assert api.get(KEYS, headers=[*lines, ("If-None-Match", "*")]).status_code == 200


@pytest.mark.parametrize(
    "said", [b"\xff\xfe", b'"\xfc"', b'"' * 5000, b'"a",' * 5000, b"," * 20_000, b'W/"' * 5000]
)
def test_no_condition_breaks_anything(api: TestClient, said: bytes) -> None:
    assert api.get(KEYS, headers=[(b"If-None-Match", said)]).status_code == 200


TAGS = st.text("!#abz~,/W\xe9", max_size=5).map(lambda text: b'"%s"' % text.encode("latin-1"))


@given(st.lists(TAGS, min_size=1, max_size=6), st.data())
def test_a_list_names_what_stands_in_it_and_nothing_else(tags: list[bytes], data: Any) -> None:
    weak = data.draw(st.lists(st.booleans(), min_size=len(tags), max_size=len(tags)))
    listed = data.draw(st.sampled_from([b",", b", ", b" ,\t", b",,"])).join(
        b"W/" + tag if is_weak else tag for tag, is_weak in zip(tags, weak, strict=True)
    )
    asked = data.draw(TAGS)
    for prefix in (b"", b"W/"):
        assert matches(listed, prefix + asked) is (asked in tags)


@given(st.binary(max_size=40))
def test_whatever_the_condition_says_it_is_read(said: bytes) -> None:
    assert matches(said, b'W/"x"') in (True, False)


def test_errors_and_writes_have_no_tag(api: TestClient) -> None:
    any_tag = {"If-None-Match": "*"}
    made = api.post(KEYS, json={"name": "a", "scopes": ["requests:read"]}, headers=any_tag)
    assert made.status_code == 201 and "ETag" not in made.headers
    for path, status in ((f"{LIST}/req_{'0' * 32}", 404), (f"{LIST}?limit=0", 422)):
        answer = api.get(path, headers=any_tag)
        assert answer.status_code == status and "ETag" not in answer.headers


def test_other_paths_and_files_are_left_alone(api: TestClient) -> None:
    any_tag = {"If-None-Match": "*"}
    for path in ("/livez", "/metrics", "/docs", "/openapi.json"):
        answer = api.get(path, headers=any_tag)
        assert answer.status_code == 200 and "W/" not in answer.headers.get("ETag", "")
    exported = api.get(f"{LIST}/export", params={"format": "csv"}, headers=any_tag)
    assert exported.status_code == 200 and "ETag" not in exported.headers


def test_weights_are_sent_whatever_the_caller_has(api: TestClient, runtime: Runtime) -> None:
    """That they were pulled is recorded."""
    model = Front(api, runtime).model(weights())["id"]
    path = f"{API}/models/{model}/versions/current/artifact"
    tag = api.get(path).headers["ETag"]
    assert not tag.startswith("W/")
    assert api.get(path, headers={"If-None-Match": tag}).content == weights()


# What the service's own endpoints do not do


def answered(
    *pieces: bytes, had: str | None = None, path: str = f"{API}/x", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """By an application that answers JSON in these pieces, with these headers."""
    said = {"content-type": "application/json", **headers}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        raw = [(name.encode(), value.encode()) for name, value in said.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        for number, piece in enumerate(pieces, start=1):
            more = number < len(pieces)
            await send({"type": "http.response.body", "body": piece, "more_body": more})

    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    asked = [] if had is None else [(b"if-none-match", had.encode())]
    scope = {"type": "http", "method": "GET", "path": path, "headers": asked}
    anyio.run(ETags(application, under=API), scope, None, send)
    start, *bodies = messages
    shown = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], shown, b"".join(one["body"] for one in bodies)


def test_an_endpoint_s_own_tag_stays_and_is_compared() -> None:
    assert answered(b"{}", etag='"own"')[1]["etag"] == '"own"'
    for had in ('"own"', 'W/"own"', "*"):
        status, headers, body = answered(b"{}", had=had, etag='"own"')
        assert (status, headers["etag"], body) == (304, '"own"', b"")
    assert answered(b"{}", had='"other"', etag='"own"')[0] == 200


def test_an_answer_in_pieces_goes_on_as_it_comes() -> None:
    status, headers, body = answered(b"[1", b",2]", had="*")
    assert (status, body) == (200, b"[1,2]") and "etag" not in headers


@pytest.mark.parametrize(("more", "tagged"), [(0, True), (1, False)])
def test_a_large_answer_is_sent_as_it_is(more: int, tagged: bool) -> None:
    body = json.dumps("x" * (LARGEST - 2 + more)).encode()
    status, headers, sent = answered(body, had='"x"')
    assert (status, sent == body, "etag" in headers) == (200, True, tagged)


def test_a_path_that_only_begins_alike_is_another_one() -> None:
    assert "etag" not in answered(b"{}", path=f"{API}0/x")[1]
