"""`lotus audit` and `lotus signing-keys`: is the log what it was, and who signed it."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from app.audit import accepting, notes
from app.audit.check import check
from app.audit.checkpoints import log_state, newest, signing_keys
from app.audit.kinds import OPERATOR, RewindAccepted
from app.audit.memory import Memory, memory_of
from app.audit.notes import SignedCheckpoint
from app.cli.on_the_data import open_runtime, read_settings, require_data
from app.cli.output import AsJson, Failure, console, plain, print_json, waiting
from app.cli.watching import check_service, read_key, read_note
from app.runtime import Runtime
from app.signing import key_path, make_key, public_pem

audit = typer.Typer(help="The audit log.", no_args_is_help=True)
keys = typer.Typer(help="The keys that sign checkpoints and certificates.")

Since = Annotated[
    Path | None,
    typer.Option(help="A checkpoint that was kept: the log must continue it."),
]
Key = Annotated[
    str | None,
    typer.Option(help="The log's public key: a PEM file, or a vkey in one line."),
]


@audit.command("check")
def audit_check(
    since: Since = None,
    key: Key = None,
    url: Annotated[
        str | None, typer.Option(help="Ask this running service, and verify its answers here.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Recompute the whole audit log and name the first thing in it that does not fit."""
    kept = read_note(since) if since is not None else None
    given = read_key(key) if key is not None else None
    if kept is not None and given is not None and not given.signed(kept):
        raise Failure("the checkpoint given by --since is not signed by the key given by --key")
    if url is not None:
        if given is None:
            raise Failure("--url needs --key: a service must not say itself whose signature counts")
        check_service(url, given, kept, as_json=as_json)
        return
    _check_data(kept, as_json=as_json, verified=given is not None)


def _check_data(kept: SignedCheckpoint | None, *, as_json: bool, verified: bool) -> None:
    require_data()
    runtime = open_runtime(up_to_date=False)
    if kept is not None and not verified:
        _require_known_key(runtime, kept)
    since = kept.checkpoint if kept is not None else None
    text = "recomputing every hash"
    with waiting(text, as_json=as_json), runtime.database.read() as session:
        result = check(session, since=since)
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
    if since is not None:
        out.print(f"the {since.size} entries of the given checkpoint are as they were")
    out.print(f"{result.checkpoints} checkpoints, each rightly signed")
    out.print(f"root {plain(result.root_hex)}")


def _require_known_key(runtime: Runtime, kept: SignedCheckpoint) -> None:
    with runtime.database.read() as session:
        known = [key.public for key in signing_keys(session)]
    if not any(kept.verify(public) for public in known):
        raise Failure(
            "the checkpoint given by --since is not signed by a key of this log: is it of another "
            "log, or is this a database from before the key? --key names the key to trust"
        )


@audit.command("checkpoint")
def audit_checkpoint(as_json: AsJson = False) -> None:
    """Print the newest checkpoint, to be kept where nobody who can write to the log can write."""
    require_data()
    runtime = open_runtime(up_to_date=False)
    with runtime.database.read() as session:
        state, stored = log_state(session), newest(session)
    if state is not None and state.rewound_at is not None:
        raise Failure(
            f"the log is rewound ({state.rewound_reason}) and not signed: see `lotus doctor`"
        )
    if stored is None:
        raise Failure("nothing has been signed yet: `lotus doctor` says whether anything seals")
    if as_json:
        print_json({"size": stored.tree_size, "note": stored.note})
    else:
        typer.echo(stored.note, nl=False)


