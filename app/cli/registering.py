"""`lotus datasets register`, `lotus models register`: upload, register, wait for the check. And
`lotus models recipients`: who has pulled what."""

import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.connection import connect
from app.cli.output import (
    AsJson,
    Failure,
    console,
    plain,
    print_json,
    print_rows,
    progress,
    waiting,
)
from app.cli.rechecking import print_rechecks
from client import Dataset, LotusClient, Model

datasets = typer.Typer(help="Data that models were trained on.", no_args_is_help=True)
models = typer.Typer(help="Models that can be unlearned.", no_args_is_help=True)

NEWEST = 20
ModelArgument = Annotated[str, typer.Argument(help="Id (mdl_...) or name of the model.")]
PATH_HELP = "A folder that holds {}, or such a file."


@datasets.command("register")
def register_dataset(
    path: Annotated[Path, typer.Argument(help=PATH_HELP.format("dataset.json"))],
    name: Annotated[str | None, typer.Option(help="Instead of the name in the file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Upload a Parquet manifest and register it."""
    folder, about = description(path, "dataset.json")
    with connect() as lotus:
        made = add_dataset(lotus, folder, {**about, **_given(name=name)}, as_json=as_json)
    if as_json:
        print_json(made.model_dump(mode="json"))
        return
    console().print(describe_dataset(made), markup=False, soft_wrap=True)


@models.command("register")
def register_model(
    path: Annotated[Path, typer.Argument(help=PATH_HELP.format("model.json"))],
    name: Annotated[str | None, typer.Option(help="Instead of the name in the file.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Id or name of the dataset it was trained on.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Upload safetensors weights and register the model with its first version."""
    folder, about = description(path, "model.json")
    with connect() as lotus:
        about = {**about, **_given(name=name, dataset=dataset)}
        made = add_model(lotus, folder, about, as_json=as_json)
    if as_json:
        print_json(made.model_dump(mode="json"))
        return
    out = console()
    out.print(describe_model(made), markup=False, soft_wrap=True)
    if made.current_version:
        out.print(f"SHA-256 {made.current_version.sha256}")


@models.command("recipients")
def recipients(model: ModelArgument, as_json: AsJson = False) -> None:
    """Show which keys pulled which version of a model, newest first."""
    with connect() as lotus:
        found = list(lotus.list_recipients(find_model(lotus, model)))
    if as_json:
        print_json({"items": [one.model_dump(mode="json") for one in found]})
        return
    rows = [
        [one.name, one.key, one.number, f"{one.first_at:%Y-%m-%d %H:%M}", one.count]
        for one in found
    ]
    print_rows(rows, "name", "key", ">version", "first pulled", ">times")


@models.command("rechecks")
def rechecks(model: ModelArgument, as_json: AsJson = False) -> None:
    """Show whether completed cases hold on the model's later versions."""
    with connect() as lotus:
        newest = list(islice(lotus.list_rechecks(find_model(lotus, model)), NEWEST))
    if as_json:
        print_json({"items": [one.model_dump(mode="json") for one in newest]})
        return
    print_rechecks(newest)


def describe_dataset(dataset: Dataset) -> str:
    counts = ", ".join(f"{n} {split}" for split, n in (dataset.split_counts or {}).items())
    return f"dataset {dataset.id}  {dataset.name}, {dataset.state}: {counts}"


def describe_model(model: Model) -> str:
    version = model.current_version
    current = f"version {version.number}" if version else "no version"
    return f"model   {model.id}  {model.name}, {model.state}: {current}"


def add_dataset(
    lotus: LotusClient, folder: Path, about: Mapping[str, Any], *, as_json: bool
) -> Dataset:
    manifest = folder / about.get("manifest", "manifest.parquet")
    artifact = upload(lotus, manifest, as_json=as_json)
    made = lotus.register_dataset(
        name=_needed(about, "name"),
        task=_needed(about, "task"),
        artifact=artifact,
        class_names=_needed(about, "class_names"),
        subject_columns=_needed(about, "subject_columns"),
        on_suppressed=about.get("on_suppressed", "flag"),
    )
    with waiting("checking every row", as_json=as_json):
        return lotus.wait_until_ready(made)


def add_model(
    lotus: LotusClient, folder: Path, about: Mapping[str, Any], *, as_json: bool
) -> Model:
    dataset = find_dataset(lotus, _needed(about, "dataset"))
    weights = folder / about.get("weights", "model.safetensors")
    made = lotus.register_model(
        name=_needed(about, "name"),
        dataset=dataset,
        architecture=_needed(about, "architecture"),
        config=_needed(about, "config"),
        artifact=upload(lotus, weights, as_json=as_json),
        normalization=about.get("normalization"),
        policy=about.get("policy"),
        training_recipe=about.get("training_recipe"),
    )
    with waiting("checking the weights", as_json=as_json):
        return lotus.wait_until_ready(made)


def find_dataset(lotus: LotusClient, name_or_id: str) -> str:
    if name_or_id.startswith("dst_"):
        return name_or_id
    for dataset in lotus.list_datasets():
        if dataset.name == name_or_id:
            return dataset.id
    raise Failure(f"no dataset is named {name_or_id}")


def find_model(lotus: LotusClient, name_or_id: str) -> str:
    if name_or_id.startswith("mdl_"):
        return name_or_id
    for model in lotus.list_models():
        if model.name == name_or_id:
            return model.id
    raise Failure(f"no model is named {name_or_id}")


def upload(lotus: LotusClient, path: Path, *, as_json: bool) -> str:
    """The file's SHA-256, under which the service now has it."""
    if not path.is_file():
        raise Failure(f"{path} is not there")
    with progress(as_json=as_json, sizes=True) as bars:
        task = bars.add_task(f"uploading {plain(path.name)}", total=path.stat().st_size)
        artifact = lotus.upload_artifact(
            path, progress=lambda done, total: bars.update(task, completed=done)
        )
    return artifact.sha256


def description(path: Path, name: str) -> tuple[Path, dict[str, Any]]:
    """The folder that relative paths start from, and what the file says."""
    file = path / name if path.is_dir() else path
    try:
        about = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise Failure(f"{file} is not there") from None
    except (ValueError, OSError) as error:
        raise Failure(f"{file} cannot be read as JSON: {error}") from None
    if not isinstance(about, dict):
        raise Failure(f"{file} must hold a JSON object")
    return file.parent, about


def _needed(about: Mapping[str, Any], field: str) -> Any:
    if field not in about:
        raise Failure(f"the description lacks the field {field}")
    return about[field]


def _given(**options: str | None) -> dict[str, str]:
    return {name: value for name, value in options.items() if value is not None}
