"""What a controller may ask of this service alone, under its domain in `extensions`."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from app.erasure import closing, ended_links
from app.erasure.named_samples import NAMED_SAMPLES
from app.erasure.tables import ErasureRequest, ItemSample
from app.identities import DEFAULT_TYPE, IdentityFormat, value_sha256
from app.ids import model_id
from app.registry.tables import Dataset, Sample, SampleSubject
from app.runtime import Runtime
from tests.conftest import MakeKey
from tests.erasure.factories import add_dataset, add_model, people
from tests.erasure.working import Hand
from tests.opendsr.conftest import DOMAIN
from tests.opendsr.controller import V2, Controller, erasure

CANARY = "canary-5523"


def now() -> datetime:
    return datetime.now(UTC)


def own(**fields: Any) -> dict[str, Any]:
    return {"extensions": {DOMAIN: fields}}


def text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def rows_of(runtime: Runtime, customer: str, count: int) -> list[str]:
    """The sample ids of a customer's first rows: the factory counts rows, customer by customer."""
    with runtime.database.read() as session:
        (dataset,) = session.scalars(select(Dataset)).all()
        ring = runtime.keyring
        names = {
            ring.sample_ref(str(dataset.pseudonym_key_id), dataset.id, str(number)): str(number)
            for number in range(40)
        }
        hashed = value_sha256(DEFAULT_TYPE, customer, IdentityFormat.RAW)
        ref = ring.subject_ref(str(dataset.pseudonym_key_id), DEFAULT_TYPE, hashed)
        found = session.scalars(
            select(Sample.sample_ref)
            .join(SampleSubject, SampleSubject.sample_id == Sample.id)
            .where(SampleSubject.subject_ref == ref)
            .order_by(Sample.row)
        ).all()
        return [names[one] for one in found][:count]


def links(runtime: Runtime) -> int:
    with runtime.database.read() as session:
        return session.scalars(
            select(func.count())
            .select_from(SampleSubject)
            .where(SampleSubject.identity_type == NAMED_SAMPLES)
        ).one()


def requests(runtime: Runtime) -> int:
    with runtime.database.read() as session:
        return session.scalars(select(func.count()).select_from(ErasureRequest)).one()


WRONG: list[tuple[dict[str, Any], str]] = [
    *(({field: wrong}, field) for field in ("models", "sample_ids") for wrong in (7, "x", [], {})),
    *(({"models": wrong}, "models.0") for wrong in ([7], [None], [CANARY], ["mdl_1"])),
    ({"models": ["mdl_" + "0" * 32]}, "models.0 is not a ready model of yours"),
    *(({"sample_ids": [wrong]}, "sample_ids.0") for wrong in (7, None, "", "\ud800", "x" * 1001)),
    ({"sample_ids": ["x"] * 1001}, "sample_ids"),
    ({"sample_ids": [CANARY]}, "sample_ids.0 is not a training sample of yours"),
    *(({"legal_ground": wrong}, "legal_ground") for wrong in (7, "", CANARY, "Objection")),
    *(({"deadline": wrong}, "deadline") for wrong in (7, "", CANARY, "2026-03-02")),
    ({"deadline": "2026-01-01T00:00:00Z"}, "deadline has passed"),
    ({"deadline": "8999-12-31T23:59:59Z"}, "deadline lies after the legal date"),
    ({"deadline": "9999-12-31T23:59:59-23:59"}, "deadline must lie between the years"),
    *(({"dry_run": wrong}, "dry_run") for wrong in (0, 1, "true", "yes", [], {}, None)),
    ({CANARY: 1}, "unknown field"),
]


def test_what_cannot_be_used_is_named_and_not_repeated(controller: Controller) -> None:
    for fields, said in WRONG:
        answer = controller.post(controller.person(**own(**fields)))
        assert answer.status == 400, (fields, answer.raw)
        assert said in answer.said, (fields, answer.raw)
        assert f"extensions.{DOMAIN}" in answer.said
        assert CANARY not in answer.raw.decode()


@pytest.mark.parametrize("wrong", [7, "x", [], True])
def test_our_part_of_the_extensions_must_be_an_object(controller: Controller, wrong: Any) -> None:
    answer = controller.post(controller.person(extensions={DOMAIN: wrong}))
    assert answer.status == 400
    assert f"extensions.{DOMAIN}" in answer.said


def test_our_domain_is_found_in_whatever_case_and_nothing_there_is_asked_for(
    controller: Controller,
) -> None:
    assert controller.post(controller.person(extensions={DOMAIN: None})).status == 201
    upper = controller.person(extensions={DOMAIN.upper(): {"legal_ground": "wrong"}})
    assert controller.post(upper).status == 400


def test_only_the_models_that_are_named_are_concerned(
    controller: Controller, runtime: Runtime
) -> None:
    with runtime.database.write() as session:
        dataset = session.scalars(select(Dataset)).one()
        other = model_id(add_model(session, dataset, name="other").id)
    identity = controller.accepted(controller.person(**own(models=[other])))
    found = controller.own(controller.status(identity))["models"]
    assert [one["id"] for one in found] == [other]


def test_the_legal_ground_is_kept_with_the_case(controller: Controller) -> None:
    identity = controller.accepted(controller.person(**own(legal_ground="objection")))
    shown = controller.client.get("/api/v1/erasure-requests", params={"external_id": identity})
    assert shown.json()["items"][0]["legal_ground"] == "objection"


