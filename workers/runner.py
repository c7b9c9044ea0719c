"""One run, from its claim to its publication: `python -m workers.runner RUN ATTEMPT`.

A process of its own, started by whoever claimed the run. Its exit says what became of the attempt:
0, the run's state tells; EXIT_LEASE_LOST, it was cancelled or taken over; anything else, a crash.
"""

import logging
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

import safetensors.torch
import torch
from torch import nn

from app import observability
from app.audit.kinds import worker_actor
from app.clock import utc_now
from app.config import Settings
from app.erasure import leases, publishing, rejecting
from app.erasure.locks import Fence, LeaseLost, fenced_run, held_run
from app.erasure.publishing import Judged, Weights
from app.erasure.states import RunState
from app.erasure.transitions import Cause, Event, move_run
from app.erasure.verdict import judge
from app.observability import fields
from app.registry.method_settings import RETRAIN
from app.registry.tables import Model
from app.runtime import Runtime
from app.version import code_version
from workers import failures, inputs, torch_device
from workers.heartbeat import EXIT_LEASE_LOST, Heartbeat
from workers.inputs import Inputs, Job
from workers.parent import end_with_parent
from workers.persistence import persist
from workers.unlearning import evaluation, verification
from workers.unlearning.execution import Execution
from workers.unlearning.methods import REGISTRY, Epoch, Method, rbm
from workers.unlearning.planning import paper_settings
from workers.unlearning.reader import require_proof
from workers.unlearning.reference import ReferenceCheck, reference_check
from workers.unlearning.settings import InvalidConfig, MethodConfig
from workers.unlearning.steering import plan_for

log = logging.getLogger("lotus.runner")

MOST_PARTS = 1_024  # the bound of `accumulate`


class Runner:
    """The steps of one attempt. Every write goes through the fence."""

    def __init__(self, runtime: Runtime, fence: Fence, moved: Callable[[], None]) -> None:
        """`moved` is called with every sign of progress."""
        self.runtime, self.fence, self.moved = runtime, fence, moved
        self.device = torch_device.choose(runtime.settings.device)
        self.job, self.actor = self._read()

    def run(self) -> RunState:
        job, policy = self.job, self.job.policy.verification
        self._progress("loading")
        given = inputs.gather(self.runtime, job, self.device)
        before = evaluation.observe(given.model, given.evaluation)
        last = self._unlearn(given)
        exact = job.method == RETRAIN
        # Without the proof there is no result: not even a candidate that a person could accept.
        proof = require_proof(last.served, *given.steering.row_ids()) if exact else None
        self._move(RunState.VERIFYING, Event.UNLEARNED)
        self._progress("verifying")
        after = evaluation.observe(given.model, given.evaluation)
        report = verification.verify(
            before,
            after,
            seed=job.seed,
            persons=given.persons,
            unseen_persons=given.unseen_persons,
            reference=_reference(given, job.seed),
            reference_auc=policy.reference_auc,
            reference_p=policy.reference_p,
            whole_classes=given.steering.whole_classes().cpu().numpy(),
        )
        figures = report.to_dict()
        if proof is not None:
            figures["exact_retraining"] = asdict(proof)
        judged, publish = self._judge(figures, report.plots.to_dict(), exact=exact)
        weights = self._store(given.model)
        if not publish:
            self._end(rejecting.reject, weights, judged)
            return RunState.REJECTED
        self._move(RunState.PUBLISHING, Event.VERIFIED)
        self._progress("publishing")
        state: RunState = self._end(publishing.publish, weights, judged)
        return state

    def _unlearn(self, given: Inputs) -> Epoch:
        """The method's last epoch."""
        method = _method(self.job)
        config = _config(method, self.job, given)
        planned = {name: value for name, value in config.to_dict().items() if name != "mode"}
        self._write(
            config=planned | {"execution": Execution.of(config, given.model).describe()},
            device=torch_device.name_of(self.device),
            code_version=code_version(),
        )
        generator = torch.Generator().manual_seed(self.job.seed)
        epochs: list[dict[str, Any]] = []
        for epoch in method.unlearn(given.model, given.steering, config, generator):
            # The proof of a retraining is in the report, once: it is large.
            epochs.append({k: v for k, v in asdict(epoch).items() if k != "served"})
            self._progress(
                "unlearning",
                epoch=epoch.number,
                planned_epochs=epoch.planned_epochs,
                epochs=epochs,
            )
        return epoch

    def _judge(
        self, report: dict[str, Any], plots: dict[str, Any], *, exact: bool
    ) -> tuple[Judged, bool]:
        policy = self.job.policy.verification
        runs = self.job.judged_runs + 1
        verdict = judge(report, policy, rung=self.job.rung, runs=runs, exact=exact)
        own: dict[UUID, dict[str, Any]] = {
            item: {"samples": len(self.job.forget & self.job.item_samples[item])}
            for item in self.job.items
        }
        for person in report["persons"]:
            figures = {name: value for name, value in person.items() if name != "person"}
            own[self.job.items[person["person"]]] |= figures
        for numbers in own.values():
            numbers |= {"verdict": verdict.name, "outcome": verdict.outcome}
        detail = asdict(verdict) | {
            "policy": policy.model_dump(),
            "rung": self.job.rung,
            "runs_in_30_days": runs,
        }
        return Judged(report, verdict.name, detail, own, plots), verdict.publish

    def _store(self, model: nn.Module) -> Weights:
        tensors = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
        content = safetensors.torch.save(tensors)
        return Weights(self.runtime.artifacts.put(content), len(content))

    def _end(self, finish: Callable[..., RunState | None], weights: Weights, judged: Judged) -> Any:
        """Tried again after a commit that got through, the fence no longer holds: LeaseLost, and
        the run's state tells."""

        def write() -> Any:
            with self.runtime.database.write() as session:
                return finish(
                    session,
                    self.runtime.keyring,
                    self.fence,
                    weights,
                    judged,
                    actor=self.actor,
                    now=utc_now(),
                )

        return self._persist(write)

    def _progress(self, phase: str, **values: Any) -> None:
        epochs = values.pop("epochs", None)
        columns: dict[str, Any] = {"progress": {"phase": phase, **values}}
        if epochs is not None:
            columns["epochs"] = epochs
        self._write(**columns)

    def _write(self, **columns: Any) -> None:
        def write() -> None:
            with self.runtime.database.write() as session:
                leases.write(session, self.fence, **columns)

        self._persist(write)
        self.moved()

    def _move(self, to: RunState, event: Event) -> None:
        def write() -> None:
            with self.runtime.database.write() as session:
                run = fenced_run(session, self.fence)
                if run.state is to:  # the last try got through after all
                    return
                controller = session.get_one(Model, run.model_id).controller_id
                cause = Cause(event, self.actor, utc_now())
                move_run(session, run, to, cause, controller=controller)

        self._persist(write)
        self.moved()

    def _persist(self, write: Callable[[], Any]) -> Any:
        """A database that is away for less than a lease costs no work."""
        return persist(write, seconds=self.runtime.settings.lease_seconds)

    def _read(self) -> tuple[Job, str]:
        """Nothing is locked: what changes meanwhile is caught by the next fenced write."""
        with self.runtime.database.read() as session:
            run = held_run(session, self.fence)
            assert run.worker_id is not None, "a leased run names its worker"
            return inputs.read_job(session, run, utc_now()), worker_actor(run.worker_id)


