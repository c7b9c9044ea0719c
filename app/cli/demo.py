"""`lotus demo`: one deletion request from HTTP to a published version, by public calls only."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli import demo_evidence
from app.cli import demo_story as story
from app.cli.demo_service import DemoService
from app.cli.following import follow
from app.cli.output import AsJson, Failure, console, print_json, progress
from app.cli.registering import add_dataset, add_model, description
from client import AuditEntry, Erasure, LotusClient, LotusError, ModelImpact, Run, Subject

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "digits" / "train.py"
SEQUENCING_SECONDS = 5.0
# Several times what a slow machine needs; beyond it something is broken.
LONGEST_SECONDS = 600.0


class Case(StrEnum):
    SPREAD = "spread"
    WRITER = "writer"


def demo(
    subject: Annotated[
        Case,
        typer.Option(
            help="spread: samples over all digits. writer: a block that looks like one hand, which "
            "is harder to judge."
        ),
    ] = Case.SPREAD,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the service running until Ctrl-C.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a small classifier, ask for one person's samples to be unlearned, show the result."""
    if not EXAMPLE.is_file():
        raise Failure(f"the demo needs a checkout of the repository: {EXAMPLE} is not there")
    began = time.monotonic()
    with DemoService(ROOT) as service:
        try:
            document, completed = _play(service, subject, as_json=as_json)
        except (Failure, LotusError, KeyError) as error:
            _explain(service)
            raise (
                error if not isinstance(error, KeyError) else Failure(f"an answer lacks {error}")
            ) from error
        if as_json:
            print_json({**document, "seconds": round(time.monotonic() - began, 1)})
        else:
            story.print_end(time.monotonic() - began, completed=completed)
        if keep:
            _stay(service, as_json=as_json)
    if not completed:
        raise typer.Exit(1)


def _play(service: DemoService, case: Case, *, as_json: bool) -> tuple[dict[str, Any], bool]:
    """The whole story; what it showed as one document, and whether the request completed."""
    service.start()
    training = service.child(training_command(service.folder / "example", case))
    about = train(training, service.require_running, as_json=as_json)
    if not as_json:
        story.print_training(about)
    service.wait_until_listening()
    with LotusClient(service.url, service.key) as lotus:
        return play(lotus, service.url, service.folder, about, as_json=as_json)


def play(
    lotus: LotusClient, url: str, folder: Path, about: dict[str, Any], *, as_json: bool
) -> tuple[dict[str, Any], bool]:
    """Registers what lies in `folder`/example with the service and has one person's samples
    unlearned."""
    example = folder / "example"
    _, dataset_file = description(example, "dataset.json")
    _, model_file = description(example, "model.json")
    dataset = add_dataset(lotus, example, dataset_file, as_json=as_json)
    model = add_model(lotus, example, {**model_file, "dataset": dataset.id}, as_json=as_json)
    subject = Subject(about["subject"])
    impact = lotus.impact([subject])
    if not as_json:
        story.print_registered(url, dataset, model)
        story.print_impact(about["subject"], impact)
    request = lotus.submit_erasure([subject], external_id="demo-1")
    request = follow(lotus, request.id, as_json=as_json, timeout=LONGEST_SECONDS)
    return _tell(lotus, request, impact, folder, as_json=as_json)


def _rejected(lotus: LotusClient, run: Run) -> list[Run]:
    """The runs that the service tried before this one, first to last. Each published nothing; the
    ladder of the model's policy led to the next."""
    earlier = list(lotus.list_runs(model=run.model, state="rejected"))
    return [lotus.get_run(one.id) for one in reversed(earlier) if one.id != run.id]


def _tell(
    lotus: LotusClient,
    request: Erasure,
    impact: list[ModelImpact],
    folder: Path,
    *,
    as_json: bool,
) -> tuple[dict[str, Any], bool]:
    run = _run_of(lotus, request)
    rejected = _rejected(lotus, run)
    digest = ""
    if run.published_version:
        target = folder / "published.safetensors"
        expected = run.published_version.sha256
        digest = lotus.download_current_weights(run.model, target, expected=expected)
    entries = _entries_of(lotus, request, run)
    if not as_json:
        for earlier in rejected:
            story.print_rejected(earlier)
        story.print_result(request, run, entries)
    certificate = demo_evidence.check(lotus, request, digest, folder) if digest else None
    if certificate is not None and not as_json:
        story.print_certificate(certificate)
    document = {
        "impact": [one.model_dump(mode="json") for one in impact],
        "request": request.model_dump(mode="json"),
        "run": run.model_dump(mode="json"),
        "rejected": [earlier.model_dump(mode="json") for earlier in rejected],
        "downloaded_sha256": digest,
        "certificate": certificate.document() if certificate else None,
        "audit_entries": [entry.model_dump(mode="json") for entry in entries],
        "subjects_are_synthetic": True,
    }
    return document, request.state == "completed" and bool(digest)


def training_command(folder: Path, case: Case) -> list[str]:
    return [sys.executable, str(EXAMPLE), str(folder), "--subject", case, "--progress", "json"]


def train(
    training: subprocess.Popen[str], still_sensible: Callable[[], None], *, as_json: bool
) -> dict[str, Any]:
    """What the example's program says of the data and the classifier that it made."""
    assert training.stdout is not None
    about: dict[str, Any] = {}
    with progress(as_json=as_json) as bars:
        task = bars.add_task("training the classifier to unlearn from", total=None)
        for line in training.stdout:
            still_sensible()
            event = json.loads(line)
            if event["event"] == "epoch":
                bars.update(task, total=event["epochs"], completed=event["epoch"])
            else:
                about = event
    if training.wait() != 0 or not about:
        raise Failure("the example could not be trained")
    return about


def _run_of(lotus: LotusClient, request: Erasure) -> Run:
    runs = [item.run for item in request.items if item.run]
    if not runs:
        raise Failure(f"the request is {request.state} and no run worked on it")
    return lotus.get_run(runs[0])


def _entries_of(lotus: LotusClient, request: Erasure, run: Run) -> list[AuditEntry]:
    """The entries about request and run, once all have their place in the log: about a second."""
    end = time.monotonic() + SEQUENCING_SECONDS
    while True:
        entries = [
            entry
            for entry in lotus.audit_entries()
            if entry.facts.get("request") == request.id or entry.facts.get("run") == run.id
        ]
        if time.monotonic() > end or all(entry.index is not None for entry in entries):
            return entries
        time.sleep(0.2)


def _explain(service: DemoService) -> None:
    tail = service.log_tail()
    if tail:
        out = console(stderr=True)
        out.rule("last lines of the service's log")
        out.print(tail, markup=False, soft_wrap=True)
        out.rule()


def _stay(service: DemoService, *, as_json: bool) -> None:
    if as_json:
        print_json({"url": service.url, "key": service.key})
    else:
        story.print_next_steps(service.url, service.key, service.folder)
    try:
        service.wait_for_end()
    except KeyboardInterrupt:
        return
    raise Failure("the service ended by itself")
