"""What a run computes on: its base model, and the sets that it may and may not see."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
import torch
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session
from torch import nn

from app.erasure import forming, levels, subjects
from app.erasure.tables import ItemSample, Run, RunItem
from app.registry.policy import Policy
from app.registry.tables import Model, ModelVersion, Sample, SampleSplit, SampleSubject
from app.runtime import Runtime
from workers import architectures, loading
from workers.loading import Loaded, Source, joined
from workers.unlearning.data import LabelledSet, UnlearningData, split_unseen
from workers.unlearning.evaluation import EvaluationSets
from workers.unlearning.planning import Kind
from workers.unlearning.steering import can_steer

# Accuracy on retained samples is reported from so many; a larger share would only cost time.
RETAIN_REPORTED = 2_000
_NO_ROWS = torch.empty(0, dtype=torch.int64)


class MissingData(ValueError):
    """The run lacks samples of a kind that it cannot do without; safe to show. `blamed`: the items
    without whose rows there would be some."""

    def __init__(self, text: str, blamed: frozenset[UUID] = frozenset()) -> None:
        super().__init__(text)
        self.blamed = blamed


@dataclass(frozen=True)
class Job:
    """The run as the database describes it, read in one short session."""

    rung: int
    seed: int
    method: str
    mode: str
    settings: Mapping[str, Any]
    policy: Policy
    architecture: str
    architecture_config: Mapping[str, Any]
    normalization: Mapping[str, Any] | None
    weights_sha256: str
    dataset_id: UUID
    forget: frozenset[int]
    excluded: frozenset[int]
    items: tuple[UUID, ...]
    item_samples: Mapping[UUID, frozenset[int]]
    held_out: Mapping[UUID, int]  # of an item's samples
    memory_faults: int  # attempts of this run that ran out of memory
    judged_runs: int  # of this controller in the last 30 days

    @property
    def kind(self) -> Kind:
        return architectures.config_type(self.architecture).kind


@dataclass(frozen=True)
class Inputs:
    """`steering` is what the method sees; the test set is in `evaluation` alone."""

    model: nn.Module
    steering: UnlearningData
    evaluation: EvaluationSets
    persons: NDArray[np.bool_]  # (items of the job, n_f): whose samples these are
    unseen_persons: NDArray[np.int64]  # (n_test,), -1 where unknown


def read_job(session: Session, run: Run, now: datetime) -> Job:
    model = session.get_one(Model, run.model_id)
    forget = forming.forget_samples(session, run)
    items = session.scalars(
        select(RunItem.item_id).where(RunItem.run_id == run.id).order_by(RunItem.item_id)
    ).all()
    samples: dict[UUID, set[int]] = {item: set() for item in items}
    held_out = dict.fromkeys(items, 0)
    for item, sample, split in session.execute(
        select(ItemSample.item_id, ItemSample.sample_id, Sample.split)
        .join(Sample, Sample.id == ItemSample.sample_id)
        .where(ItemSample.item_id.in_(items))
    ):
        samples[item].add(sample)
        held_out[item] += split is not SampleSplit.TRAIN
    return Job(
        rung=run.rung,
        seed=run.seed,
        method=run.method,
        mode=run.mode,
        settings=run.settings,
        policy=Policy.model_validate(model.policy),
        architecture=model.architecture,
        architecture_config=model.architecture_config,
        normalization=model.normalization,
        weights_sha256=session.get_one(ModelVersion, run.base_version_id).artifact_sha256,
        dataset_id=model.dataset_id,
        forget=frozenset(forget),
        excluded=frozenset(subjects.excluded_samples(session, model.id, model.dataset_id) | forget),
        items=tuple(items),
        item_samples={item: frozenset(of_item) for item, of_item in samples.items()},
        held_out=held_out,
        memory_faults=run.memory_faults,
        judged_runs=levels.judged_runs(session, model.controller_id, now),
    )


def gather(runtime: Runtime, job: Job, device: torch.device) -> Inputs:
    """Loads everything. Raises MissingData if a set that the run needs would be empty."""
    model = loading.load_model(
        runtime.artifacts, job.architecture, job.architecture_config, job.weights_sha256
    ).to(device)
    source = Source(runtime, job.dataset_id)
    view = loading.view(job.normalization)
    forget, retain = source.rows(job.forget), source.split(SampleSplit.TRAIN, job.excluded)
    lost = job.forget - set(forget.sample_ids.tolist())
    if lost:
        blamed = frozenset(item for item in job.items if job.item_samples[item] & lost)
        raise MissingData("Samples to forget are no longer in the dataset.", blamed)
    if not len(forget.labelled):
        raise MissingData("None of the samples to forget is left in the dataset.")
    if not len(retain.labelled):
        training = {item: len(job.forget & job.item_samples[item]) for item in job.items}
        raise MissingData(
            "No training sample would be left: every one is to be forgotten.", _most(training)
        )
    validation, test = _unseen(source, job)
    steering = UnlearningData(
        forget=_on(forget.labelled, device),
        retain=_on(retain.labelled, device),
        validation=_on(validation.labelled, device),
        num_classes=architectures.num_classes(job.architecture, job.architecture_config),
        view=view,
        forget_ids=torch.from_numpy(forget.sample_ids),
        retain_ids=torch.from_numpy(retain.sample_ids),
    )
    steered = _steers(job, steering)
    # What nothing steers by is free for the test.
    tested = test if steered else joined(test, validation)
    return Inputs(
        model=model,
        steering=steering,
        evaluation=EvaluationSets(
            forget=forget.labelled,
            retain=_some(retain.labelled, job.seed),
            validation=validation.labelled if steered else validation.labelled.select(_NO_ROWS),
            test=tested.labelled,
            view=view,
        ),
        persons=_persons(job, forget.sample_ids),
        unseen_persons=_unseen_persons(runtime, tested.sample_ids),
    )


def _steers(job: Job, data: UnlearningData) -> bool:
    """Does the validation set choose the epoch of this run?"""
    wanted = job.mode == "guided" and job.settings.get("steer", True)
    return bool(wanted) and can_steer(data) and not data.forgets_whole_classes()


def _unseen(source: Source, job: Job) -> tuple[Loaded, Loaded]:
    found = held_out(source, job.dataset_id, job.excluded)
    if found is None:
        raise MissingData("No held-out sample is left to measure on.", _most(job.held_out))
    return found


def held_out(
    source: Source, dataset_id: UUID, excluded: Collection[int]
) -> tuple[Loaded, Loaded] | None:
    """Validation and test set, if any row is left. A dataset with one held-out split is halved by
    class, and always the same way, so that a row that steers one run does not test the next steered
    one."""
    validation = source.split(SampleSplit.VALIDATION, excluded)
    test = source.split(SampleSplit.TEST, excluded)
    if len(validation.labelled) and len(test.labelled):
        return validation, test
    only = validation if len(validation.labelled) else test
    if not len(only.labelled):
        return None
    first, second = split_unseen(only.labelled.labels, dataset_id.int % 2**63)
    return only.select(first), only.select(second)


def _most(rows: Mapping[UUID, int]) -> frozenset[UUID]:
    """The one item with the most of the rows that are missing elsewhere, if any has some."""
    worst = max(sorted(rows), key=lambda item: rows[item])
    return frozenset([worst]) if rows[worst] else frozenset()


def _persons(job: Job, sample_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """A sample may show several persons, and then counts among the figures of each."""
    own = [list(job.item_samples[item]) for item in job.items]
    return np.stack([np.isin(sample_ids, np.array(ids, dtype=np.int64)) for ids in own])


def _unseen_persons(runtime: Runtime, sample_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which unseen samples belong to one person, as far as the dataset says."""
    index: dict[bytes, int] = {}
    of_sample: dict[int, int] = {}
    with runtime.database.read() as session:
        for chunk in np.array_split(sample_ids, max(1, len(sample_ids) // 500)):
            for sample, ref in session.execute(
                select(SampleSubject.sample_id, SampleSubject.subject_ref)
                .where(SampleSubject.sample_id.in_([int(one) for one in chunk]))
                .order_by(SampleSubject.sample_id, SampleSubject.subject_ref)
            ):
                of_sample.setdefault(sample, index.setdefault(ref, len(index)))
    return np.array([of_sample.get(int(one), -1) for one in sample_ids], dtype=np.int64)


def _on(labelled: LabelledSet, device: torch.device) -> LabelledSet:
    return LabelledSet(labelled.inputs.to(device), labelled.labels.to(device))


def _some(labelled: LabelledSet, seed: int) -> LabelledSet:
    if len(labelled) <= RETAIN_REPORTED:
        return labelled
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(labelled), generator=generator)[:RETAIN_REPORTED]
    return labelled.select(rows.sort().values)
