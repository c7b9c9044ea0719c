"""Every operation of the API, read from its description, so that a new one is tested unasked."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fastapi.testclient import TestClient
from httpx2 import Response

DESCRIPTION = Path(__file__).parents[2] / "openapi.json"
# These answer anybody; the others do so where a setting says it.
PUBLIC = {
    "livez",
    "readyz",
    "opendsr_discover",
    "opendsr_discover_v1",
    "opendsr_certificate",
    "log_in",
    "log_out",
}
# Says who calls, whatever he may do.
FOR_ANY_KEY = {"get_session"}
BY_SETTING = {"metrics", "list_signing_keys"}
# A body that fits its schema, for operations that cannot do without.
BODIES: dict[str, dict[str, Any]] = {
    "decide_erasure": {"item": "itm_" + "0" * 32, "action": "retry"},
    "roll_back": {"reason": "tried by a test"},
    "change_policy": {},
    "register_version": {"artifact": "0" * 64},
    "rotate_key": {},
    "rotate_webhook_secret": {},
    "refuse_erasure": {"reason_code": "legal_claims"},
    "hold_erasure": {"reason": "identity_question"},
    "extend_deadline": {"reason": "complexity", "notified_at": "2026-03-02T12:00:00Z"},
}


class Operation(NamedTuple):
    name: str
    method: str
    path: str
    scopes: tuple[str, ...]

    @property
    def names_a_resource(self) -> bool:
        return "{" in self.path

    def call(
        self, client: TestClient, ids: Mapping[str, str], headers: Mapping[str, str]
    ) -> Response:
        """`ids` maps the beginning of a path to what stands there."""
        path = self.path
        for beginning, identity in ids.items():
            path = path.replace(beginning, beginning.partition("{")[0] + identity)
        body = BODIES.get(self.name)
        return client.request(self.method, path, headers=dict(headers), json=body)


def operations() -> list[Operation]:
    paths = json.loads(DESCRIPTION.read_text())["paths"]
    return [
        Operation(
            name=operation["operationId"],
            method=method.upper(),
            path=path,
            scopes=tuple(
                scope
                for need in operation.get("security", [])
                for scopes in need.values()
                for scope in scopes
            ),
        )
        for path, methods in paths.items()
        for method, operation in methods.items()
    ]


# OpenDSR has its own form of errors, and says 403 of another controller's: tests/opendsr.
GUARDED = [
    one
    for one in operations()
    if one.name not in PUBLIC | BY_SETTING and not one.path.startswith("/opendsr/")
]
