"""`lotus`: the command line.

Commands talk to a running service through the client. Only serve, worker, migrate, controllers,
keys, signing-keys, audit, opendsr and doctor work on the data itself, and verify needs neither.
"""

import sys

import typer

from app.cli import (
    case_files,
    controllers,
    deciding,
    demo,
    doctor,
    erasing,
    evidence,
    fleet,
    keys,
    on_the_data,
    opendsr,
    registering,
    sealing,
    serve,
    webhooks,
)
from app.cli.output import Failure, print_error
from client import LotusError

__all__ = ["main"]

commands = typer.Typer(
    name="lotus",
    help="Unlearn a person's samples from trained models, and measure what it did.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
commands.command()(serve.serve)
commands.add_typer(fleet.worker, name="worker")
commands.command()(demo.demo)
commands.command()(on_the_data.migrate)
commands.add_typer(controllers.controllers, name="controllers")
commands.add_typer(keys.keys, name="keys")
commands.add_typer(registering.datasets, name="datasets")
commands.add_typer(registering.models, name="models")
commands.command()(erasing.erase)
commands.command()(erasing.status)
commands.add_typer(case_files.requests, name="requests")
for decide in (
    deciding.approve,
    deciding.refuse,
    deciding.hold,
    deciding.resume,
    deciding.extend,
):
    commands.command()(decide)
commands.command()(evidence.certificate)
commands.command()(evidence.verify)
commands.add_typer(webhooks.webhooks, name="webhooks")
commands.add_typer(sealing.audit, name="audit")
commands.add_typer(sealing.keys, name="signing-keys")
commands.add_typer(opendsr.opendsr, name="opendsr")
commands.command()(doctor.doctor)


def main() -> None:
    """Exit code 0 only on success; what went wrong is one line, or JSON where that was asked."""
    try:
        commands()
    except (Failure, LotusError) as error:
        print_error(error, as_json="--json" in sys.argv)
        sys.exit(1)
