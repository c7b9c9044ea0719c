"""What holds for each operation of the API, whatever it does."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from app.config import Settings
from app.erasure.recheck_tables import Recheck, RecheckState, Trigger
from app.ids import api_key_id, dataset_id, model_id
from app.keyring import Keyring
from app.keys import service
from app.keys.scopes import ALL_SCOPES, Scope
from app.keys.tables import ApiKey, Controller
from app.main import create_app
from app.registry.tables import ModelVersion
from app.runtime import Runtime
from tests.conftest import MakeKey
from tests.erasure.factories import add_dataset, add_model, people, submission
from tests.erasure.working import Hand
from tests.keys.operations import (
    BY_SETTING,
    FOR_ANY_KEY,
    GUARDED,
    PUBLIC,
    Operation,
    operations,
)

API = "/api/v1"
# Their content is their address, and everybody has a place of his own for it.
BY_CONTENT = {"upload_artifact"}
# Sizes, hashes and signatures of the one log that all share.
OF_THE_LOG = {
    "get_audit_checkpoint",
    "get_audit_checkpoint_of_size",
    "get_inclusion_proof",
    "get_consistency_proof",
}
# What they list is everybody's (workers), or the other controller's own; or they are no list.
NOT_EMPTY = {"list_workers", "list_keys", "list_audit_entries", "export_erasures"}
# They do not end while there may be news.
STREAMS = {"follow_erasure", "follow_run"}
# Documentation of the service; without a key, and without data.
PAGES = {
    "/openapi.json",
    "/docs",
    "/docs/start.js",
    "/docs/swagger-ui-bundle.js",
    "/docs/swagger-ui.css",
    "/",
    "/dashboard",
    "/dashboard/",
    "/dashboard/files/{version}/lib/plotly.js",
    "/dashboard/files/{version}/{path:path}",
}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def ids(api: TestClient, runtime: Runtime) -> dict[str, str]:
    """A case of the default controller that has been through everything: the beginnings of paths,
    and what stands there."""
    with runtime.database.write() as session:
        dataset = add_dataset(runtime, session, people(ada=4))
        model = add_model(session, dataset)
    request = api.post(f"{API}/erasure-requests", json=submission("ada")).json()["id"]
    hand = Hand.hire(runtime, datetime.now(UTC))
    hand.publish(hand.must_claim(datetime.now(UTC)), datetime.now(UTC))
    with runtime.database.write() as session:
        key = session.scalars(select(ApiKey.id)).one()
        recheck = Recheck(
            model_id=model.id,
            version_id=session.scalars(select(ModelVersion.id)).first(),
            trigger=Trigger.SCHEDULE,
            state=RecheckState.DONE,
            case_count=0,
            created_at=datetime.now(UTC),
        )
        session.add(recheck)
        session.flush()
    receiver = api.post(f"{API}/webhooks", json={"url": "https://receiver.example.org/hook"})
    webhook = receiver.json()["id"]
    delivery = api.post(f"{API}/webhooks/{webhook}/test").json()["id"]
    certificate = api.get(f"{API}/erasure-requests/{request}").json()["certificate"]
    return {
        "/certificates/{id}": certificate["id"],
        "/webhooks/deliveries/{id}": delivery,
        "/webhooks/{id}": webhook,
        "/rechecks/{id}": f"rck_{recheck.id.hex}",
        "/suppressions/{request}": request,
        "/erasure-requests/{id}": request,
        "/runs/{id}": api.get(f"{API}/runs").json()["items"][0]["id"],
        "/keys/{id}": api_key_id(key),
        "/models/{model}": model_id(model.id),
        "/datasets/{dataset}": dataset_id(dataset.id),
        "/versions/{number}": "1",
    }


def unknown(ids: dict[str, str]) -> dict[str, str]:
    return {
        beginning: identity if "_" not in identity else f"{identity[:4]}{uuid4().hex}"
        for beginning, identity in ids.items()
    }


@pytest.fixture
def stranger(make_key: MakeKey) -> dict[str, str]:
    """The headers of another controller's key, which has every scope."""
    return bearer(make_key(controller="other"))


def with_ids() -> list[Operation]:
    apart = BY_CONTENT | OF_THE_LOG
    return [one for one in GUARDED if one.names_a_resource and one.name not in apart]


def test_another_controller_s_thing_is_answered_like_one_that_never_was(
    api: TestClient, ids: dict[str, str], stranger: dict[str, str]
) -> None:
    assert len(with_ids()) >= 15
    for operation in with_ids():
        foreign = operation.call(api, ids, stranger)
        nothing = operation.call(api, unknown(ids), stranger)
        assert "{" not in str(foreign.request.url), f"{operation.path}: put its id into `ids`"
        assert foreign.status_code == 404, f"{operation}: {foreign.text}"
        assert foreign.status_code == nothing.status_code, operation
        assert foreign.json() == nothing.json(), operation


