"""A worker's part of a run without the computing: claims, and ends with given figures."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.erasure import leases, publishing, queue, recheck_ends, recheck_leases, rechecks, rejecting
from app.erasure.leases import Claim
from app.erasure.locks import Fence, fenced_run
from app.erasure.publishing import Judged, Weights
from app.erasure.recheck_ends import Compared, Found, Pooled, RecheckFence
from app.erasure.recheck_tables import RecheckCase, RecheckState, Skipped
from app.erasure.states import RunState
from app.erasure.tables import Run, RunItem
from app.erasure.transitions import Cause, Event, move_run
from app.erasure.worker_tables import Worker
from app.registry.tables import Model
from app.runtime import Runtime
from tests.erasure.factories import digest

LEASE = timedelta(seconds=60)
REPORT: dict[str, Any] = {
    "sizes": {"n_f": 4, "n_u": 12, "delta_plan": 0.5},
    "scores": None,
    "accuracy": {},
    "persons": [],
}
# As a run with nothing to compare has them; those of real runs are in tests/workers.
PLOTS: dict[str, Any] = {
    "entropy": None,
    "roc": None,
    "rf_jsd": None,
    "reasons": {"entropy": "Stated by a test.", "roc": "The same.", "rf_jsd": "The same."},
}


@dataclass
class Hand:
    """One worker, moved by the test."""

    runtime: Runtime
    worker: UUID

    @classmethod
    def hire(cls, runtime: Runtime, now: datetime) -> "Hand":
        with runtime.database.write() as session:
            worker = Worker(name="hand", heartbeat_at=now, started_at=now)
            session.add(worker)
        return cls(runtime, worker.id)

    def claim(self, now: datetime, *, coalesce: float = 0.0) -> Claim | None:
        """As the worker loop does: one model after the other, until one gives a run."""
        window = timedelta(seconds=coalesce)
        with self.runtime.database.read() as session:
            candidates = queue.candidates(session, coalesce=window, now=now)
        for candidate in candidates:
            with self.runtime.database.write() as session:
                claim = leases.claim(
                    session,
                    self.runtime.keyring,
                    self.worker,
                    candidate.model_id,
                    lease=LEASE,
                    now=now,
                )
            if claim is not None:
                return claim
        return None

    def must_claim(self, now: datetime) -> Fence:
        claim = self.claim(now)
        assert claim is not None
        return claim.fence

    def sweep(self, now: datetime) -> int:
        """As the worker loop does: each expired run in a transaction of its own."""
        with self.runtime.database.read() as session:
            expired = leases.expired(session, now=now)
        taken_back = 0
        for fence in expired:
            with self.runtime.database.write() as session:
                taken_back += leases.take_back(session, self.runtime.keyring, fence, now=now)
        return taken_back

    def move(self, fence: Fence, to: RunState, now: datetime) -> None:
        with self.runtime.database.write() as session:
            run = fenced_run(session, fence)
            controller = session.get_one(Model, run.model_id).controller_id
            cause = Cause(Event.UNLEARNED, "service", now)
            move_run(session, run, to, cause, controller=controller)

    def publish(self, fence: Fence, now: datetime, *, weights: str = "new") -> RunState:
        self.move(fence, RunState.VERIFYING, now)
        self.move(fence, RunState.PUBLISHING, now)
        return self.end(publishing.publish, fence, now, weights, "within_margin", "unlearned")

    def reject(self, fence: Fence, now: datetime) -> None:
        self.move(fence, RunState.VERIFYING, now)
        self.end(rejecting.reject, fence, now, "candidate", "distinguishable", None)

    def end(
        self,
        finish: Any,
        fence: Fence,
        now: datetime,
        weights: str,
        verdict: str,
        outcome: str | None,
    ) -> Any:
        with self.runtime.database.write() as session:
            return self.end_in(session, finish, fence, now, weights, verdict, outcome)

    def publish_in(self, session: Session, fence: Fence, now: datetime) -> RunState:
        """The last step alone, in a transaction that the test ends."""
        state: RunState = self.end_in(
            session, publishing.publish, fence, now, "new", "within_margin", "unlearned"
        )
        return state

    def end_in(
        self,
        session: Session,
        finish: Any,
        fence: Fence,
        now: datetime,
        weights: str,
        verdict: str,
        outcome: str | None,
    ) -> Any:
        detail = {
            "name": verdict,
            "sentence": "Stated by a test.",
            "outcome": outcome,
            "policy": {"delta_auc": 0.1},
        }
        items = session.scalars(select(RunItem.item_id).where(RunItem.run_id == fence.run_id)).all()
        persons = {item: {"samples": 1, "outcome": outcome} for item in items}
        return finish(
            session,
            self.runtime.keyring,
            fence,
            Weights(digest(f"{fence.run_id}/{weights}"), 10),
            Judged(REPORT, verdict, detail, persons, PLOTS),
            actor="service",
            now=now,
        )

    def claim_recheck(self, now: datetime) -> RecheckFence | None:
        with self.runtime.database.read() as session:
            candidates = rechecks.candidates(session, now=now)
        for candidate in candidates:
            with self.runtime.database.write() as session:
                claim = recheck_leases.claim(
                    session, self.worker, candidate.model_id, lease=LEASE, now=now
                )
            if claim is not None:
                return claim.fence
        return None

    def must_claim_recheck(self, now: datetime) -> RecheckFence:
        fence = self.claim_recheck(now)
        assert fence is not None
        return fence

    def cases_of(self, fence: RecheckFence) -> list[UUID]:
        """The items of the re-check, in the order of their acceptance."""
        with self.runtime.database.read() as session:
            return list(
                session.scalars(
                    select(RecheckCase.item_id)
                    .where(RecheckCase.recheck_id == fence.recheck_id)
                    .order_by(RecheckCase.item_id)
                )
            )

    def end_recheck(
        self,
        fence: RecheckFence,
        now: datetime,
        *,
        relapsed: Collection[UUID] = (),
        skipped: Collection[UUID] = (),
    ) -> RecheckState:
        """As a worker would that had found these items to know their samples again."""
        cases = self.cases_of(fence)
        compared = {
            item: Compared(4, 0.3, 0.05, 0.001, 0.002, True)
            if item in relapsed
            else Compared(4, 0.01, 0.05, 0.4, 0.5, False)
            for item in cases
            if item not in skipped
        }
        pooled = Pooled(0.1, 0.02, 0.05, bool(relapsed), len(compared), 4, 12)
        found = Found(
            pooled if compared else None,
            compared,
            dict.fromkeys(skipped, Skipped.RESTING_VERSION_DESTROYED),
        )
        with self.runtime.database.write() as session:
            return recheck_ends.finish(
                session, self.runtime.keyring, fence, found, actor="service", now=now
            )

    def recheck_all(self, now: datetime) -> int:
        """Every re-check that is due finds that nothing came back; returns how many there were."""
        done = 0
        while (fence := self.claim_recheck(now)) is not None:
            self.end_recheck(fence, now)
            done += 1
        return done

    def sweep_rechecks(self, now: datetime) -> int:
        with self.runtime.database.read() as session:
            expired = recheck_leases.expired(session, now=now)
        taken_back = 0
        for fence in expired:
            with self.runtime.database.write() as session:
                taken_back += recheck_leases.take_back(session, fence, now=now)
        return taken_back

    def run(self, fence: Fence) -> Run:
        with self.runtime.database.read() as session:
            return session.get_one(Run, fence.run_id)
