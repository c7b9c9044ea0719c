"""`lotus`: the command line.

Commands talk to a running service through the client. Only serve, worker, migrate, keys, audit and
doctor work on the data itself.
"""

import sys

import typer

from app.cli import demo, doctor, erasing, fleet, on_the_data, registering, serve, webhooks
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
commands.add_typer(on_the_data.keys, name="keys")
commands.add_typer(registering.datasets, name="datasets")
commands.add_typer(registering.models, name="models")
commands.command()(erasing.erase)
commands.command()(erasing.status)
commands.add_typer(webhooks.webhooks, name="webhooks")
commands.add_typer(on_the_data.audit, name="audit")
commands.command()(doctor.doctor)


def main() -> None:
    """Exit code 0 only on success; what went wrong is one line, or JSON where that was asked."""
    try:
        commands()
    except (Failure, LotusError) as error:
        print_error(error, as_json="--json" in sys.argv)
        sys.exit(1)
