"""Polls of the overview that find nothing new are answered without the endpoint, and only those."""

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from app.config import Settings
from app.keys import auth
from app.keys.scopes import Scope
from app.overview import keeping
from tests.apps import app_for
from tests.conftest import MakeKey
from tests.erasure.conftest import Cases

URL = "/api/v1/overview"
KEYS = "/api/v1/keys"
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture(autouse=True)
def made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "FRESH_SECONDS", 3600.0)
    monkeypatch.setattr(keeping, "OLDEST_SECONDS", 3600.0)


async def nobody_comes_here(*given: object) -> None:
    raise RuntimeError


def poll(client: TestClient, tag: str, key: str | None = None) -> Response:
    headers = {"If-None-Match": tag}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    return client.get(URL, headers=headers)


def tag_of(client: TestClient, key: str | None = None) -> str:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    tag: str = client.get(URL, headers=headers).headers["ETag"]
    return tag


def test_the_answer_is_the_one_that_the_endpoint_gives(
    api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = tag_of(api)
    # A parameter or a body is for the endpoint to look at.
    by_endpoint = api.request("GET", URL, headers={"If-None-Match": tag}, content=b"{}")
    assert by_endpoint.status_code == 304
    monkeypatch.setattr(auth, "identify", nobody_comes_here)  # as every endpoint would
    found = poll(api, f'"other", {tag}')
    assert (found.status_code, found.content) == (304, b"")
    varying = {"x-request-id"}
    assert {name: value for name, value in found.headers.items() if name not in varying} == {
        name: value for name, value in by_endpoint.headers.items() if name not in varying
    }
    assert api.request("GET", URL, headers={"If-None-Match": tag}, content=b"{}").status_code == 500
    assert poll(api, '"other"').status_code == 500


def test_what_is_not_a_plain_poll_is_refused_as_ever(api: TestClient) -> None:
    tag = tag_of(api)
    assert api.get(f"{URL}?x=1", headers={"If-None-Match": tag}).status_code == 422
    twice = [("Authorization", api.headers["Authorization"])] * 2 + [("If-None-Match", tag)]
    del api.headers["Authorization"]
    assert api.get(URL, headers=twice).status_code == 401
    assert poll(api, tag).status_code == 401
    assert poll(api, tag, "lot_nobody").status_code == 401


def test_a_revoked_key_learns_nothing_any_more(api: TestClient) -> None:
    made = api.post(KEYS, json={"name": "board", "scopes": ["requests:read"]}).json()
    tag = tag_of(api, made["key"])
    assert poll(api, tag, made["key"]).status_code == 304
    assert api.delete(f"{KEYS}/{made['id']}").status_code in (200, 204)
    assert poll(api, tag, made["key"]).status_code == 401


def test_a_key_without_the_scope_and_another_controller_s_learn_nothing(
    api: TestClient, cases: Cases, make_key: MakeKey
) -> None:
    cases.submit("ada")
    tag = tag_of(api)
    assert poll(api, tag, make_key(Scope.AUDIT_READ)).status_code == 403
    theirs = make_key(controller="other")
    assert poll(api, tag_of(api, theirs), theirs).status_code == 304
    assert poll(api, tag, theirs).status_code == 200


def test_a_browser_s_poll_ends_with_its_session(anonymous: TestClient, make_key: MakeKey) -> None:
    anonymous.headers.update(OWN_PAGE)
    assert anonymous.post("/api/v1/session", json={"key": make_key()}).status_code == 201
    tag = tag_of(anonymous)
    assert poll(anonymous, tag).status_code == 304
    kept = dict(anonymous.cookies)
    assert anonymous.delete("/api/v1/session").status_code == 204
    anonymous.cookies.update(kept)
    assert poll(anonymous, tag).status_code == 401


def test_such_polls_count_as_calls(settings: Settings, make_key: MakeKey) -> None:
    few = settings.model_copy(update={"rate_limit": "3/hour"})
    with app_for(few) as app, TestClient(app) as client:
        client.headers["Authorization"] = f"Bearer {make_key()}"
        tag = tag_of(client)
        statuses = [poll(client, tag).status_code for _ in range(4)]
    assert statuses == [304, 304, 429, 429]


def test_the_log_and_the_figures_name_the_endpoint(api: TestClient) -> None:
    tag = tag_of(api)
    assert poll(api, tag).status_code == 304
    counted = [
        line
        for line in api.get("/metrics").text.splitlines()
        if "304" in line and f'"{URL}"' in line and "requests_total" in line
    ]
    assert counted and counted[0].endswith(" 1.0")
