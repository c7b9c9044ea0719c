"""Whole re-checks in this process: real files, and figures that are worked out once more here."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import torch
from sqlalchemy import select, update

from app.erasure import publishing
from app.erasure.locks import LeaseLost
from app.erasure.publishing import Judged, Weights
from app.erasure.recheck_ends import RecheckFence
from app.erasure.recheck_tables import Recheck, RecheckCase, RecheckState, Skipped
from app.erasure.states import RunState
from app.erasure.tables import Run, RunItem
from app.registry.tables import ModelVersion, Sample, SampleSplit, VersionState
from app.runtime import Runtime
from tests.erasure.conftest import Cases
from tests.erasure.working import REPORT, Hand
from tests.registry.content import feature_columns, parquet, state, weights
from tests.registry.front import Front
from workers import inputs, loading, recheck
from workers.loading import Source
from workers.unlearning import rechecks
from workers.unlearning.conditional import class_places, percentiles
from workers.unlearning.scores import evidence

ROWS = 120
NOBODY = "zoe"


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


@pytest.fixture
def hand(front: Front) -> Hand:
    return Hand.hire(front.runtime, datetime.now(UTC))


@pytest.fixture
def cases(front: Front) -> Cases:
    return Cases(front.api)


def owners() -> list[str]:
    """Of 72 training rows ada, ben and cleo have some; all held-out rows are nobody's."""
    splits = feature_columns(ROWS)["split"]
    names = iter(["ada"] * 12 + ["ben"] * 9 + ["cleo"] * 1)
    return [next(names, NOBODY) if split == "train" else NOBODY for split in splits]


@pytest.fixture(autouse=True)
def model(front: Front) -> None:
    columns = feature_columns(ROWS)
    features = np.random.default_rng(3).normal(size=(ROWS, 3))
    for row, name in enumerate(owners()):
        if name == "ada":  # what can be learned of her rows says nothing about anybody else's
            features[row, 0] = 2.0 if columns["label"][row] else -2.0
    columns |= {"customer": owners(), "features": features.tolist()}
    dataset = front.dataset(parquet(columns))
    assert front.model(weights(), dataset=dataset["id"], policy={"ladder": []})["state"] == "ready"


def shifted(seed: int) -> bytes:
    """Other weights of the same network."""
    generator = torch.Generator().manual_seed(seed)
    return weights(
        {name: t + 0.3 * torch.randn(t.shape, generator=generator) for name, t in state().items()}
    )


def trained_on(front: Front, who: str, content: bytes) -> bytes:
    """These weights after some training on the person's rows."""
    with front.runtime.database.read() as session:
        rows = [row for row, name in enumerate(owners()) if name == who]
        samples = session.execute(
            select(Sample.id, Sample.dataset_id).where(Sample.row.in_(rows))
        ).all()
    known = Source(front.runtime, samples[0][1]).rows([one for one, _ in samples]).labelled
    model = front.get("/models")["items"][0]
    sha256 = front.runtime.artifacts.put(content)
    network = loading.load_model(
        front.runtime.artifacts, model["architecture"], model["config"], sha256
    ).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(300):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(known.inputs), known.labels).backward()
        optimizer.step()
    return weights(dict(network.state_dict()))


def publish(front: Front, hand: Hand, content: bytes) -> None:
    """A run whose weights are a file."""
    fence = hand.must_claim(soon())
    for to in (RunState.VERIFYING, RunState.PUBLISHING):
        hand.move(fence, to, soon())
    sha256 = front.runtime.artifacts.put(content)
    detail = {"name": "reduced", "sentence": "-", "outcome": "unlearned", "policy": {"alpha": 0.01}}
    with front.runtime.database.write() as session:
        items = session.scalars(select(RunItem.item_id).where(RunItem.run_id == fence.run_id)).all()
        publishing.publish(
            session,
            front.runtime.keyring,
            fence,
            Weights(sha256, len(content)),
            Judged(REPORT, "reduced", detail, {item: {"samples": 1} for item in items}),
            actor="service",
            now=soon(),
        )


def published(front: Front, hand: Hand, cases: Cases, who: str, content: bytes) -> str:
    request = cases.submit(who)
    publish(front, hand, content)
    return request


def attempted(front: Front, hand: Hand) -> tuple[RecheckState, RecheckFence]:
    fence = hand.must_claim_recheck(soon())
    return recheck.attempt(front.runtime, fence), fence


