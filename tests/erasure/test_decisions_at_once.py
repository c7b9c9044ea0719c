"""Two who decide about one request at the same moment: the later one sees what the earlier did."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.erasure import approving, arrivals, cancelling, extending, holding, leases, refusing
from app.erasure.decision_tables import ExtensionReason, HoldReason
from app.erasure.decisions import Decider
from app.erasure.locks import Fence, LeaseLost
from app.erasure.states import RunState
from app.erasure.tables import ErasureRequest, ReasonCode
from app.keys.tables import ApiKey
from app.registry.policy import Approval, Policy
from app.registry.tables import Dataset, Model
from app.runtime import Runtime
from tests.erasure.conftest import Cases
from tests.erasure.factories import add_model
from tests.erasure.test_arriving_versions import while_open
from tests.erasure.working import LEASE, Hand

Act = Callable[[Session, Runtime], Any]


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


def the_request(session: Session) -> ErasureRequest:
    return session.scalars(select(ErasureRequest)).one()


def decider(session: Session) -> Decider:
    return Decider(session.scalars(select(ApiKey.id)).first() or _no_key(), soon())


def _no_key() -> Any:
    raise AssertionError("the test has no key")


def approve(session: Session, runtime: Runtime) -> None:
    approving.approve(session, runtime.keyring, the_request(session), decider(session))


def cancel(session: Session, runtime: Runtime) -> None:
    cancelling.cancel(session, runtime.keyring, the_request(session), actor="operator", now=soon())


def refuse(session: Session, runtime: Runtime) -> None:
    reason = ReasonCode.LEGAL_CLAIMS
    refusing.refuse(session, runtime.keyring, the_request(session), reason, decider(session))


def hold(session: Session, runtime: Runtime) -> None:
    reason = HoldReason.IDENTITY_QUESTION
    holding.hold(session, runtime.keyring, the_request(session), reason, decider(session))


def resume(session: Session, runtime: Runtime) -> None:
    holding.resume(session, runtime.keyring, the_request(session), decider(session))


def extend(session: Session, runtime: Runtime) -> None:
    extending.extend(
        session,
        the_request(session),
        ExtensionReason.COMPLEXITY,
        decider(session),
        notified_at=datetime.now(UTC),
    )


def ask_for_approval(runtime: Runtime) -> None:
    with runtime.database.write() as session:
        asking = Policy(ladder=(), approval=Approval.ONE).model_dump(mode="json")
        session.scalars(select(Model)).one().policy = asking


ACTS: dict[str, Act] = {
    "approve": approve,
    "cancel": cancel,
    "refuse": refuse,
    "hold": hold,
    "resume": resume,
    "extend": extend,
}


@pytest.mark.parametrize(
    ("before", "first", "second", "code", "left"),
    [
        ("unapproved", "approve", "cancel", "", "cancelled"),
        ("unapproved", "cancel", "approve", "illegal-move", "cancelled"),
        ("unapproved", "approve", "approve", "illegal-move", "scheduled"),
        ("unapproved", "hold", "approve", "illegal-move", "on_hold"),
        ("unapproved", "refuse", "approve", "illegal-move", "refused"),
        ("scheduled", "hold", "hold", "illegal-move", "on_hold"),
        ("scheduled", "hold", "refuse", "", "refused"),
        ("scheduled", "refuse", "hold", "illegal-move", "refused"),
        ("scheduled", "refuse", "cancel", "illegal-move", "refused"),
        ("scheduled", "cancel", "refuse", "illegal-move", "cancelled"),
        ("scheduled", "extend", "extend", "already-extended", "scheduled"),
        ("scheduled", "cancel", "extend", "illegal-move", "cancelled"),
        ("held", "resume", "resume", "illegal-move", "scheduled"),
        ("held", "resume", "cancel", "", "cancelled"),
        ("held", "cancel", "resume", "illegal-move", "cancelled"),
        ("held", "refuse", "resume", "illegal-move", "refused"),
    ],
)
def test_of_two_decisions_at_once_one_comes_first(
    cases: Cases, runtime: Runtime, before: str, first: str, second: str, code: str, left: str
) -> None:
    if before == "unapproved":
        ask_for_approval(runtime)
    request = cases.submit("ada")
    if before == "held":
        cases.hold(request, "identity_question")
    answer = while_open(
        runtime.database,
        lambda session: ACTS[first](session, runtime),
        lambda: getattr(cases, second)(request),
    )
    if code:
        assert answer.status_code == 409, answer.text
        assert answer.json()["type"].endswith(f":{code}")
    else:
        assert answer.status_code == 202, answer.text
    assert cases.state(request) == left
    assert len(cases.get(request)["deadline"]["pauses"]) <= 1


def ready_to_publish(hand: Hand) -> Fence:
    fence = hand.must_claim(soon())
    hand.move(fence, RunState.VERIFYING, soon())
    hand.move(fence, RunState.PUBLISHING, soon())
    return fence


@pytest.mark.parametrize("decision", ["hold", "refuse"])
def test_a_run_that_publishes_at_that_moment_finds_that_it_lost_its_item(
    cases: Cases, hand: Hand, runtime: Runtime, decision: str
) -> None:
    request = cases.submit("ada")
    fence = ready_to_publish(hand)

    def publish() -> Any:
        with pytest.raises(LeaseLost), runtime.database.write() as session:
            hand.publish_in(session, fence, soon())

    while_open(runtime.database, lambda session: ACTS[decision](session, runtime), publish)
    assert cases.state(request) == {"hold": "on_hold", "refuse": "refused"}[decision]
    assert hand.run(fence).state is RunState.SUPERSEDED


@pytest.mark.parametrize("decision", ["hold", "refuse"])
def test_a_decision_on_what_is_published_at_that_moment_comes_too_late(
    cases: Cases, hand: Hand, runtime: Runtime, decision: str
) -> None:
    request = cases.submit("ada")
    fence = ready_to_publish(hand)
    answer = while_open(
        runtime.database,
        lambda session: hand.publish_in(session, fence, soon()),
        lambda: getattr(cases, decision)(request),
    )
    assert answer.status_code == 409
    assert answer.json()["type"].endswith(":illegal-move")
    assert cases.state(request) == "completed"
    assert cases.get(request)["decisions"] == []


def test_a_worker_that_claims_at_that_moment_gets_nothing_of_a_held_request(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    with runtime.database.read() as session:
        model = session.scalars(select(Model.id)).one()

    def claim() -> Any:
        with runtime.database.write() as session:
            return leases.claim(
                session, runtime.keyring, hand.worker, model, lease=LEASE, now=soon()
            )

    with runtime.database.write() as session:
        hold(session, runtime)
        if not runtime.database.is_sqlite:  # there no second writer gets so far
            assert claim() is None
    assert claim() is None
    assert cases.state(request) == "on_hold"


def test_a_request_that_is_claimed_at_that_moment_is_held_all_the_same_or_asked_for_again(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    with runtime.database.read() as session:
        model = session.scalars(select(Model.id)).one()

    def claim(session: Session) -> Any:
        return leases.claim(session, runtime.keyring, hand.worker, model, lease=LEASE, now=soon())

    answer = while_open(runtime.database, claim, lambda: cases.hold(request))
    if answer.status_code == 409:  # it had looked before the run was there
        assert answer.json()["type"].endswith(":changed-meanwhile")
        assert cases.state(request) == "running"
        answer = cases.hold(request)
    assert answer.json()["state"] == "on_hold"
    assert hand.claim(soon()) is None


@pytest.mark.parametrize("decision", ["hold", "refuse"])
def test_a_model_that_becomes_ready_at_that_moment_is_part_of_the_decision(
    cases: Cases, hand: Hand, runtime: Runtime, decision: str
) -> None:
    request = cases.submit("ada")
    with runtime.database.write() as session:
        model = add_model(session, session.scalars(select(Dataset)).one(), name="second")
    answer = while_open(
        runtime.database,
        lambda session: arrivals.model_ready(session, runtime.keyring, model, now=soon()),
        lambda: getattr(cases, decision)(request),
    )
    if answer.status_code == 409:
        assert answer.json()["type"].endswith(":changed-meanwhile")
        answer = getattr(cases, decision)(request)
    assert answer.status_code == 202
    assert len(cases.get(request)["items"]) == 2
    assert hand.claim(soon()) is None


def test_an_approval_at_the_moment_in_which_a_model_comes_that_asks_too_counts_for_it(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    ask_for_approval(runtime)
    request = cases.submit("ada")
    with runtime.database.write() as session:
        dataset = session.scalars(select(Dataset)).one()
        asking = Policy(ladder=(), approval=Approval.ONE)
        model = add_model(session, dataset, name="second", policy=asking)

    def becomes_ready() -> int:
        with runtime.database.write() as session:
            return arrivals.model_ready(session, runtime.keyring, model, now=soon())

    assert while_open(runtime.database, lambda one: approve(one, runtime), becomes_ready) == 1
    assert cases.state(request) == "scheduled"