def test_a_deadline_is_what_is_expected_and_what_work_is_ordered_by(
    controller: Controller, runtime: Runtime, hand: Hand
) -> None:
    with runtime.database.write() as session:
        dataset = session.scalars(select(Dataset)).one()
        later = model_id(add_model(session, dataset, name="second").id)
        first = model_id(add_model(session, dataset, name="third").id)
    recent, soon = text(now() - timedelta(days=1)), text(now() + timedelta(days=2))
    controller.accepted(controller.person(submitted_time=recent, **own(models=[later])))
    body = controller.person(submitted_time=recent, **own(models=[first], deadline=soon))
    answer = controller.post(body)
    assert answer.body["expected_completion_time"] == soon
    identity = body["subject_request_id"]
    assert controller.status(identity)["expected_completion_time"] == soon
    hand.must_claim(now())
    assert controller.status(identity)["request_status"] == "in_progress"


def test_a_dry_run_says_what_would_be_done_and_stores_nothing(
    controller: Controller, runtime: Runtime
) -> None:
    body = controller.person(**own(dry_run=True))
    before = requests(runtime)
    answer = controller.post(body)
    assert answer.status == 200
    assert answer.body["subject_request_id"] == body["subject_request_id"]
    said = controller.own(answer.body)
    assert (said["dry_run"], said["state"]) == (True, "scheduled")
    assert [one["forget_count"] for one in said["models"]] == [4]
    nobody = controller.own(controller.post(controller.nobody(**own(dry_run=True))).body)
    assert (nobody["state"], nobody["outcome"]) == ("completed", "no_match")
    assert requests(runtime) == before
    assert controller.get(body["subject_request_id"]).status == 404
    assert controller.post(body | {"extensions": None}).status == 201


def test_a_dry_run_refuses_what_a_request_would_be_refused_for(controller: Controller) -> None:
    body = controller.person(**own(dry_run=True, models=["mdl_" + "0" * 32]))
    assert controller.post(body).status == 400


def test_samples_are_unlearned_by_their_ids_without_any_identity(
    controller: Controller, runtime: Runtime, hand: Hand
) -> None:
    wanted = [*rows_of(runtime, "ada", 1), *rows_of(runtime, "ben", 2)]
    body = erasure(subject_identities=..., **own(sample_ids=[*wanted, wanted[0]]))
    first = controller.post(body)
    assert first.status == 201, first.raw
    identity = body["subject_request_id"]
    assert controller.post(body).raw == first.raw
    hand.publish(hand.must_claim(now()), now())
    done = controller.status(identity)
    assert (done["request_status"], done["results_count"]) == ("completed", 3)
    with runtime.database.read() as session:
        assert session.scalars(select(func.count()).select_from(ItemSample)).one() == 3


def test_samples_and_identities_are_unlearned_together(
    controller: Controller, runtime: Runtime
) -> None:
    body = controller.person(**own(sample_ids=rows_of(runtime, "ben", 2), dry_run=True))
    said = controller.own(controller.post(body).body)
    assert [one["forget_count"] for one in said["models"]] == [6]
    assert links(runtime) == 0


def test_samples_that_no_model_was_trained_on_are_refused_and_nothing_is_linked(
    controller: Controller, runtime: Runtime, make_key: MakeKey
) -> None:
    with runtime.database.write() as session:
        elsewhere = add_dataset(runtime, session, people(eve=2), controller="other")
        add_model(session, elsewhere)
        held_out = session.scalars(
            select(Sample.row).where(Sample.split == "test").order_by(Sample.id)
        ).first()
    good = "0"  # ada's first
    for wrong in ("9999", str(held_out)):
        body = erasure(subject_identities=..., **own(sample_ids=[good, wrong]))
        answer = controller.post(body)
        assert (answer.status, answer.reason) == (400, "unknown-sample")
        assert "sample_ids.1" in answer.said and "sample_ids.0" not in answer.said
    assert links(runtime) == 0


def test_the_links_of_samples_go_when_a_cancelled_request_is_cut(
    controller: Controller, runtime: Runtime
) -> None:
    body = erasure(subject_identities=..., **own(sample_ids=["0", "1"]))
    assert controller.delete(controller.accepted(body)).status == 202
    assert links(runtime) == 2
    later = now() + timedelta(days=31)
    with runtime.database.write() as session:
        (case,) = ended_links.over(session, now=later)
        assert ended_links.cut(session, case, now=later)
    assert links(runtime) == 0


def test_a_closed_case_of_samples_leaves_nothing_of_them_and_the_rest_of_their_persons(
    controller: Controller, runtime: Runtime, hand: Hand
) -> None:
    body = erasure(subject_identities=..., **own(sample_ids=rows_of(runtime, "ada", 2)))
    identity = controller.accepted(body)
    hand.publish(hand.must_claim(now()), now())
    hand.recheck_all(now() + timedelta(days=1))
    later = now() + timedelta(days=8)
    with runtime.database.write() as session:
        (case,) = closing.due(session, later, closed=False)
        assert isinstance(case, UUID)
        assert closing.close(
            session, runtime.keyring, case, suppressed_for=timedelta(days=1), now=later
        )
    assert links(runtime) == 0
    with runtime.database.read() as session:
        gone = session.scalars(
            select(func.count()).select_from(Sample).where(Sample.destroyed_at.is_not(None))
        ).one()
    assert gone == 2
    assert controller.status(identity)["request_status"] == "completed"
    answer = controller.call("GET", f"{V2}/status/{identity}")
    assert answer.body["results_count"] == 2