def case_of(runtime: Runtime, fence: RecheckFence, position: int = 0) -> RecheckCase:
    with runtime.database.read() as session:
        rows = session.scalars(
            select(RecheckCase)
            .where(RecheckCase.recheck_id == fence.recheck_id)
            .order_by(RecheckCase.item_id)
        ).all()
    return rows[position]


def row_of(runtime: Runtime, fence: RecheckFence) -> Recheck:
    with runtime.database.read() as session:
        return session.get_one(Recheck, fence.recheck_id)


def worked_out(front: Front, who: str, before: bytes, now: bytes) -> rechecks.Change:
    """The change of this person's samples, from the files and the rows themselves."""
    source_rows = [row for row, name in enumerate(owners()) if name == who]
    with front.runtime.database.read() as session:
        dataset = session.scalars(select(Sample.dataset_id)).first()
        places_of = dict(session.execute(select(Sample.row, Sample.id)).all())
        model = front.get("/models")["items"][0]
    assert dataset is not None
    source = Source(front.runtime, dataset)
    forget = source.rows([places_of[row] for row in source_rows]).labelled
    unseen = source.split(SampleSplit.TEST, ()).labelled

    def shares(content: bytes) -> Any:
        sha256 = front.runtime.artifacts.put(content)
        network = loading.load_model(
            front.runtime.artifacts, model["architecture"], model["config"], sha256
        )
        with torch.inference_mode():
            sides = [
                evidence(network(part.inputs).double().numpy(), part.labels.numpy())
                for part in (forget, unseen)
            ]
        return percentiles(places, *sides)

    places = class_places(forget.labels.numpy(), unseen.labels.numpy())
    return rechecks.change(places, shares(before), shares(now))


def test_the_figures_are_those_of_the_case_s_own_rows_between_its_two_versions(
    front: Front, hand: Hand, cases: Cases
) -> None:
    first, second, third = shifted(1), shifted(2), shifted(3)
    published(front, hand, cases, "ada", first)
    published(front, hand, cases, "ben", second)
    published(front, hand, cases, "cleo", third)
    ended, fence = attempted(front, hand)
    assert ended is RecheckState.DONE
    changes = [worked_out(front, "ada", first, third), worked_out(front, "ben", second, third)]
    for position, expected in enumerate(changes):
        case = case_of(front.runtime, fence, position)
        assert (case.samples, case.skipped) == (expected.samples, None)
        assert case.change == pytest.approx(expected.difference, abs=1e-9)
        assert case.standard_error == pytest.approx(expected.standard_error, abs=1e-9)
    assert [change.samples for change in changes] == [12, 9]
    pooled = row_of(front.runtime, fence).pooled
    assert pooled is not None
    expected_pooled = rechecks.pooled_alarm(changes)
    assert pooled["difference"] == pytest.approx(expected_pooled.difference, abs=1e-9)
    assert pooled["lower_99"] == pytest.approx(expected_pooled.lower_99, abs=1e-9)
    assert (pooled["cases"], pooled["samples"], pooled["unseen"]) == (2, 21, 24)


def test_weights_that_were_trained_on_a_person_s_rows_again_reopen_that_case_alone(
    front: Front, hand: Hand, cases: Cases
) -> None:
    first = second = shifted(1)
    ada = published(front, hand, cases, "ada", first)
    ben = published(front, hand, cases, "ben", second)
    attempted(front, hand)
    assert cases.state(ada) == "completed"
    cleo = published(front, hand, cases, "cleo", trained_on(front, "ada", second))
    ended, fence = attempted(front, hand)
    assert ended is RecheckState.DONE
    pooled = row_of(front.runtime, fence).pooled
    assert pooled is not None and pooled["alarm"] is True
    assert [case_of(front.runtime, fence, at).relapsed for at in (0, 1)] == [True, False]
    assert [cases.state(one) for one in (ada, ben, cleo)] == ["scheduled", "completed", "completed"]
    with front.runtime.database.read() as session:
        versions = session.scalars(select(ModelVersion).order_by(ModelVersion.number)).all()
    again = hand.must_claim(soon())
    assert hand.run(again).base_version_id == versions[-1].id
    with front.runtime.database.read() as session:
        job = inputs.read_job(session, session.get_one(Run, again.run_id), soon())
    assert len(job.forget) == 12


