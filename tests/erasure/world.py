"""A whole service without processes: its HTTP front, its workers, and a clock that a test moves."""

import shutil
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from fastapi.testclient import TestClient
from sqlalchemy import event, func, select

from app.audit.sequencer import sequence
from app.config import Settings
from app.erasure import arrivals, breaker, leases, publishing, recheck_leases, rechecks, rejecting
from app.erasure.failing import Fault
from app.erasure.leases import Claim
from app.erasure.locks import Fence
from app.erasure.recheck_ends import RecheckFence
from app.erasure.recheck_tables import Recheck, RecheckState
from app.erasure.states import KEPT_BACK, LEASED_RUN, LIVE_RUN, ItemState, RunState
from app.erasure.tables import ErasureItem, ErasureRequest, ErrorClass, Run
from app.http.sessions import present
from app.ids import model_id, new_id, version_id
from app.keys import service as keys
from app.keys.scopes import ALL_SCOPES
from app.registry import checks
from app.registry.policy import Approval, Policy
from app.registry.tables import (
    Dataset,
    Model,
    ModelVersion,
    Sample,
    SampleSplit,
    SampleSubject,
    VersionState,
)
from app.runtime import Runtime
from tests.apps import app_for
from tests.databases import MakeDatabase, fleet_settings
from tests.erasure.factories import START, add_artifact, add_dataset, add_model, people, train
from tests.erasure.working import LEASE, Hand

URL = "/api/v1/erasure-requests"
CUSTOMERS = ("ada", "ben", "cleo", "dora", "eve", "nobody")


def _without_waiting_for_the_disk(connection: Any, record: object) -> None:
    connection.execute("PRAGMA synchronous = OFF")


