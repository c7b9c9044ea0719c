"""Commands that work on the database itself: migrate, audit check."""

from dataclasses import asdict

import typer
from pydantic import ValidationError
from sqlalchemy.exc import ArgumentError, DBAPIError

from app.audit.check import check
from app.cli.output import AsJson, Failure, console, plain, print_json, waiting
from app.config import Settings
from app.keyring import BadKey
from app.migrate import Busy, UnknownRevision, is_current, upgrade
from app.runtime import Runtime

audit = typer.Typer(help="The audit log.", no_args_is_help=True)


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
            upgrade(runtime.database)
        elif not is_current(runtime.database):
            raise Failure("the database is not at this version's tables: run `lotus migrate`")
    except (BadKey, Busy, OSError, UnknownRevision) as error:
        raise Failure(str(error)) from None
    except DBAPIError as error:
        raise Failure(f"the database cannot be used: {error.orig}") from None
    except ArgumentError:
        raise Failure("LOTUS_DATABASE_URL is not a database URL") from None
    return runtime


def migrate(as_json: AsJson = False) -> None:
    """Bring the database to this version's tables."""
    open_runtime(up_to_date=True).close()
    if as_json:
        print_json({"migrated": True})
    else:
        console().print("the database is at this version's tables")


def require_data() -> None:
    """A mistyped folder must not pass for a log in which nothing was changed."""
    settings = read_settings()
    if settings.database_url is None and not (settings.data_dir / "lotus.db").is_file():
        raise Failure(f"there is no service data in {settings.data_dir}: see LOTUS_DATA_DIR")


@audit.command("check")
def audit_check(as_json: AsJson = False) -> None:
    """Recompute the whole audit log and name the first entry that does not fit."""
    require_data()
    runtime = open_runtime(up_to_date=False)
    text = "recomputing every hash"
    with waiting(text, as_json=as_json), runtime.database.read() as session:
        result = check(session)
    if as_json:
        print_json({"ok": result.ok, **asdict(result)})
        if not result.ok:
            raise typer.Exit(1)
        return
    if not result.ok:
        raise Failure(f"the audit log was changed: {result.first_fault}")
    out = console()
    out.print(
        f"{result.entries} entries and {result.pending} not yet sequenced: nothing was changed"
    )
    out.print(f"root {plain(result.root_hex)}")
