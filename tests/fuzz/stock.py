"""What the service holds before the first case: a request in every state, and one of each thing
that a path can name. No file was read by a worker, and no process but the API runs: what is
submitted waits, and no callback is ever sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from fastapi.testclient import TestClient
from sqlalchemy import select

from app.audit.sequencer import sequence
from app.config import Settings
from app.erasure import closing, leases
from app.erasure.failing import Fault
from app.erasure.recheck_tables import Recheck, RecheckState, Trigger
from app.erasure.states import RequestState
from app.erasure.tables import ErrorClass
from app.keys import service as keys
from app.keys.scopes import ALL_SCOPES
from app.main import create_app
from app.registry.policy import Approval, Policy
from app.registry.tables import ModelVersion
from app.runtime import Runtime
from tests.erasure.factories import add_dataset, add_model, digest, people, submission
from tests.erasure.working import Hand
from workers.sealing import Sealer

API = "/api/v1"
# Of each state: calls change it, and the next one wants to find it still.
EACH = 12
# Persons of each model who have asked for nothing yet.
FREE = 12
_ID = re.compile(r"\b([a-z]{3})_[0-9a-f]{32}\b")
_PEM = re.compile(r"certificates/([0-9a-f]{64})\.pem")


@dataclass
class Stock:
    """`key` opens everything. `ids`: those that exist, by their prefix; never that of `key`."""

    key: str
    own_id: str
    ids: dict[str, list[str]] = field(default_factory=dict)
    # Those of which nothing more can be told.
    ended: dict[str, list[str]] = field(default_factory=dict)
    digests: list[str] = field(default_factory=list)
    fingerprints: list[str] = field(default_factory=list)
    persons: list[str] = field(default_factory=list)
    opendsr: list[str] = field(default_factory=list)
    states: set[str] = field(default_factory=set)


def fill(settings: Settings) -> Stock:
    """`settings` name a database at the newest revision that holds nothing."""
    runtime = Runtime.open(settings)
    try:
        return _Filling(runtime, settings).done()
    finally:
        runtime.close()


class _Filling:
    def __init__(self, runtime: Runtime, settings: Settings) -> None:
        self.runtime, self.settings = runtime, settings
        self.submitted = 0
        self.asked: dict[str, list[str]] = {}
        self.hand = Hand.hire(runtime, self.now)
        key, own = self._key("fuzz")
        self.stock = Stock(key, own)

    def done(self) -> Stock:
        with TestClient(create_app(self.settings)) as api:
            api.headers["Authorization"] = f"Bearer {self.stock.key}"
            self.api = api
            self._cases()
            self._other_things()
            self._seal()
            self._collect()
        missing = {str(state) for state in RequestState} - self.stock.states
        assert missing <= {"received"}, f"no request is {missing}"  # received lasts no moment
        return self.stock

    @property
    def now(self) -> datetime:
        return datetime.now(UTC)

    def _key(self, name: str) -> tuple[str, str]:
        with self.runtime.database.write() as session:
            owner = keys.ensure_controller(session, keys.DEFAULT_CONTROLLER, now=self.now)
            row, plaintext = keys.create_key(
                session,
                self.runtime.keyring,
                controller=owner.id,
                name=name,
                scopes=ALL_SCOPES,
                actor="operator",
                now=self.now,
            )
            return plaintext, f"key_{row.id.hex}"

    def _cases(self) -> None:
        """Each state with a model of its own, since what waits for one model runs together."""
        by_hand = Policy(ladder=())
        self._model("running", by_hand, then=self._run)
        self._model("failed", by_hand, then=self._fail)
        self._model("undecided", by_hand, then=self._reject)
        self._model("completed", by_hand, then=self._publish)
        self._model("closed", Policy(rollback_days=0), then=self._close)
        self._model("approval", Policy(approval=Approval.ONE))
        self._model("scheduled", by_hand)
        self._model("held", by_hand)
        self._model("cancelled", by_hand)
        self._model("refused", by_hand)
        for request in self.asked["held"]:
            self._post(f"/erasure-requests/{request}/hold", {"reason": "legal_hold"})
        for request in self.asked["cancelled"]:
            self._post(f"/erasure-requests/{request}/cancel")
        for request in self.asked["refused"]:
            body = {"reason_code": "legal_claims"}
            self._post(f"/erasure-requests/{request}/refuse", body)
        for number in range(EACH):
            self._submit(f"nobody-{number}")

    def _model(self, name: str, policy: Policy, then: Callable[[], None] | None = None) -> None:
        """With as many persons who ask, and as many who may ask later. The other models are not
        concerned by them."""
        asking = [f"{name}-{number}" for number in range(EACH)]
        free = [f"{name}-free-{number}" for number in range(FREE)]
        with self.runtime.database.write() as session:
            rows = people(**dict.fromkeys([*asking, *free], 2))
            dataset = add_dataset(self.runtime, session, rows, name=name)
            add_model(session, dataset, name=name, policy=policy)
        self.stock.persons += free
        self.asked[name] = [self._submit(person) for person in asking]
        if then is not None:
            then()

    def _run(self) -> None:
        self.hand.must_claim(self.now)

    def _fail(self) -> None:
        fence = self.hand.must_claim(self.now)
        fault = Fault(ErrorClass.NUMERICAL, "stated by a test", apart=False)
        with self.runtime.database.write() as session:
            ring = self.runtime.keyring
            leases.fail(session, ring, fence, fault=fault, actor="service", now=self.now)

    def _reject(self) -> None:
        self.hand.reject(self.hand.must_claim(self.now), self.now)

    def _publish(self) -> None:
        self.hand.publish(self.hand.must_claim(self.now), self.now)

    def _close(self) -> None:
        self._publish()
        for request in self.asked["closed"]:
            with self.runtime.database.write() as session:
                closing.close(
                    session,
                    self.runtime.keyring,
                    UUID(request[4:]),
                    suppressed_for=timedelta(days=30),
                    now=self.now + timedelta(seconds=1),
                )

    def _other_things(self) -> None:
        """Webhooks and what they were to be told, keys, a re-check, uploads, OpenDSR requests."""
        for number in range(EACH):
            hook = self._post("/webhooks", {"url": f"https://receiver-{number}.example.org/hook"})
            self._post(f"/webhooks/{hook['id']}/test")
            self._key(f"other-{number}")
            content = f"content {number}".encode()
            sha256 = digest(content.decode())
            self.stock.digests.append(sha256)
            assert self.api.put(f"{API}/artifacts/{sha256}", content=content).is_success
            self._ask_in_opendsr(number)
        with self.runtime.database.write() as session:
            for version in session.scalars(select(ModelVersion)).all():
                file = self.runtime.artifacts.path(version.artifact_sha256)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(b"weights")
                session.add(
                    Recheck(
                        model_id=version.model_id,
                        version_id=version.id,
                        trigger=Trigger.SCHEDULE,
                        state=RecheckState.DONE,
                        case_count=0,
                        created_at=self.now,
                    )
                )

    def _ask_in_opendsr(self, number: int) -> None:
        identity = str(UUID(int=number + 1, version=4))
        body = {
            "subject_request_id": identity,
            "subject_request_type": "erasure",
            "submitted_time": self.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "subject_identities": [
                {
                    "identity_type": "controller_customer_id",
                    "identity_value": f"nobody-{number}",
                    "identity_format": "raw",
                }
            ],
            "regulation": "gdpr",
            "api_version": "2.0",
        }
        answer = self.api.post("/opendsr/v2/requests", json=body)
        assert answer.is_success, answer.text
        self.stock.opendsr.append(identity)

    def _seal(self) -> None:
        with self.runtime.database.write() as session:
            while sequence(session, now=self.now):
                pass
        Sealer(self.runtime).seal(self.now)

    def _collect(self) -> None:
        """The ids that lists and cases show, and the states of the cases."""
        lists = ("keys", "datasets", "models", "runs", "webhooks", "webhooks/deliveries")
        shown = [self.api.get(f"{API}/{name}", params={"limit": 200}).text for name in lists]
        following: dict[str, Any] = {}
        while True:
            page = self.api.get(
                f"{API}/erasure-requests", params={"limit": 200, **following}
            ).json()
            for row in page["items"]:
                self.stock.states.add(row["state"])
                shown.append(self.api.get(f"{API}/erasure-requests/{row['id']}").text)
            if page["next_cursor"] is None:
                break
            following = {"cursor": page["next_cursor"]}
        with self.runtime.database.read() as session:
            shown += [f"rck_{row.hex}" for row in session.scalars(select(Recheck.id))]
        found = {match[0]: match[1] for text in shown for match in _ID.finditer(text)}
        for identity, prefix in sorted(found.items()):
            if identity != self.stock.own_id:
                self.stock.ids.setdefault(prefix, []).append(identity)
        over = (*self.asked["cancelled"], *self.asked["refused"], *self.asked["closed"])
        runs = self.api.get(f"{API}/runs", params={"state": "succeeded"}).text
        self.stock.ended = {
            "req": list(over),
            "run": [match[0] for match in _ID.finditer(runs) if match[1] == "run"],
        }
        discovery = self.api.get("/opendsr/v2/discovery").text
        self.stock.fingerprints = _PEM.findall(discovery)

    def _submit(self, person: str) -> str:
        self.submitted += 1
        body = submission(person, external_id=f"case-{self.submitted}")
        identity: str = self._post("/erasure-requests", body)["id"]
        return identity

    def _post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self.api.post(API + path, json=body)
        assert answer.is_success, f"{path}: {answer.text}"
        document: dict[str, Any] = answer.json()
        return document
