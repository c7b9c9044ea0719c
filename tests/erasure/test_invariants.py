"""Random interleavings of callers, workers, crashes and clocks. After every step the invariants
hold; once faults stop, every request ends or waits for a person."""

import json
import os
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from app.audit.check import check
from app.erasure.leases import Claim
from app.erasure.locks import Fence, LeaseLost
from app.erasure.recheck_ends import RecheckFence
from app.erasure.tables import ErasureRequest
from app.ids import model_id, request_id
from tests.databases import MakeDatabase
from tests.erasure import invariants
from tests.erasure.factories import submission
from tests.erasure.world import CUSTOMERS, URL, World

ENDED = ("completed", "cancelled", "refused")
PARTY = st.lists(st.sampled_from(CUSTOMERS), min_size=1, max_size=2, unique=True)
BACK = st.integers(0, 6)
STEPS = ("publish", "publish", "reject", "go_on", "crash", "fail", "put_down", "renew", "progress")
# What a person may do about a request in these states; four of each, to choose by a number.
DECISIONS = {
    "awaiting_approval": ("approve", "approve", "hold", "refuse"),
    "on_hold": ("resume", "resume", "resume", "extend"),
}
OTHERWISE = ("hold", "hold", "extend", "refuse")
RECHECK = st.sampled_from(["end_recheck", "end_recheck", "crash_recheck", "put_recheck_down", None])
WORK = st.lists(st.sampled_from(STEPS), min_size=0, max_size=3)


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


def _back(choices: list[Any], steps: int) -> Any:
    return choices[-1 - steps % len(choices)]