def main(arguments: list[str]) -> int:
    end_with_parent()
    # A deterministic run on a GPU needs it, and cuBLAS reads it when it is first used.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    settings = Settings()
    observability.configure(settings.log_level)
    if settings.torch_threads:
        torch.set_num_threads(settings.torch_threads)
    runtime = Runtime.open(settings)
    fence = Fence(UUID(hex=arguments[0]), int(arguments[1]))
    try:
        with Heartbeat(runtime, fence) as heartbeat:
            state = _attempt(runtime, fence, heartbeat.moved)
    except LeaseLost:
        log.info("lease lost", extra=fields(run=fence.run_id))
        return EXIT_LEASE_LOST
    log.info("run ended", extra=fields(run=fence.run_id, state=state))
    return 0


def _nobody_asks() -> None:
    """Nobody watches whether the run gets on."""


def _attempt(runtime: Runtime, fence: Fence, moved: Callable[[], None] = _nobody_asks) -> RunState:
    try:
        return Runner(runtime, fence, moved).run()
    except LeaseLost:
        raise
    except Exception as error:
        return failures.report(runtime, fence, error, now=utc_now())


def _method(job: Job) -> Method:
    try:
        return REGISTRY[job.method]
    except KeyError:
        raise InvalidConfig("method: the library has none of this name") from None


def _config(method: Method, job: Job, given: Inputs) -> MethodConfig:
    """The plan for these sizes, with what was asked for in place of what was planned."""
    config: MethodConfig = method.config_type.from_dict({**_planned(job, given), **job.settings})
    # Where the library could not halve by itself, because the whole process was ended.
    return replace(config, accumulate=min(config.accumulate << job.memory_faults, MOST_PARTS))


def _planned(job: Job, given: Inputs) -> dict[str, Any]:
    if job.method == "rbm":
        return rbm.plan(len(given.steering.retain)).to_dict()
    if job.method != "lotus":
        return {}  # its authors' settings; those of a retraining are all in the recipe
    if job.mode == "guided":
        return plan_for(given.steering, job.kind).to_dict()
    whole = given.steering.forgets_whole_classes()
    return paper_settings(job.kind, whole_classes=whole).to_dict() | {"mode": job.mode}


def _reference(given: Inputs, seed: int) -> ReferenceCheck:
    sets = given.evaluation
    forget, unseen = sets.forget, sets.test
    return reference_check(
        forget.inputs,
        forget.labels,
        unseen.inputs,
        unseen.labels,
        seed,
        view=sets.view,
        unseen_persons=given.unseen_persons,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
