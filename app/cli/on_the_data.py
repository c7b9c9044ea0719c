"""`lotus migrate`; and what commands that work on the data itself ask before they begin."""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from pydantic import ValidationError
from sqlalchemy.exc import ArgumentError, DBAPIError

from app.cli.output import AsJson, Failure, console, print_json
from app.config import Settings
from app.db import Database
from app.http.problems import Problem
from app.keyring import BadKey
from app.revisions import is_current
from app.runtime import Runtime
from app.service_role import BadRole, grant
from app.signing import open_signer
from app.webhooks.sending import BadAuthorities, tls_context


def read_settings() -> Settings:
    try:
        return Settings()
    except ArgumentError:
        raise Failure("LOTUS_DATABASE_URL is not a database URL") from None
    except ValidationError as error:
        faults = error.errors(include_input=False)
        raise Failure("; ".join(_fault(fault["loc"], fault["msg"]) for fault in faults)) from None


def _fault(where: tuple[int | str, ...], why: str) -> str:
    variable = ".".join(f"LOTUS_{part}".upper() for part in where)
    why = why.removeprefix("Value error, ")
    return f"{variable}: {why}" if variable else why


def open_runtime(*, up_to_date: bool) -> Runtime:
    """The data, ready for use: on a single machine the tables are made on the way.

    In a fleet, one `lotus migrate` comes before all processes, so only its absence is noticed here.
    """
    settings = read_settings()
    try:
        runtime = Runtime.open(settings)
        if up_to_date or settings.is_single_machine:
            _upgrade(runtime.database)
        elif not is_current(runtime.database):
            raise Failure("the database is not at this version's tables: run `lotus migrate`")
    except (BadKey, OSError) as error:
        raise Failure(str(error)) from None
    except DBAPIError as error:
        raise Failure(f"the database cannot be used: {error.orig}") from None
    except ArgumentError:
        raise Failure("LOTUS_DATABASE_URL is not a database URL") from None
    return runtime


def _upgrade(database: Database) -> None:
    if is_current(database):
        return
    # 10 MB that a service which is up to date would carry along as long as it runs.
    from app.migrate import Busy, UnknownRevision, upgrade

    try:
        upgrade(database)
    except (Busy, UnknownRevision) as error:
        raise Failure(str(error)) from None


@contextmanager
def on_the_data() -> Iterator[tuple[Runtime, datetime]]:
    """The data and the time; what the service would answer as a problem is one line here."""
    runtime = open_runtime(up_to_date=False)
    try:
        yield runtime, datetime.now(UTC)
    except Problem as problem:
        raise Failure(f"{problem.title}: {problem.detail}") from None
    finally:
        runtime.close()


def migrate(
    service_role: Annotated[
        str | None,
        typer.Option(
            help="PostgreSQL: give this role the rights of the service, and not those of an owner. "
            "It is made, if missing, with the password in LOTUS_SERVICE_PASSWORD."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring the database to this version's tables."""
    runtime = open_runtime(up_to_date=True)
    if service_role is not None:
        password = os.environ.get("LOTUS_SERVICE_PASSWORD") or None
        try:
            grant(runtime.database, service_role, password=password)
        except BadRole as error:
            raise Failure(str(error)) from None
        except DBAPIError as error:
            raise Failure(f"the rights could not be given: {error.orig}") from None
    runtime.close()
    if as_json:
        print_json({"migrated": True})
    else:
        console().print("the database is at this version's tables")


def require_data() -> None:
    """A mistyped folder must not pass for a log in which nothing was changed."""
    settings = read_settings()
    if settings.database_url is None and not (settings.data_dir / "lotus.db").is_file():
        raise Failure(f"there is no service data in {settings.data_dir}: see LOTUS_DATA_DIR")


def require_usable_signer(settings: Settings) -> None:
    """Before a process starts that seals: a key that cannot be used is said plainly."""
    try:
        open_signer(settings)
    except (BadKey, OSError) as error:
        raise Failure(str(error)) from None


def require_usable_authorities(settings: Settings) -> None:
    """Before a process starts that sends callbacks: otherwise it would send none, and only its log
    would say why."""
    try:
        tls_context(settings.callback_ca_file)
    except BadAuthorities as error:
        raise Failure(str(error)) from None


def require_packages(settings: Settings) -> None:
    """What the settings of Redis need is in no installation by default."""
    wanted = {}
    if settings.rate_limit_url is not None and settings.rate_limit:
        wanted["LOTUS_RATE_LIMIT_URL"] = ["redis"]
    if settings.broker_url is not None:
        wanted["LOTUS_BROKER_URL"] = ["celery", "redis"]
    for variable, packages in wanted.items():
        missing = [name for name in packages if importlib.util.find_spec(name) is None]
        if missing:
            raise Failure(
                f"{variable} is set, and not installed: {', '.join(missing)}. Install the extra "
                "`fleet`, or unset the variable"
            )