@audit.command("accept-rewind")
def accept_rewind(
    yes: Annotated[bool, typer.Option("--yes", help="Sign the log as it is.")] = False,
    as_json: AsJson = False,
) -> None:
    """After a restore: let the sealer sign a log that does not continue what it signed before.

    Whoever holds a later checkpoint of the lost log can prove that it was. Says what would be
    accepted; does it with --yes only. Runs where the signing key is, as its memory is replaced.
    """
    require_data()
    runtime = open_runtime(up_to_date=False)
    memory = memory_of(runtime.settings)
    if memory is None:
        raise Failure("LOTUS_SIGNING_KEY is not set here: run this where the log is sealed")
    try:
        accepted = _accept(runtime, memory) if yes else _proposal(runtime)
    except accepting.NotAcceptable as error:
        raise Failure(str(error)) from None
    if accepted is None:
        raise Failure("the log was not found rewound: there is nothing to accept")
    if as_json:
        print_json({"accepted": yes, **accepted.model_dump(mode="json")})
    else:
        _say(accepted, done=yes)
    if not yes:
        raise typer.Exit(1)


def _proposal(runtime: Runtime) -> RewindAccepted | None:
    with runtime.database.read() as session:
        return accepting.proposal(session, actor=OPERATOR)


def _accept(runtime: Runtime, memory: Memory) -> RewindAccepted | None:
    now = datetime.now(UTC)
    with memory.held() as ours:
        if not ours:
            raise Failure("the sealer is at work this moment: try again")
        with runtime.database.write() as session:
            return accepting.accept_rewind(session, memory, actor=OPERATOR, now=now)


def _say(facts: RewindAccepted, *, done: bool) -> None:
    out = console()
    signed = f"{facts.signed_size} entries, root {facts.signed_root}"
    out.print(f"signed last: {signed if facts.signed_size is not None else 'unknown'}")
    out.print(f"the log now: {facts.log_size} entries, root {facts.log_root}")
    out.print(f"reason: {facts.reason}")
    if done:
        out.print("accepted, and the log says so: it is sealed again within a minute")
    else:
        out.print("nothing was done: repeat with --yes to have the log signed as it is")


@keys.callback(invoke_without_command=True)
def signing_keys_list(
    context: typer.Context,
    write: Annotated[
        Path | None, typer.Option(help="Write each key's PEM file into this folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the public keys that signed, and sign, for this log."""
    if context.invoked_subcommand is not None:
        return
    require_data()
    runtime = open_runtime(up_to_date=False)
    with runtime.database.read() as session:
        state, found = log_state(session), signing_keys(session)
    if write is not None:
        write.mkdir(parents=True, exist_ok=True)
        for key in found:
            (write / f"{key.key_id}.pem").write_text(public_pem(key.public), "ascii")
    named = [(key, notes.vkey(state.origin, key.public)) for key in found if state is not None]
    if as_json:
        print_json(
            {
                "items": [
                    {
                        "key_id": key.key_id,
                        "vkey": vkey,
                        "since": key.created_at,
                        "until": key.retired_at,
                    }
                    for key, vkey in named
                ]
            }
        )
        return
    for key, vkey in named:
        until = f"until {key.retired_at:%Y-%m-%d %H:%M}" if key.retired_at else "in use"
        console().print(f"{key.key_id}\n  from {key.created_at:%Y-%m-%d %H:%M} UTC, {until}")
        typer.echo(f"  {vkey}")
    if not named:
        console().print("no key has signed for this log yet")


@keys.command("create")
def create_key(as_json: AsJson = False) -> None:
    """Make the file that LOTUS_SIGNING_KEY names, unless it is there.

    Refused while the log has a key in use: a key whose file is lost must not be replaced unseen.
    """
    settings = read_settings()
    path = key_path(settings)
    if path is None:
        raise Failure("LOTUS_SIGNING_KEY must name the file that is to be made")
    made = False
    if not path.exists():
        runtime = open_runtime(up_to_date=False)
        with runtime.database.read() as session:
            in_use = [key.key_id for key in signing_keys(session) if key.retired_at is None]
        if in_use:
            raise Failure(
                f"the log has the key {in_use[0]} in use, and there is no file {path}: put the "
                "file back, or make another with `openssl genpkey -algorithm ed25519`"
            )
        try:
            made = make_key(path)
        except OSError as error:
            raise Failure(f"{path} cannot be made: {error.strerror}") from None
    if as_json:
        print_json({"path": str(path), "made": made})
    else:
        console().print(f"{plain(path)} {'was made' if made else 'is there already'}")