class Life(RuleBasedStateMachine):
    """`make_database` is set by the test, for one dialect.

    Few rules, each with a choice in it: hypothesis leaves rules out of a life, and a life without
    claims shows nothing. What to act on counts back from the newest.
    """

    make_database: MakeDatabase

    def __init__(self) -> None:
        super().__init__()
        self.world = World(type(self).make_database)
        self.sent: list[Sent] = []
        self.fences: list[Fence] = []
        self.rechecks: list[RecheckFence] = []

    # Callers

    @initialize(parties=st.lists(PARTY, min_size=2, max_size=3), asking=st.booleans())
    def begin(self, parties: list[list[str]], asking: bool) -> None:
        if asking:
            self.world.ask_for_approval(self.world.models[0])
        for party in parties:
            self.submit(party, True, True, None)

    @rule(
        customers=PARTY,
        keyed=st.booleans(),
        named=st.booleans(),
        chosen=st.sampled_from([None, None, 0, 1, 2]),
    )
    def submit(self, customers: list[str], keyed: bool, named: bool, chosen: int | None) -> None:
        number = len(self.sent)
        fields: dict[str, Any] = {"external_id": f"case-{number}"} if named else {}
        if chosen is not None:
            fields["models"] = [model_id(self.world.models[chosen])]
        body = json.dumps(submission(*customers, **fields)).encode()
        sent = Sent("", body, f"key-{number}" if keyed else None)
        answer = self.world.front.post(URL, content=body, headers=sent.headers)
        assert answer.status_code == 202, answer.text
        self.sent.append(replace(sent, identity=answer.json()["id"]))

    @rule(back=BACK, changed=st.booleans())
    def repeat(self, back: int, changed: bool) -> None:
        sent = _back(self.sent, back)
        if sent.key is None and b"external_id" not in sent.body:
            return
        before, body = self._states(), sent.body
        if changed:
            body = json.dumps({**json.loads(body), "regulation": "ccpa"}).encode()
        answer = self.world.front.post(URL, content=body, headers=sent.headers)
        if changed:
            assert answer.status_code == (422 if sent.key else 409)
        else:
            assert answer.status_code == 202
            assert answer.json() == self.world.front.get(f"{URL}/{sent.identity}").json()
        assert self._states() == before

    @rule(back=BACK)
    def cancel(self, back: int) -> None:
        sent = _back(self.sent, back)
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
        choice=st.integers(0, 3),
        anyhow=st.sampled_from([None, None, None, None, "approve", "hold", "resume", "refuse"]),
        back=BACK,
        identity=st.booleans(),
    )
    def decide_on_the_whole(
        self, choice: int, anyhow: str | None, back: int, identity: bool
    ) -> None:
        """Where it may be done, it is; where it may not, nothing changes."""
        states = self._states()
        still_open = [one for one in self.sent if states[one.identity] not in ENDED]
        sent = _back(self.sent if anyhow or not still_open else still_open, back)
        action = anyhow or DECISIONS.get(states[sent.identity], OTHERWISE)[choice]
        body: dict[str, Any] | None = None
        if action == "refuse":
            body = {"reason_code": "legal_claims", "note": "stated by a test"}
        elif action == "hold":
            body = {"reason": "identity_question" if identity else "restriction"}
        elif action == "extend":
            body = {"reason": "complexity", "notified_at": self.world.now.isoformat()}
        before = dict(states)
        answer = self.world.front.post(f"{URL}/{sent.identity}/{action}", json=body)
        after = self._states()
        was, now = before.pop(sent.identity), after.pop(sent.identity)
        # 422: a clock that was put back shows a day before the person asked.
        if answer.status_code == 409 or (action == "extend" and answer.status_code == 422):
            assert (after, now) == (before, was)
            return
        assert answer.status_code == 202, answer.text
        allowed = {
            "approve": was == "awaiting_approval" and now not in ("awaiting_approval", "on_hold"),
            "hold": was not in ("on_hold", *ENDED) and now == "on_hold",
            "resume": was == "on_hold" and now != "on_hold",
            "refuse": was not in ENDED and now == "refused",
            "extend": was not in ENDED and now == was,
        }
        assert allowed[action], (was, now)
        for one, state in after.items():
            moved_on = state in ("scheduled", "running", "completed")
            assert state == before[one] or (moved_on and before[one] not in ENDED)

    @precondition(lambda self: self._undecided())
    @rule(action=st.sampled_from(["retry", "retry", "accept", "refuse"]), back=BACK)
    def decide(self, action: str, back: int) -> None:
        identity = _back(self._undecided(), back)
        items = self.world.front.get(f"{URL}/{identity}").json()["items"]
        waiting = [item for item in items if item["state"] in ("needs_decision", "failed")]
        body = {"item": _back(waiting, back)["id"], "action": action}
        if action == "refuse":
            body["reason_code"] = "legal_claims"
        before = self._states()
        answer = self.world.front.post(f"{URL}/{identity}/decide", json=body)
        assert answer.status_code in (202, 409), answer.text
        if answer.status_code == 409:
            assert self._states() == before

    # Registrations

    @rule(
        what=st.sampled_from(["version", "offer", "check", "model", "policy"]),
        model=st.integers(0, 2),
    )
    def register(self, what: str, model: int) -> None:
        if what in ("version", "offer"):
            self.world.offer_version(self.world.models[model])
        if what in ("version", "check"):
            self.world.check_version()
        if what == "model" and len(self.world.models) < 5:
            self.world.add_late_model()
        if what == "policy":
            self.world.ask_for_approval(self.world.models[model])

    # Workers

    @rule(worker=st.integers(0, 2), then=WORK)
    def claim(self, worker: int, then: list[str]) -> None:
        claim = self.world.hands[worker].claim(self.world.now)
        self._work_on(claim, then)

    @rule(worker=st.integers(0, 2), model=st.integers(0, 4), then=WORK)
    def claim_late(self, worker: int, model: int, then: list[str]) -> None:
        """Of a model that looked worth a claim some time ago."""
        models = self.world.models
        claim = self.world.claim_of(self.world.hands[worker], models[model % len(models)])
        self._work_on(claim, then)

    @precondition(lambda self: self.fences)
    @rule(back=BACK, steps=WORK)
    def work(self, back: int, steps: list[str]) -> None:
        """Whatever the worker believes of its run: it may have lost it long ago."""
        fence = _back(self.fences, back)
        for step in steps:
            self._as_holder(fence, step)

    @rule(worker=st.integers(0, 2), back=st.sampled_from([0, 0, 1, 2, 3, 7]), end=RECHECK)
    def recheck(self, worker: int, back: int, end: str | None) -> None:
        fence = self.world.hands[worker].claim_recheck(self.world.now)
        if fence is None:
            return
        self.rechecks.append(fence)
        if end is not None:
            self._as_rechecker(fence, end, back)

    @precondition(lambda self: self.rechecks)
    @rule(which=BACK, back=st.sampled_from([0, 1, 3, 7]), end=RECHECK)
    def recheck_late(self, which: int, back: int, end: str | None) -> None:
        """Whatever the worker believes: it may have lost the re-check long ago."""
        self._as_rechecker(_back(self.rechecks, which), end or "end_recheck", back)

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
            self._a_person_decides_everything()
            assert set(self._states().values()) <= set(ENDED)
            self.everything_holds()
            self.world.sequence()
            with self.world.runtime.database.read() as session:
                assert check(session).ok
        finally:
            self.world.close()

    def _a_person_decides_everything(self) -> None:
        """In favour of another attempt, one item after the other."""
        for identity, state in self._states().items():
            if state == "on_hold":
                self._must(identity, "resume")
        for identity, state in self._states().items():
            if state == "awaiting_approval":
                self._must(identity, "approve")
        self.world.let_faults_stop()
        for _ in range(100):
            undecided = self._undecided()
            if not undecided:
                return
            items = self.world.front.get(f"{URL}/{undecided[0]}").json()["items"]
            item = next(item for item in items if item["state"] in ("needs_decision", "failed"))
            answer = self.world.front.post(
                f"{URL}/{undecided[0]}/decide", json={"item": item["id"], "action": "retry"}
            )
            assert answer.status_code == 202, answer.text
            self.world.let_faults_stop()
        raise AssertionError("there was no end to it")

    def _must(self, identity: str, action: str) -> None:
        answer = self.world.front.post(f"{URL}/{identity}/{action}")
        assert answer.status_code == 202, answer.text

    def _work_on(self, claim: Claim | None, then: list[str]) -> None:
        if claim is not None:
            self.fences.append(claim.fence)
            for step in then:
                self._as_holder(claim.fence, step)

    def _as_holder(self, fence: Fence, step: str) -> None:
        """Succeeds for the attempt that holds the run, and changes nothing for any other."""
        holds = self.world.holds(fence)
        before = self._states()
        try:
            getattr(self.world, step)(fence)
        except LeaseLost:
            assert not holds
            assert self._states() == before
        else:
            assert holds

    def _as_rechecker(self, fence: RecheckFence, end: str, back: int) -> None:
        holds = self.world.holds_recheck(fence)
        before = self._states()
        try:
            if end == "end_recheck":
                self.world.end_recheck(fence, back)
            else:
                getattr(self.world, end)(fence)
        except LeaseLost:
            assert not holds
            assert self._states() == before
        else:
            assert holds

    def _undecided(self) -> list[str]:
        waiting = ("needs_decision", "failed")
        return [one for one, state in self._states().items() if state in waiting]

    def _states(self) -> dict[str, str]:
        with self.world.runtime.database.read() as session:
            rows = session.execute(select(ErasureRequest.id, ErasureRequest.state))
            return {request_id(identity): state for identity, state in rows}


@pytest.mark.timeout(int(os.environ.get("LOTUS_TEST_LIVES", "15")) * 30)
def test_no_interleaving_breaks_an_invariant(make_database: MakeDatabase) -> None:
    life = type("Life", (Life,), {"make_database": staticmethod(make_database)})
    run_state_machine_as_test(
        life,
        settings=settings(
            max_examples=int(os.environ.get("LOTUS_TEST_LIVES", "15")),
            stateful_step_count=40,
            deadline=None,
            derandomize="LOTUS_TEST_LIVES" not in os.environ,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