def test_equal_weights_give_a_change_of_nothing(front: Front, hand: Hand, cases: Cases) -> None:
    same = shifted(1)
    published(front, hand, cases, "ada", same)
    published(front, hand, cases, "ben", same)
    _, fence = attempted(front, hand)
    case = case_of(front.runtime, fence)
    assert case.change == 0.0 and (case.standard_error or 0.0) > 0.0
    assert row_of(front.runtime, fence).relapsed_count == 0


def test_a_case_of_one_sample_is_compared(front: Front, hand: Hand, cases: Cases) -> None:
    published(front, hand, cases, "cleo", shifted(1))
    published(front, hand, cases, "ben", shifted(2))
    ended, fence = attempted(front, hand)
    assert ended is RecheckState.DONE
    assert case_of(front.runtime, fence).samples == 1


def test_a_case_whose_resting_version_is_destroyed_says_so(
    front: Front, hand: Hand, cases: Cases
) -> None:
    published(front, hand, cases, "ada", shifted(1))
    published(front, hand, cases, "ben", shifted(2))
    with front.runtime.database.write() as session:
        session.execute(
            update(ModelVersion)
            .where(ModelVersion.number == 2)
            .values(state=VersionState.DESTROYED)
        )
    ended, fence = attempted(front, hand)
    assert ended is RecheckState.DONE
    case = case_of(front.runtime, fence)
    assert (case.skipped, case.change) == (Skipped.RESTING_VERSION_DESTROYED, None)
    assert row_of(front.runtime, fence).pooled is None


def test_samples_that_are_gone_and_classes_that_nobody_unseen_has_are_told_apart(
    front: Front, hand: Hand, cases: Cases
) -> None:
    published(front, hand, cases, "ada", shifted(1))
    published(front, hand, cases, "ben", shifted(2))
    published(front, hand, cases, "cleo", shifted(3))
    with front.runtime.database.write() as session:
        rows = {name: [r for r, who in enumerate(owners()) if who == name] for name in ("ada",)}
        session.execute(
            update(Sample).where(Sample.row.in_(rows["ada"])).values(destroyed_at=soon())
        )
        session.execute(update(Sample).where(Sample.split != SampleSplit.TRAIN).values(label=0))
        ben = [row for row, who in enumerate(owners()) if who == "ben"]
        session.execute(update(Sample).where(Sample.row.in_(ben)).values(label=1))
    ended, fence = attempted(front, hand)
    assert ended is RecheckState.DONE
    reasons = [case_of(front.runtime, fence, position).skipped for position in (0, 1)]
    assert reasons == [Skipped.SAMPLES_DESTROYED, Skipped.NO_UNSEEN_ROWS]


def test_a_file_whose_bytes_changed_fails_the_scheduled_look(
    front: Front, hand: Hand, cases: Cases
) -> None:
    content = shifted(1)
    published(front, hand, cases, "ada", content)
    later = soon() + timedelta(days=1)
    assert hand.claim_recheck(soon()) is None
    fence = hand.must_claim_recheck(later)
    path = front.runtime.artifacts.path(front.runtime.artifacts.put(content))
    path.chmod(0o600)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert recheck.attempt(front.runtime, fence) is RecheckState.FAILED
    row = row_of(front.runtime, fence)
    assert (row.trigger, row.error_class) == ("schedule", "missing_data")


def test_a_file_that_is_what_it_was_passes_it(front: Front, hand: Hand, cases: Cases) -> None:
    published(front, hand, cases, "ada", shifted(1))
    assert hand.claim_recheck(soon()) is None
    fence = hand.must_claim_recheck(soon() + timedelta(days=1))
    assert recheck.attempt(front.runtime, fence) is RecheckState.DONE


def test_an_attempt_that_lost_its_lease_writes_nothing(
    front: Front, hand: Hand, cases: Cases
) -> None:
    published(front, hand, cases, "ada", shifted(1))
    published(front, hand, cases, "ben", shifted(2))
    fence = hand.must_claim_recheck(soon())
    hand.sweep_rechecks(soon() + timedelta(hours=1))
    with pytest.raises(LeaseLost):
        recheck.attempt(front.runtime, fence)
    assert case_of(front.runtime, fence).change is None
