"""From rows to their wire form."""

from typing import Any

from pydantic import BaseModel

from app.registry.policy import Policy, TrainingRecipe
from app.registry.pulls import Pull
from app.registry.schemas import (
    CurrentVersion,
    DatasetView,
    ModelView,
    Normalization,
    PauseView,
    RecipientView,
    SubjectColumn,
    VersionDetail,
    VersionView,
)
from app.registry.tables import Dataset, Model, ModelVersion


def dataset(row: Dataset) -> DatasetView:
    return DatasetView.model_validate(
        {
            **_same(row, "id", "name", "task", "state", "problem", "class_names", "input_shape"),
            **_same(
                row, "split_counts", "on_suppressed", "suppressed_rows", "created_at", "ready_at"
            ),
            "subject_columns": [SubjectColumn.model_validate(c) for c in row.subject_columns],
        }
    )


def model(row: Model, current: ModelVersion | None) -> ModelView:
    return ModelView.model_validate(
        {
            **_same(row, "id", "name", "task", "architecture", "state", "problem"),
            **_same(row, "created_at", "ready_at"),
            "dataset": row.dataset_id,
            "config": row.architecture_config,
            "normalization": _parsed(Normalization, row.normalization),
            "policy": Policy.model_validate(row.policy),
            "training_recipe": _parsed(TrainingRecipe, row.training_recipe),
            "current_version": None if current is None else _current(current),
            "paused": _pause(row),
        }
    )


def _pause(row: Model) -> PauseView | None:
    if row.paused_until is None:
        return None
    return PauseView(
        until=row.paused_until,
        reason=row.paused_reason,
        consecutive_failures=row.consecutive_failures,
    )


def _current(row: ModelVersion) -> CurrentVersion:
    return CurrentVersion(id=row.id, number=row.number, sha256=row.artifact_sha256)


def version(row: ModelVersion) -> VersionView:
    return VersionView.model_validate(_version(row))


def version_detail(row: ModelVersion) -> VersionDetail:
    return VersionDetail.model_validate({**_version(row), "metrics": row.metrics})


def recipient(found: Pull) -> RecipientView:
    return RecipientView(
        key=found.key.id,
        name=found.key.name,
        version=found.version.id,
        number=found.version.number,
        sha256=found.version.artifact_sha256,
        first_at=found.pull.first_at,
        last_at=found.pull.last_at,
        count=found.pull.count,
    )


def _version(row: ModelVersion) -> dict[str, object]:
    return {
        **_same(row, "id", "number", "state", "problem", "created_at", "published_at"),
        "taken_back_at": row.taken_back_at,
        "model": row.model_id,
        "parent": row.parent_id,
        "lineage": row.lineage_id,
        "run": row.run_id,
        "sha256": row.artifact_sha256,
    }


def _same(row: object, *names: str) -> dict[str, object]:
    return {name: getattr(row, name) for name in names}


def _parsed(kind: type[BaseModel], stored: dict[str, Any] | None) -> BaseModel | None:
    return None if stored is None else kind.model_validate(stored)
