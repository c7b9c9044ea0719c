"""Calls about artifacts, datasets, models and versions."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from client.answers.registry import Artifact, Dataset, Model, Recipient, Registration, Version
from client.files import Progress, chunks, download, sha256_of
from client.problems import RegistrationInvalid, field_faults
from client.transport import API, Transport, parse, polls, unreachable

OCTETS = "application/octet-stream"
SomeRegistration = TypeVar("SomeRegistration", bound=Registration)


class RegistryCalls(Transport):
    def upload_artifact(
        self, path: Path, *, media_type: str = OCTETS, progress: Progress | None = None
    ) -> Artifact:
        """Streams a file. Sending one that is already there changes nothing."""
        digest = sha256_of(path)
        headers = {"Content-Type": media_type, "Content-Length": str(path.stat().st_size)}
        try:
            response = self.http.put(
                f"{API}/artifacts/{digest}",
                content=chunks(path, progress),
                headers=headers,
                # The last write answers only when everything is safely on disk.
                timeout=httpx2.Timeout(self.timeout, read=max(self.timeout, 600.0)),
            )
        except httpx2.TransportError as error:
            raise unreachable(self.base_url, error) from error
        return parse(response, Artifact)

    def register_dataset(
        self,
        *,
        name: str,
        task: str,
        artifact: str,
        class_names: Sequence[str],
        subject_columns: Sequence[Mapping[str, str]],
        on_suppressed: str = "flag",
    ) -> Dataset:
        """Answers at once, in state `checking`: see `wait_until_ready`."""
        body = {
            "name": name,
            "task": task,
            "artifact": artifact,
            "class_names": list(class_names),
            "subject_columns": [dict(column) for column in subject_columns],
            "on_suppressed": on_suppressed,
        }
        return self.create(f"{API}/datasets", Dataset, body)

    def get_dataset(self, dataset: str) -> Dataset:
        return self.get(f"{API}/datasets/{dataset}", Dataset)

    def list_datasets(self) -> Iterator[Dataset]:
        return self.pages(f"{API}/datasets", Dataset)

    def register_model(
        self,
        *,
        name: str,
        dataset: str,
        architecture: str,
        config: Mapping[str, Any],
        artifact: str,
        normalization: Mapping[str, Any] | None = None,
        policy: Mapping[str, Any] | None = None,
        training_recipe: Mapping[str, Any] | None = None,
    ) -> Model:
        """Answers at once, in state `checking`: see `wait_until_ready`."""
        body = {
            "name": name,
            "dataset": dataset,
            "architecture": architecture,
            "config": dict(config),
            "artifact": artifact,
            "normalization": normalization,
            "policy": policy,
            "training_recipe": training_recipe,
        }
        return self.create(f"{API}/models", Model, body)

    def get_model(self, model: str) -> Model:
        return self.get(f"{API}/models/{model}", Model)

    def list_models(self) -> Iterator[Model]:
        return self.pages(f"{API}/models", Model)

    def resume_model(self, model: str) -> Model:
        """Lifts the pause of a model whose runs kept failing."""
        return self.send("POST", f"{API}/models/{model}/resume", Model)

    def set_policy(self, model: str, policy: Mapping[str, Any]) -> Model:
        return self.send("PUT", f"{API}/models/{model}/policy", Model, policy)

    def add_version(self, model: str, artifact: str) -> Version:
        """Weights trained elsewhere become a version; answers at once, in state `checking`."""
        return self.create(f"{API}/models/{model}/versions", Version, {"artifact": artifact})

    def get_version(self, model: str, number: int) -> Version:
        return self.get(f"{API}/models/{model}/versions/{number}", Version)

    def list_versions(self, model: str) -> Iterator[Version]:
        return self.pages(f"{API}/models/{model}/versions", Version)

    def list_recipients(self, model: str) -> Iterator[Recipient]:
        """Which keys pulled which version, newest first."""
        return self.pages(f"{API}/models/{model}/recipients", Recipient)

    def download_current_weights(
        self,
        model: str,
        target: Path,
        *,
        expected: str | None = None,
        progress: Progress | None = None,
    ) -> str:
        """Writes the model's current safetensors file to `target` and returns its SHA-256.

        With `expected`, other bytes raise DigestMismatch and leave `target` as it was.
        """
        url = f"{API}/models/{model}/versions/current/artifact"
        return download(self.http, url, target, expected, progress)

    def wait_until_ready(
        self,
        registration: SomeRegistration,
        *,
        model: str | None = None,
        timeout: float | None = 600.0,
        interval: float = 0.2,
    ) -> SomeRegistration:
        """Polls until a worker has checked it; raises RegistrationInvalid if it cannot be used.

        A version is looked up through its model, so `model` must name it.
        """
        for _ in polls(interval, timeout, "the check"):
            now = self._again(registration, model)
            if now.state == "invalid":
                raise invalid(now)
            if now.state != "checking":
                return now
        raise AssertionError("polls ends only by raising")

    def _again(self, registration: SomeRegistration, model: str | None) -> SomeRegistration:
        kind = type(registration)
        if isinstance(registration, Version):
            if model is None:
                raise ValueError("which model the version belongs to must be given")
            return self.get(f"{API}/models/{model}/versions/{registration.number}", kind)
        folder = "datasets" if isinstance(registration, Dataset) else "models"
        return self.get(f"{API}/{folder}/{registration.id}", kind)


def invalid(registration: Registration) -> RegistrationInvalid:
    problem = registration.problem or {}
    return RegistrationInvalid(
        int(problem.get("status", 422)),
        str(problem.get("type", "about:blank")),
        str(problem.get("title", "The content cannot be used")),
        str(problem.get("detail", "")),
        field_faults(problem.get("errors")),
    )
