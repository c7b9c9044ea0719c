"""Random interleavings of callers, workers, crashes and clocks. After every step the invariants
hold; once faults stop, every request ends or waits for a person."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit.check import check
from app.db import Database
from app.erasure import leases
from app.erasure.locks import Fence, LeaseLost
from app.erasure.tables import ErasureRequest, ErrorClass
from app.ids import request_id
from tests.databases import database_of_its_own
from tests.erasure import invariants
from tests.erasure.factories import submission
from tests.erasure.working import LEASE
from tests.erasure.world import CUSTOMERS, URL, MakeDatabase, World

ENDED = ("completed", "cancelled", "refused")


@dataclass(frozen=True)
class Sent:
    """A call that was accepted, to be repeated."""

    identity: str
    body: bytes
    key: str | None

    @property
    def headers(self) -> dict[str, str]:
        kind = {"Content-Type": "application/json"}
        return kind | ({"Idempotency-Key": self.key} if self.key else {})


class Life(RuleBasedStateMachine):
    """`make_database` is set by the test, for one dialect."""

    make_database: MakeDatabase

    requests = Bundle("requests")
    fences = Bundle("fences")

    def __init__(self) -> None:
        super().__init__()
        self.world = World(type(self).make_database)
        self.count = 0

    # Callers

    @rule(
        target=requests,
        customers=st.lists(st.sampled_from(CUSTOMERS), min_size=1, max_size=2, unique=True),
        keyed=st.booleans(),
        named=st.booleans(),
        chosen=st.sampled_from([None, 0, 1, 2]),
    )
    def submit(self, customers: list[str], keyed: bool, named: bool, chosen: int | None) -> Sent:
        self.count += 1
        fields: dict[str, Any] = {"external_id": f"case-{self.count}"} if named else {}
        if chosen is not None:
            fields["models"] = [f"mdl_{self.world.models[chosen].hex}"]
        body = json.dumps(submission(*customers, **fields)).encode()
        sent = Sent("", body, f"key-{self.count}" if keyed else None)
        answer = self.world.front.post(URL, content=body, headers=sent.headers)
        assert answer.status_code == 202, answer.text
        return Sent(answer.json()["id"], body, sent.key)

    @rule(sent=requests)
    def repeat(self, sent: Sent) -> None:
        if sent.key is None and b"external_id" not in sent.body:
            return
        before = self._states()
        answer = self.world.front.post(URL, content=sent.body, headers=sent.headers)
        assert answer.status_code == 202
        assert answer.json() == self.world.front.get(f"{URL}/{sent.identity}").json()
        assert self._states() == before

    @rule(sent=requests)
    def repeat_with_another_body(self, sent: Sent) -> None:
        if sent.key is None and b"external_id" not in sent.body:
            return
        before = self._states()
        other = json.dumps({**json.loads(sent.body), "regulation": "ccpa"}).encode()
        answer = self.world.front.post(URL, content=other, headers=sent.headers)
        assert answer.status_code == 409
        assert self._states() == before

    @rule(sent=requests)
    def cancel(self, sent: Sent) -> None:
        before = self._states()
        answer = self.world.front.post(f"{URL}/{sent.identity}/cancel")
        after = self._states()
        if answer.status_code == 202:
            assert after[sent.identity] == "cancelled"
        else:
            assert answer.status_code == 409
            assert after == before
        del before[sent.identity], after[sent.identity]
        for identity, state in after.items():
            # A run of the others is formed anew, and may then turn out to be done already.
            moved_on = state in ("scheduled", "running", "completed")
            assert state == before[identity] or (moved_on and before[identity] not in ENDED)

    @rule(
        sent=requests,
        action=st.sampled_from(["retry", "accept", "refuse"]),
        position=st.integers(0, 2),
    )
    def decide(self, sent: Sent, action: str, position: int) -> None:
        items = self.world.front.get(f"{URL}/{sent.identity}").json()["items"]
        if not items:
            return
        body = {"item": items[position % len(items)]["id"], "action": action}
        if action == "refuse":
            body["reason_code"] = "legal_claims"
        before = self._states()
        answer = self.world.front.post(f"{URL}/{sent.identity}/decide", json=body)
        assert answer.status_code in (202, 409), answer.text
        if answer.status_code == 409:
            assert self._states() == before

    # Registrations

    @rule(model=st.integers(0, 2))
    def offer_version(self, model: int) -> None:
        self.world.offer_version(self.world.models[model])

    @rule()
    def check_version(self) -> None:
        self.world.check_version()

    @rule()
    def register_model(self) -> None:
        if len(self.world.models) < 5:
            self.world.add_late_model()

    # Workers

    @rule(target=fences, worker=st.integers(0, 2))
    def claim(self, worker: int) -> Any:
        claim = self.world.hands[worker].claim(self.world.now)
        return claim.fence if claim else multiple()

    @rule(target=fences, worker=st.integers(0, 2), model=st.integers(0, 2))
    def claim_late(self, worker: int, model: int) -> Any:
        claim = self.world.claim_of(self.world.hands[worker], self.world.models[model])
        return claim.fence if claim else multiple()

    @rule(fence=fences)
    def renew(self, fence: Fence) -> None:
        now = self.world.now
        self._fenced(fence, lambda session: leases.renew(session, fence, lease=LEASE, now=now))

    @rule(fence=fences)
    def write_progress(self, fence: Fence) -> None:
        self._fenced(fence, lambda session: leases.write(session, fence, progress={"epoch": 1}))

    @rule(fence=fences)
    def go_on(self, fence: Fence) -> None:
        self._as_holder(fence, lambda: self.world.go_on(fence))

    @rule(fence=fences)
    def publish(self, fence: Fence) -> None:
        self._as_holder(fence, lambda: self.world.publish(fence))

    @rule(fence=fences)
    def reject(self, fence: Fence) -> None:
        self._as_holder(fence, lambda: self.world.reject(fence))

    @rule(fence=fences)
    def put_down(self, fence: Fence) -> None:
        now = self.world.now
        self._fenced(
            fence, lambda session: leases.put_down(session, fence, actor="service", now=now)
        )

    @rule(fence=fences, end=st.sampled_from([leases.give_back, leases.fail]))
    def crash(self, fence: Fence, end: Any) -> None:
        self._fenced(
            fence,
            lambda session: end(
                session,
                self.world.runtime.keyring,
                fence,
                error_class=ErrorClass.STORAGE,
                detail="OSError",
                actor="service",
                now=self.world.now,
            ),
        )

    @rule(seconds=st.sampled_from([-120, 1, 30, 61, 3600]))
    def let_time_pass(self, seconds: int) -> None:
        self.world.move_clock(seconds)
        self.world.sweep()

    @rule()
    def sequence(self) -> None:
        self.world.sequence()

    # What must hold

    @invariant()
    def everything_holds(self) -> None:
        with self.world.runtime.database.read() as session:
            invariants.all_hold(session, self.world.first)

    def teardown(self) -> None:
        try:
            self.world.let_faults_stop()
            self.everything_holds()
            with self.world.runtime.database.read() as session:
                invariants.every_request_has_ended_or_waits_for_a_person(session)
            self.world.sequence()
            with self.world.runtime.database.read() as session:
                assert check(session).ok
        finally:
            self.world.close()

    def _fenced(self, fence: Fence, write: Callable[[Session], Any]) -> None:
        def act() -> None:
            with self.world.runtime.database.write() as session:
                write(session)

        self._as_holder(fence, act)

    def _as_holder(self, fence: Fence, act: Callable[[], Any]) -> None:
        """Succeeds for the attempt that holds the run, and changes nothing for any other."""
        holds = self.world.holds(fence)
        before = self._states()
        try:
            act()
        except LeaseLost:
            assert not holds
            assert self._states() == before
        else:
            assert holds

    def _states(self) -> dict[str, str]:
        with self.world.runtime.database.read() as session:
            rows = session.execute(select(ErasureRequest.id, ErasureRequest.state))
            return {request_id(identity): state for identity, state in rows}


@pytest.fixture
def make_database(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> MakeDatabase:
    """One for each life: at the newest revision, and empty."""
    if dialect == "postgresql":
        server = request.getfixturevalue("postgresql")
        like = request.getfixturevalue("migrated_name")
        return lambda: database_of_its_own(server, like=like)
    migrated: Path = request.getfixturevalue("migrated_file")

    @contextmanager
    def copied() -> Iterator[Database]:
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            shutil.copy(migrated, Path(folder) / "lotus.db")
            database = Database(f"sqlite:///{Path(folder) / 'lotus.db'}")
            yield database
            database.dispose()

    return copied


@pytest.mark.timeout(300)
def test_no_interleaving_breaks_an_invariant(make_database: MakeDatabase) -> None:
    life = type("Life", (Life,), {"make_database": staticmethod(make_database)})
    run_state_machine_as_test(
        life,
        settings=settings(
            max_examples=int(os.environ.get("LOTUS_TEST_LIVES", "20")),
            stateful_step_count=40,
            deadline=None,
            derandomize="LOTUS_TEST_LIVES" not in os.environ,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
