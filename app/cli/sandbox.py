"""`lotus serve --sandbox`: the same service on data that nobody would miss.

It has a data folder, keys and a database of its own whatever the environment says, so nothing that
is tried here reaches a real case, and no real key ever signs it. A small model, trained on the
first start, is there to be unlearned from.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from sqlalchemy import select

from app.cli.demo import EXAMPLE, Case, train, training_command
from app.cli.on_the_data import read_settings
from app.cli.output import Failure
from app.cli.registering import add_dataset, add_model, description
from app.keys.scopes import Scope
from app.registry.tables import Model, RegistrationState
from app.runtime import Runtime
from client import LotusClient

# What the environment may say about a sandbox too: neither a place where data lies, nor a secret.
KEPT = frozenset(
    f"LOTUS_{name}"
    for name in (
        "DEVICE",
        "TORCH_THREADS",
        "LOG_LEVEL",
        "PUBLIC_URL",
        "RATE_LIMIT",
        "LOGIN_FAILURE_LIMIT",
        "MAX_BODY_BYTES",
        "MAX_UPLOAD_BYTES",
        "COALESCE_SECONDS",
        "CALLBACKS_HTTP_LOOPBACK",
        "CALLBACK_CA_FILE",
    )
)
SCOPES = [Scope.REGISTRY_WRITE, Scope.REGISTRY_READ]
SUFFIX = "-sandbox"
# The name of the key that registers the model.
SET_UP = "sandbox set-up"


def enter() -> Path:
    """From here on every setting is the sandbox's, for this process and what it starts. Returns
    its data folder, which lies beside that of the service."""
    if not EXAMPLE.is_file():
        raise Failure(f"the sandbox needs a checkout of the repository: {EXAMPLE} is not there")
    own = read_settings().data_dir.resolve()
    folder = own.with_name(own.name + SUFFIX)
    for name in [name for name in os.environ if name.startswith("LOTUS_") and name not in KEPT]:
        del os.environ[name]
    os.environ["LOTUS_DATA_DIR"] = str(folder)
    return folder


def is_furnished(runtime: Runtime) -> bool:
    ready = select(Model.id).where(Model.state == RegistrationState.READY)
    with runtime.database.read() as session:
        return session.scalar(ready.limit(1)) is not None


def furnish(url: str, key: str, folder: Path, *, as_json: bool) -> None:
    """Trains the example's model and registers it with the service that listens at `url`. What an
    earlier try has left is used."""
    example = folder / "example"
    try:
        training = subprocess.Popen(
            training_command(example, Case.SPREAD),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        train(training, lambda: None, as_json=as_json)
        with LotusClient(url, key) as lotus:
            _register(lotus, example, as_json=as_json)
    finally:
        # It names persons, though made up ones, as no data folder should.
        shutil.rmtree(example, ignore_errors=True)


def about() -> dict[str, Any]:
    """What there is to try, for whoever starts it."""
    return {
        "model": "digits-resnet",
        "subject": "customer-0042",
        "samples": 100,
        "data": "handwritten digits whose owners are made up",
    }


def _register(lotus: LotusClient, example: Path, *, as_json: bool) -> None:
    _, dataset_file = description(example, "dataset.json")
    _, model_file = description(example, "model.json")
    known = {one.name: one for one in lotus.list_datasets() if one.state == "ready"}
    dataset = known.get(dataset_file["name"]) or add_dataset(
        lotus, example, dataset_file, as_json=as_json
    )
    add_model(lotus, example, {**model_file, "dataset": dataset.id}, as_json=as_json)
