"""What the demo prints: each function one part of the story."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from app.cli.demo_evidence import BUNDLE, PUBLIC_KEY, Checked
from app.cli.figures import indented, number, percent, print_run
from app.cli.output import console, plain, print_rows
from app.cli.registering import describe_dataset, describe_model
from client import AuditEntry, Dataset, Erasure, Model, ModelImpact, Run


def print_training(about: dict[str, Any]) -> None:
    rows, accuracy = about["rows"], about["accuracy"]
    out = console()
    out.print("[bold]The data[/bold]")
    out.print(
        f"  {sum(rows.values())} handwritten digits that ship with scikit-learn; "
        f"{rows['train']} of them trained a small ResNet."
    )
    out.print(
        "  The images are real. Who wrote which one is not known: the subject column is synthetic."
    )
    out.print(
        f"  accuracy: {percent(accuracy['train'])} on training data, "
        f"{percent(accuracy['test'])} on unseen data"
    )


def print_registered(url: str, dataset: Dataset, model: Model) -> None:
    out = console()
    out.print("\n[bold]The service[/bold]")
    out.print(f"  {url}  (all that follows is HTTP)")
    for line in (describe_dataset(dataset), describe_model(model)):
        out.print(f"  {line}", markup=False, soft_wrap=True)


def print_impact(subject: str, impact: Sequence[ModelImpact]) -> None:
    rows = [
        [
            one.name,
            one.forget_count,
            one.held_out_count,
            one.unseen_count,
            number(one.provable_margin),
            "yes" if one.enough_data else "no",
        ]
        for one in impact
    ]
    print_rows(
        rows,
        "model",
        ">training samples",
        ">held out",
        ">unseen samples",
        ">provable margin",
        "enough",
        title=f"Samples found for {subject}",
    )


def print_rejected(run: Run) -> None:
    verdict = run.verdict or {}
    out = console()
    out.print(f"\n[bold]{run.id} was rejected: nothing is published[/bold]")
    indented(verdict.get("sentence"))
    for reason in verdict.get("reasons", []):
        indented(reason, by=4)
    following = verdict.get("next") or {}
    if following.get("step"):
        indented(f"The ladder goes on: {'; '.join(following.get('reasons', []))}")


def print_result(request: Erasure, run: Run, entries: Sequence[AuditEntry]) -> None:
    outcome = f", outcome {request.outcome}" if request.outcome else ""
    console().print(f"\n[bold]Request {request.id}: {request.state}{plain(outcome)}[/bold]")
    print_run(run)
    print_versions(run)
    print_entries(entries)


def print_versions(run: Run) -> None:
    new = run.published_version
    rows = [["before", run.base_number, run.base_sha256]]
    rows.append(["after", new.number, new.sha256] if new else ["after", "none was published", None])
    print_rows(rows, "", ">version", "SHA-256 of the weights", title="Versions")


def print_entries(entries: Sequence[AuditEntry]) -> None:
    rows = [
        [
            "next" if entry.index is None else entry.index,
            f"{entry.created_at:%H:%M:%S}",
            entry.kind,
            _what_happened(entry.facts),
            entry.leaf_hash[:12],
        ]
        for entry in entries
    ]
    print_rows(
        rows,
        ">entry",
        "UTC",
        "kind",
        "what happened",
        "leaf hash",
        title="The case's audit entries",
    )


def _what_happened(facts: dict[str, Any]) -> str:
    if "to_state" in facts:
        before = facts.get("from_state")
        return f"{before} -> {facts['to_state']}" if before else str(facts["to_state"])
    shown = {
        "item_count": "items",
        "forget_count": "samples",
        "number": "version",
        "payload_sha256": "payload",
    }
    return ", ".join(
        f"{text} {str(facts[name])[:12]}" for name, text in shown.items() if name in facts
    )


def print_certificate(found: Checked) -> None:
    out = console()
    out.print("\n[bold]The certificate, checked without the service[/bold]")
    for check, what in found.checks:
        out.print(f"  {check + ':':<12}{plain(what)}", soft_wrap=True)
    out.print("  It states, besides all figures:")
    for sentence in found.verified.claims:
        indented(sentence, by=4)
    out.print(f"  and {len(found.verified.limits)} limits, of which the first is:")
    indented(found.verified.limits[0], by=4)


def print_end(seconds: float, *, completed: bool) -> None:
    if completed:
        text = (
            "The new version was measured, published, pulled and certified. The file that was "
            "pulled has the SHA-256 of the version above."
        )
    else:
        text = "The request did not complete; the verdict above says why."
    console().print(f"\n{text} {seconds:.0f} s in all.")


def print_next_steps(url: str, key: str, folder: Path) -> None:
    out = console()
    out.print(f"\nThe service goes on at {url} until Ctrl-C; its documentation is {url}/docs")
    out.print("In another terminal:")
    typer.echo(f"  export LOTUS_URL={url} LOTUS_API_KEY={key}")
    typer.echo("  .venv/bin/lotus status")
    typer.echo("  .venv/bin/lotus erase customer-1319 --follow")
    bundle, public = folder / BUNDLE, folder / PUBLIC_KEY
    typer.echo(f"  .venv/bin/lotus verify {bundle} --key {public}")
