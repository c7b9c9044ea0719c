"""What a re-check computes: each case on the current version against the version it rests on.

Both versions are asked about the same rows, the case's training samples and unseen ones that no run
was steered by: the test set. Nothing of a person is kept but the figures.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import torch
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.erasure import subjects
from app.erasure.recheck_ends import Compared, Found, Pooled
from app.erasure.recheck_tables import Recheck, RecheckCase, Skipped
from app.erasure.tables import ItemSample
from app.registry.tables import Model, ModelVersion, Sample, SampleSplit, VersionState
from app.runtime import Runtime
from workers import loading
from workers.inputs import held_out
from workers.loading import Loaded, Source
from workers.unlearning import rechecks
from workers.unlearning.conditional import Floats, Percentiles, class_places, percentiles
from workers.unlearning.evaluation import predict
from workers.unlearning.rechecks import Change
from workers.unlearning.scores import evidence

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Case:
    """`resting` is the file of the version that it rests on; None if its weights are destroyed."""

    samples: frozenset[int]
    resting: str | None


@dataclass(frozen=True)
class RecheckJob:
    """The re-check as the database describes it, read in one short session."""

    architecture: str
    architecture_config: Mapping[str, Any]
    normalization: Mapping[str, Any] | None
    dataset_id: UUID
    current: str
    cases: Mapping[UUID, Case]  # by item
    excluded: frozenset[int]


def read_job(session: Session, model: Model, recheck: Recheck) -> RecheckJob:
    resting = {
        item: None if state is VersionState.DESTROYED else sha256
        for item, state, sha256 in session.execute(
            select(RecheckCase.item_id, ModelVersion.state, ModelVersion.artifact_sha256)
            .join(ModelVersion, ModelVersion.id == RecheckCase.resting_version_id)
            .where(RecheckCase.recheck_id == recheck.id)
        )
    }
    samples: dict[UUID, set[int]] = {item: set() for item in resting}
    for item, sample in session.execute(
        select(ItemSample.item_id, ItemSample.sample_id)
        .join(RecheckCase, RecheckCase.item_id == ItemSample.item_id)
        .join(Sample, Sample.id == ItemSample.sample_id)
        .where(
            RecheckCase.recheck_id == recheck.id,
            Sample.split == SampleSplit.TRAIN,
            Sample.destroyed_at.is_(None),
        )
    ):
        samples[item].add(sample)
    return RecheckJob(
        architecture=model.architecture,
        architecture_config=model.architecture_config,
        normalization=model.normalization,
        dataset_id=model.dataset_id,
        current=session.get_one(ModelVersion, recheck.version_id).artifact_sha256,
        cases={item: Case(frozenset(samples[item]), resting[item]) for item in sorted(resting)},
        excluded=frozenset(subjects.excluded_samples(session, model.id, model.dataset_id)),
    )


def compare(
    runtime: Runtime, job: RecheckJob, device: torch.device, moved: Callable[[], None]
) -> Found:
    """Raises CorruptArtifact or MissingArtifact if a version's file is not what it was."""
    runtime.artifacts.read(job.current)  # also where there is nothing to compare
    moved()
    skipped = {item: why for item, case in job.cases.items() if (why := _unable(case))}
    asked = {item: case for item, case in job.cases.items() if item not in skipped}
    if not asked:
        return Found(None, {}, skipped)
    source = Source(runtime, job.dataset_id)
    unseen = held_out(source, job.dataset_id, job.excluded)
    if unseen is None:
        return Found(None, {}, skipped | dict.fromkeys(asked, Skipped.NO_UNSEEN_ROWS))
    answers = _Answers(runtime, job, device, unseen[1])
    forget = source.rows({sample for case in asked.values() for sample in case.samples})
    now = answers.of(job.current, forget)
    moved()
    changes: dict[UUID, Change] = {}
    for resting in sorted({case.resting for case in asked.values() if case.resting}):
        same = {item: case for item, case in asked.items() if case.resting == resting}
        own = _rows(forget, *same.values())
        part = forget.select(torch.from_numpy(own))
        before, after = answers.of(resting, part), (now[0][own], now[1])
        moved()
        for item, case in same.items():
            change = _change(part, unseen[1], _rows(part, case), before, after)
            if change is None:
                skipped[item] = Skipped.NO_UNSEEN_ROWS
            else:
                changes[item] = change
    return _found(changes, skipped, len(unseen[1].labelled))


def _rows(forget: Loaded, *cases: Case) -> Rows:
    wanted: frozenset[int] = frozenset().union(*(case.samples for case in cases))
    return np.flatnonzero(np.isin(forget.sample_ids, list(wanted)))


def _unable(case: Case) -> Skipped | None:
    if case.resting is None:
        return Skipped.RESTING_VERSION_DESTROYED
    return None if case.samples else Skipped.SAMPLES_DESTROYED


class _Answers:
    """How much each row looks trained on (phi), by one version after the other."""

    def __init__(
        self, runtime: Runtime, job: RecheckJob, device: torch.device, unseen: Loaded
    ) -> None:
        self._runtime, self._job, self._device, self._unseen = runtime, job, device, unseen
        self._view = loading.view(job.normalization)

    def of(self, sha256: str, forget: Loaded) -> tuple[Floats, Floats]:
        """Of the forget rows and of the unseen ones."""
        job = self._job
        model = loading.load_model(
            self._runtime.artifacts, job.architecture, job.architecture_config, sha256
        ).to(self._device)

        def scores(rows: Loaded) -> Floats:
            logits = predict(model, rows.labelled.inputs, view=self._view).numpy()
            return evidence(logits.astype(np.float64), rows.labelled.labels.numpy())

        return scores(forget), scores(self._unseen)


def _change(
    forget: Loaded,
    unseen: Loaded,
    rows: Rows,
    before: tuple[Floats, Floats],
    now: tuple[Floats, Floats],
) -> Change | None:
    """None if no sample of the case has an unseen one of its class."""
    labels, others = forget.labelled.labels.numpy(), unseen.labelled.labels.numpy()
    rows = rows[np.isin(labels[rows], others)]
    if not len(rows):
        return None
    places = class_places(labels[rows], others)

    def shares(answers: tuple[Floats, Floats]) -> Percentiles:
        return percentiles(places, answers[0][rows], answers[1])

    return rechecks.change(places, shares(before), shares(now))


def _found(changes: Mapping[UUID, Change], skipped: Mapping[UUID, Skipped], unseen: int) -> Found:
    if not changes:
        return Found(None, {}, skipped)
    pooled, alarms = rechecks.recheck(list(changes.values()))
    by_item = dict(zip(changes, alarms, strict=True)) if alarms else {}
    compared = {
        item: Compared(
            samples=change.samples,
            change=change.difference,
            standard_error=change.standard_error,
            p_value=by_item[item].p_value if item in by_item else None,
            q=by_item[item].q if item in by_item else None,
            relapsed=item in by_item and by_item[item].alarm,
        )
        for item, change in changes.items()
    }
    return Found(
        Pooled(
            pooled.difference,
            pooled.standard_error,
            pooled.lower_99,
            pooled.alarm,
            cases=len(changes),
            samples=sum(change.samples for change in changes.values()),
            unseen=unseen,
        ),
        compared,
        skipped,
    )
