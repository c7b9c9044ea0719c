"""`lotus worker`: the processes of a fleet. Celery runs them; its command line is chosen here."""

import importlib.util
import os
import socket
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from sqlalchemy import select

from app.cli.on_the_data import (
    open_runtime,
    read_settings,
    require_data,
    require_packages,
    require_usable_authorities,
    require_usable_signer,
)
from app.cli.output import AsJson, Failure, print_json
from app.db import Database
from app.erasure.worker_tables import Worker, WorkerRole

worker = typer.Typer(help="Workers of a fleet.", no_args_is_help=True)

# A worker beats every 15 s, and ends itself when it no longer takes messages.
SILENCE = timedelta(seconds=60)


@worker.command()
def gpu() -> None:
    """Compute runs, one at a time, on a device of this machine that no other worker has taken."""
    _become(WorkerRole.GPU, "--queues", "gpu", "--concurrency", "1")


@worker.command()
def ops(
    concurrency: Annotated[int, typer.Option(help="Tasks at once.", min=2, max=64)] = 4,
) -> None:
    """Everything else: uploads, expired leases, the audit log, callbacks, closing, timetable."""
    _become(WorkerRole.OPS, "--queues", "ops", "--concurrency", str(concurrency), "--beat")


@worker.command()
def check(role: WorkerRole, as_json: AsJson = False) -> None:
    """Exit code 0 if a worker of this role on this host was heard of within a minute."""
    require_data()
    database = Database(read_settings().effective_database_url)
    here = f"{socket.gethostname()}/"
    with database.read() as session:
        last = session.scalar(
            select(Worker.heartbeat_at)
            .where(Worker.role == role, Worker.name.startswith(here, autoescape=True))
            .order_by(Worker.heartbeat_at.desc())
            .limit(1)
        )
    database.dispose()
    if last is None:
        raise Failure(f"no {role} worker has started on this host")
    silent = datetime.now(UTC) - last
    if silent > SILENCE:
        raise Failure(
            f"no {role} worker on this host was heard of for {silent.total_seconds():.0f} s"
        )
    if as_json:
        print_json({"role": role, "silent_seconds": silent.total_seconds()})


def _become(role: WorkerRole, *arguments: str) -> None:
    """This process becomes Celery's, so that signals and exit codes are Celery's own."""
    settings = read_settings()
    if settings.broker_url is None:
        raise Failure("LOTUS_BROKER_URL must be set: without a broker `lotus serve` has a worker")
    require_packages(settings)
    if role is WorkerRole.GPU and importlib.util.find_spec("torch") is None:
        raise Failure("PyTorch is not installed: install the extra `worker`")
    require_data()
    if role is WorkerRole.OPS:
        require_usable_signer(settings)
        require_usable_authorities(settings)
    open_runtime(up_to_date=False).close()  # says plainly what is wrong with database or keys
    name = f"{role}-{os.getpid()}@%h"
    command = [
        *(sys.executable, "-m", "celery", "--app", "workers.celery_app", "--quiet", "worker"),
        *("--pool", "threads", "--hostname", name, "--loglevel", settings.log_level),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    ]
    os.execv(sys.executable, [*command, *arguments])
