import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import select

from app.audit.tables import PendingEntry
from app.keys.scopes import Scope
from app.runtime import Runtime
from tests.conftest import MakeKey

KEYS = "/api/v1/keys"
LIST = "/api/v1/erasure-requests"
PROBLEM = "urn:lotus-unlearning:problem:"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def soon(**later: float) -> str:
    return (datetime.now(UTC) + timedelta(**later)).isoformat()


class Holder:
    """Somebody with a key."""

    def __init__(self, client: TestClient, key: str) -> None:
        self.client = client
        self.headers = bearer(key)

    def make(self, *scopes: str, name: str = "made", **fields: Any) -> Response:
        body = {"name": name, "scopes": list(scopes), **fields}
        return self.client.post(KEYS, json=body, headers=self.headers)

    def made(self, *scopes: str, **fields: Any) -> dict[str, Any]:
        answer = self.make(*scopes, **fields)
        assert answer.status_code == 201, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def rotate(self, key: str, **body: Any) -> Response:
        return self.client.post(f"{KEYS}/{key}/rotate", json=body, headers=self.headers)

    def revoke(self, key: str) -> Response:
        return self.client.delete(f"{KEYS}/{key}", headers=self.headers)

    def listed(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.client.get(KEYS, headers=self.headers).json()["items"]
        return items

    def named(self, name: str) -> dict[str, Any]:
        (found,) = [one for one in self.listed() if one["name"] == name]
        return found

    def opens(self, key: str) -> bool:
        """Whether the key is known here at all, whatever it may do."""
        status = self.client.get(LIST, headers=bearer(key)).status_code
        assert status in (200, 401, 403)
        return status != 401


MakeHolder = Callable[..., Holder]


@pytest.fixture
def holder(anonymous: TestClient, make_key: MakeKey) -> MakeHolder:
    """`holder(*scopes, controller="default")`: somebody with such a key; with every scope if none
    is named."""

    def made(*scopes: Scope, controller: str = "default") -> Holder:
        return Holder(anonymous, make_key(*scopes, controller=controller))

    return made


@pytest.fixture
def admin(holder: MakeHolder) -> Holder:
    return holder()


@pytest.fixture
def logged(runtime: Runtime) -> Callable[[str], list[dict[str, Any]]]:
    """The facts of all entries of a kind, oldest first."""

    def facts(kind: str) -> list[dict[str, Any]]:
        query = select(PendingEntry.body).where(PendingEntry.kind == kind).order_by(PendingEntry.id)
        with runtime.database.read() as session:
            return [json.loads(body)["facts"] for body in session.scalars(query)]

    return facts


Logged = Callable[[str], list[dict[str, Any]]]