def test_the_owner_finds_what_the_other_does_not(api: TestClient, ids: dict[str, str]) -> None:
    """Or else the test above would show nothing."""
    for operation in with_ids():
        if operation.method == "GET" and operation.name not in STREAMS:
            assert operation.call(api, ids, {}).status_code != 404, operation


def test_what_one_controller_has_stands_in_no_list_of_another(
    api: TestClient, ids: dict[str, str], stranger: dict[str, str]
) -> None:
    lists = [
        one
        for one in GUARDED
        if one.method == "GET" and not one.names_a_resource and one.name not in OF_THE_LOG
    ]
    assert len(lists) >= 7
    for operation in lists:
        answer = operation.call(api, {}, stranger)
        assert answer.status_code == 200, operation
        named = [identity for identity in ids.values() if "_" in identity]
        assert [one for one in named if one in answer.text] == [], operation
        if operation.name not in NOT_EMPTY:
            assert answer.json().get("items", []) == [], operation


def test_nobody_learns_from_a_call_of_another_what_it_would_change(
    api: TestClient, ids: dict[str, str], stranger: dict[str, str]
) -> None:
    def seen() -> list[Any]:
        return [
            one.call(api, ids, {}).json()
            for one in with_ids()
            if one.method == "GET" and one.name not in STREAMS | {"pull_current_version"}
        ]

    before = seen()
    for operation in with_ids():
        operation.call(api, ids, stranger)
    assert seen() == before


def test_an_operation_without_its_scope_is_forbidden(
    anonymous: TestClient, make_key: MakeKey
) -> None:
    for scope in Scope:
        others = [one for one in ALL_SCOPES if one is not scope]
        headers = bearer(make_key(*others))
        for operation in GUARDED:
            if scope in operation.scopes:
                answer = operation.call(anonymous, {}, headers)
                assert answer.status_code == 403, operation
                assert answer.json()["type"].endswith(":missing-scope")
                assert scope in answer.json()["detail"]


def test_every_scope_guards_something() -> None:
    guarded = {scope for one in GUARDED for scope in one.scopes}
    assert guarded | {Scope.METRICS_READ} == set(ALL_SCOPES)


def test_an_operation_without_a_valid_key_is_refused(
    settings: Settings, runtime: Runtime, make_key: MakeKey
) -> None:
    """Without limits: so many refusals would end in 429."""
    free = settings.model_copy(update={"login_failure_limit": ""})
    expired, revoked = make_key(), make_key()
    now = datetime.now(UTC)
    with runtime.database.write() as session:
        for key, column in ((expired, "expires_at"), (revoked, "revoked_at")):
            session.execute(update(ApiKey).where(ApiKey.prefix == key[:12]).values({column: now}))
    bad: dict[str, dict[str, str]] = {
        "none": {},
        "expired": bearer(expired),
        "revoked": bearer(revoked),
        "malformed": bearer("lot_nothing"),
        "another service's": bearer(foreign_key(runtime)),
        "another scheme": {"Authorization": f"Basic {make_key()}"},
    }
    with TestClient(create_app(free)) as client:
        for operation in GUARDED:
            for why, headers in bad.items():
                answer = operation.call(client, {}, headers)
                assert answer.status_code == 401, f"{why}: {operation}"
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                assert answer.headers["Cache-Control"] == "no-store"


def foreign_key(runtime: Runtime) -> str:
    """A key of the right form that some other service has made, with secrets of its own."""
    with runtime.database.write() as session:
        owner = session.scalars(select(Controller)).first()
        assert owner is not None
        _, plaintext = service.create_key(
            session,
            Keyring(b"x" * 32, {"k1": b"y" * 32}, b"z" * 32),
            controller=owner.id,
            name="elsewhere",
            scopes=ALL_SCOPES,
            actor="operator",
            now=datetime.now(UTC) - timedelta(days=1),
        )
    assert service.well_formed(plaintext)
    return plaintext


def test_every_route_names_its_scope_and_none_is_left_out_of_the_description(
    tmp_path: Path,
) -> None:
    app = create_app(Settings(data_dir=tmp_path / "data"))
    described = {(one.method, one.path): one for one in operations()}
    for method, path in routes_of(app):
        if path in PAGES:
            continue
        operation = described.get((method, path))
        assert operation is not None, f"{method} {path} is not described"
        if operation.name not in PUBLIC | BY_SETTING | FOR_ANY_KEY:
            assert operation.scopes, f"{method} {path} names no scope"


def routes_of(app: FastAPI) -> list[tuple[str, str]]:
    """Those of included routers too, which FastAPI keeps apart."""
    found: list[tuple[str, str]] = []
    waiting: list[Any] = list(app.routes)
    while waiting:
        route = waiting.pop()
        if hasattr(route, "effective_candidates"):
            waiting += route.effective_candidates()
            continue
        if not hasattr(route, "methods") and hasattr(route, "original_route"):
            assert isinstance(route.original_route, APIRoute), route
        found += [(method, route.path) for method in route.methods - {"HEAD", "OPTIONS"}]
    assert len(found) > 25
    return found