class World:
    """Three models over two datasets. Ada and Ben share a sample; Eve has held-out rows only."""

    def __init__(self, make_database: MakeDatabase) -> None:
        self._made = make_database()
        database = self._made.__enter__()
        self._folder = Path(tempfile.mkdtemp(prefix="lotus-world-"))
        fleet = {"database_url": str(database.url)} if database.is_sqlite else {}
        settings = Settings(data_dir=self._folder, **(fleet or fleet_settings(database)))
        self.now = self._latest = START
        self._app = app_for(settings)
        app = self._app.__enter__()
        app.dependency_overrides[present] = lambda: self.now
        self.runtime: Runtime = app.state.runtime
        if database.is_sqlite:
            event.listen(self.runtime.database.engine, "connect", _without_waiting_for_the_disk)
        self.front = TestClient(app, headers={"Authorization": f"Bearer {self._key()}"})
        self.front.__enter__()
        self.hands = [Hand.hire(self.runtime, self.now) for _ in range(3)]
        self.first: dict[str, str] = {}
        self.models = self._register()

    def close(self) -> None:
        self.front.__exit__(None, None, None)
        self._app.__exit__(None, None, None)
        shutil.rmtree(self._folder)
        self._made.__exit__(None, None, None)

    def _key(self) -> str:
        with self.runtime.database.write() as session:
            owner = keys.ensure_controller(session, keys.DEFAULT_CONTROLLER, now=self.now)
            _, plaintext = keys.create_key(
                session,
                self.runtime.keyring,
                controller=owner.id,
                name="test",
                scopes=ALL_SCOPES,
                actor="operator",
                now=self.now,
            )
        return plaintext

    def _register(self) -> list[UUID]:
        held_out = {"eve": {SampleSplit.TEST: 2}}
        everybody = people(ada=3, ben=2, cleo=2, dora=1) | held_out
        everybody["cleo"] = {**train(2), SampleSplit.VALIDATION: 1}
        with self.runtime.database.write() as session:
            large = add_dataset(self.runtime, session, everybody, name="large")
            small = add_dataset(self.runtime, session, people(ada=2, dora=2), name="small")
            self._share(session, large.id)
            made = [
                add_model(session, large, name="first"),
                add_model(session, large, name="second"),
                add_model(session, small, name="third"),
            ]
            for version in session.scalars(select(ModelVersion)):
                self.first[model_id(version.model_id)] = version_id(version.id)
        return [model.id for model in made]

    def _share(self, session: Any, dataset: UUID) -> None:
        """Ben is seen in Ada's first sample as well."""
        rows = session.scalars(
            select(SampleSubject)
            .join(Sample, Sample.id == SampleSubject.sample_id)
            .where(Sample.dataset_id == dataset)
            .order_by(Sample.id)
        ).all()
        session.add(
            SampleSubject(
                sample_id=rows[0].sample_id,
                subject_ref=rows[3].subject_ref,
                identity_type=rows[3].identity_type,
                key_id=rows[3].key_id,
            )
        )

    def move_clock(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self._latest = max(self._latest, self.now)

    def holds(self, fence: Fence) -> bool:
        """Whether this attempt is the one that the run belongs to."""
        with self.runtime.database.read() as session:
            run = session.get_one(Run, fence.run_id)
            return run.attempt == fence.attempt and run.state in LEASED_RUN

    def claim_of(self, hand: Hand, model: UUID) -> Claim | None:
        """By a worker that found the model some time ago: what it saw may no longer be so."""
        with self.runtime.database.write() as session:
            return leases.claim(
                session, self.runtime.keyring, hand.worker, model, lease=LEASE, now=self.now
            )

    def go_on(self, fence: Fence) -> None:
        """One step towards the end, which a worker that lost its run may try as well."""
        state = self.hands[0].run(fence).state
        if state is RunState.PUBLISHING and self.holds(fence):
            return
        following = {
            RunState.RUNNING: RunState.VERIFYING,
            RunState.VERIFYING: RunState.PUBLISHING,
        }
        self.hands[0].move(fence, following.get(state, RunState.VERIFYING), self.now)

    def publish(self, fence: Fence) -> None:
        while self.holds(fence) and self.hands[0].run(fence).state is not RunState.PUBLISHING:
            self.go_on(fence)
        hand, now = self.hands[0], self.now
        hand.end(publishing.publish, fence, now, "new", "within_margin", "unlearned")

    def reject(self, fence: Fence) -> None:
        """Before it came to publishing; afterwards a verdict is no longer asked for."""
        if self.holds(fence):
            state = self.hands[0].run(fence).state
            if state is RunState.PUBLISHING:
                return
            if state is RunState.RUNNING:
                self.go_on(fence)
        hand, now = self.hands[0], self.now
        hand.end(rejecting.reject, fence, now, "candidate", "distinguishable", None)

    def holds_recheck(self, fence: RecheckFence) -> bool:
        with self.runtime.database.read() as session:
            recheck = session.get_one(Recheck, fence.recheck_id)
            return recheck.attempt == fence.attempt and recheck.state is RecheckState.RUNNING

    def end_recheck(self, fence: RecheckFence, back: int) -> None:
        """`back` picks the cases that relapsed, a bit for each."""
        cases = self.hands[0].cases_of(fence)
        relapsed = [case for number, case in enumerate(cases) if back >> number & 1]
        self.hands[0].end_recheck(fence, self.now, relapsed=relapsed)

    def crash_recheck(self, fence: RecheckFence) -> None:
        with self.runtime.database.write() as session:
            recheck_leases.give_back(
                session, fence, error_class=ErrorClass.CRASHED, detail="by a test", now=self.now
            )

    def put_recheck_down(self, fence: RecheckFence) -> None:
        with self.runtime.database.write() as session:
            recheck_leases.put_down(session, fence)

    def renew(self, fence: Fence) -> None:
        with self.runtime.database.write() as session:
            leases.renew(session, fence, lease=LEASE, now=self.now)

    def progress(self, fence: Fence) -> None:
        with self.runtime.database.write() as session:
            leases.write(session, fence, progress={"epoch": 1})

    def put_down(self, fence: Fence) -> None:
        with self.runtime.database.write() as session:
            leases.put_down(session, fence, actor="service", now=self.now)

    def crash(self, fence: Fence) -> None:
        self._end_badly(
            leases.give_back, fence, error_class=ErrorClass.OUT_OF_MEMORY, detail="stated by a test"
        )

    def fail(self, fence: Fence) -> None:
        """A fault that may be of one item's making."""
        fault = Fault(ErrorClass.NUMERICAL, "stated by a test", apart=True)
        self._end_badly(leases.fail, fence, fault=fault)

    def _end_badly(self, end: Callable[..., Any], fence: Fence, **fault: Any) -> None:
        with self.runtime.database.write() as session:
            end(session, self.runtime.keyring, fence, **fault, actor="service", now=self.now)

    def offer_version(self, model: UUID) -> None:
        """Trained elsewhere and uploaded; nobody has read it yet."""
        with self.runtime.database.write() as session:
            highest = session.scalar(
                select(func.max(ModelVersion.number)).where(ModelVersion.model_id == model)
            )
            identity = new_id()
            session.add(
                ModelVersion(
                    id=identity,
                    model_id=model,
                    number=(highest or 0) + 1,
                    lineage_id=identity,
                    artifact_sha256=add_artifact(session, f"{identity}"),
                    state=VersionState.CHECKING,
                    created_at=self.now,
                )
            )

    def check_version(self) -> None:
        """A worker reads the oldest offered version and finds it good."""
        with self.runtime.database.write() as session:
            check = checks.take_version(session, now=self.now, lease=LEASE)
        if check is None:
            return
        with self.runtime.database.write() as session:
            version = checks.end_version_ready(session, check, now=self.now)
            arrivals.version_ready(session, self.runtime.keyring, version, now=self.now)

    def add_late_model(self) -> None:
        """Registered after the requests that concern it."""
        with self.runtime.database.write() as session:
            first = session.get_one(Model, self.models[0])
            dataset = session.get_one(Dataset, first.dataset_id)
            policy = Policy.model_validate(first.policy)  # whether it asks for approval, too
            model = add_model(session, dataset, name=f"{new_id()}", policy=policy)
            version = session.scalars(
                select(ModelVersion).where(ModelVersion.model_id == model.id)
            ).one()
            self.first[model_id(model.id)] = version_id(version.id)
            arrivals.model_ready(session, self.runtime.keyring, model, now=self.now)
        self.models.append(model.id)

    def ask_for_approval(self, model: UUID) -> None:
        """Of what is submitted from now on; asked for before, it is asked for no more."""
        with self.runtime.database.write() as session:
            row = session.get_one(Model, model)
            policy = Policy.model_validate(row.policy)
            asked = Approval.ONE if policy.approval is Approval.NONE else Approval.NONE
            row.policy = policy.model_copy(update={"approval": asked}).model_dump(mode="json")

    def sweep(self) -> None:
        self.hands[0].sweep(self.now)
        self.hands[0].sweep_rechecks(self.now)

    def sequence(self) -> None:
        with self.runtime.database.write() as session:
            sequence(session, now=self.now)

    def let_faults_stop(self) -> None:
        """Workers that no longer crash, and time enough: the longest pause of a model is over."""
        self.now = self._latest
        for _ in range(60):
            self.move_clock(int(breaker.LONGEST_PAUSE.total_seconds()))
            self.sweep()
            self.check_version()
            self.hands[0].recheck_all(self.now)
            claim = self.hands[0].claim(self.now)
            if claim is not None:
                self.hands[0].publish(claim.fence, self.now)
            elif not self._anything_left():
                return
        raise AssertionError("it never came to rest")

    def _anything_left(self) -> bool:
        with self.runtime.database.read() as session:
            checking = select(ModelVersion.id).where(ModelVersion.state == VersionState.CHECKING)
            live = select(Run.id).where(Run.state.in_(LIVE_RUN))
            waiting = (
                select(ErasureItem.id)
                .join(ErasureRequest, ErasureRequest.id == ErasureItem.request_id)
                .where(
                    ErasureItem.state == ItemState.SCHEDULED,
                    ErasureRequest.state.not_in(KEPT_BACK),
                )
            )
            left = any(session.scalar(query.limit(1)) for query in (checking, live, waiting))
            return left or bool(rechecks.candidates(session, now=self.now))
