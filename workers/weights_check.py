"""One model version from uploaded weights to the version that the model serves, or to a problem."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from app.erasure import arrivals
from app.http.problems import FieldError
from app.registry import checks
from app.registry.artifacts import SAFETENSORS, note_stored
from app.registry.checks import VersionCheck
from app.runtime import Runtime
from workers import architectures
from workers.architectures import (
    ArchitectureConfig,
    ArchitectureError,
    InvalidArchitectureConfig,
    TensorInfo,
    UnknownArchitecture,
    WeightsMismatch,
)
from workers.content import ContentProblem, UploadMissing
from workers.weights_header import check_header, unreadable


class ArchitectureNotKnown(ContentProblem):
    code = "unknown-architecture"
    title = "The architecture is not one of those that can be loaded"


class ArchitectureConfigInvalid(ContentProblem):
    code = "invalid-architecture-config"
    title = "The architecture's config cannot be used"


class WeightsDoNotFit(ContentProblem):
    code = "weights-mismatch"
    title = "The weights do not fit the architecture"


class WeightsNotFinite(ContentProblem):
    code = "weights-not-finite"
    title = "The weights hold NaN or infinity"


class DatasetDoesNotFit(ContentProblem):
    code = "dataset-mismatch"
    title = "The architecture does not fit the model's dataset"


def register(
    runtime: Runtime,
    check: VersionCheck,
    *,
    beat: Callable[[], None],
    now_fn: Callable[[], datetime],
) -> None:
    """Raises a ContentProblem if the weights cannot be used; then they are not stored."""
    path = _file(runtime, check)
    config = _config(check)
    _check_dataset(check, config)
    _check_tensors(check, path, beat)
    _commit(runtime, check, path.stat().st_size, now_fn())


def _file(runtime: Runtime, check: VersionCheck) -> Path:
    """The upload; or the stored file, if another registration of the same bytes was first."""
    sha256 = check.version.artifact_sha256
    staged = runtime.artifacts.staged_path(check.model.controller_id, sha256)
    if staged.is_file():
        return staged
    if runtime.artifacts.exists(sha256):
        return runtime.artifacts.path(sha256)
    raise UploadMissing("Upload the weights again and register them anew.")


def _config(check: VersionCheck) -> ArchitectureConfig:
    name = check.model.architecture
    try:
        return architectures.parse_config(name, check.model.architecture_config)
    except UnknownArchitecture as error:
        known = ", ".join(error.known)
        raise ArchitectureNotKnown(
            f"Known to this worker: {known}.",
            errors=[FieldError(field="architecture", message="is not known to the worker")],
        ) from None
    except InvalidArchitectureConfig as error:
        own = architectures.config_type(name).model_fields
        raise ArchitectureConfigInvalid(
            "One or more settings are missing or not valid.",
            errors=[
                # Only the architecture's own names are repeated, not those that a caller made up.
                FieldError(field=f"config.{part}" if part in own else "config", message=why)
                for part, why in error.problems.items()
            ],
        ) from None
    except ArchitectureError as error:
        raise ArchitectureNotKnown(f"{error}.") from None


def _check_dataset(check: VersionCheck, config: ArchitectureConfig) -> None:
    classes = len(check.dataset.class_names)
    if config.num_classes != classes:
        raise DatasetDoesNotFit(
            "The number of classes differs.",
            errors=[
                FieldError(field="config.num_classes", message=f"the dataset has {classes} classes")
            ],
        )
    if list(config.input_shape) != check.dataset.input_shape:
        raise DatasetDoesNotFit(
            "The shape of a sample differs.",
            errors=[
                FieldError(
                    field="config",
                    message=f"the dataset's samples have shape {check.dataset.input_shape}",
                )
            ],
        )


def _check_tensors(check: VersionCheck, path: Path, beat: Callable[[], None]) -> None:
    check_header(path)
    try:
        # Reads and checks the header; tensors are mapped one at a time. Nothing is unpickled.
        with safe_open(path, framework="pt") as file:
            stored = {}
            for name in file.keys():  # noqa: SIM118  (the file is no mapping)
                part = file.get_slice(name)
                stored[name] = TensorInfo(tuple(part.get_shape()), part.get_dtype())
            _check_fit(check, stored)
            for name in stored:
                tensor = file.get_tensor(name)
                if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                    raise WeightsNotFinite(
                        "Every weight must be a finite number.",
                        errors=[FieldError(field=name, message="holds NaN or infinity")],
                    )
                beat()
    except (SafetensorError, OSError):
        raise unreadable() from None


def _check_fit(check: VersionCheck, stored: dict[str, TensorInfo]) -> None:
    name, config = check.model.architecture, check.model.architecture_config
    try:
        architectures.check_weights(name, config, stored)
    except WeightsMismatch as error:
        if error.tensor not in architectures.expected_tensors(name, config):
            # Its name was made up by whoever wrote the file, so it is not repeated.
            raise WeightsDoNotFit("The file has a tensor that the architecture lacks.") from None
        raise WeightsDoNotFit(
            "A tensor is missing or has another shape or type.",
            errors=[FieldError(field=error.tensor, message=str(error))],
        ) from None


def _commit(runtime: Runtime, check: VersionCheck, size: int, now: datetime) -> None:
    sha256 = check.version.artifact_sha256
    with runtime.database.write() as session:
        version = checks.end_version_ready(session, check, now=now)
        note_stored(session, sha256, size=size, media_type=SAFETENSORS, now=now)
        model = checks.end_model_ready(session, check, now=now)
        if model is not None:
            arrivals.model_ready(session, runtime.keyring, model, now=now)
        else:
            arrivals.version_ready(session, runtime.keyring, version, now=now)
        runtime.artifacts.promote(check.model.controller_id, sha256)
