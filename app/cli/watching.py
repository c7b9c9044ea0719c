"""Checking a log from outside: a checkpoint and a key that were kept are all that is trusted."""

from dataclasses import dataclass
from pathlib import Path

from app.audit import merkle, notes
from app.audit.notes import BadNote, SignedCheckpoint
from app.cli.connection import connect
from app.cli.output import Failure, console, print_json
from app.keyring import BadKey
from app.signing import read_public_pem
from client import LotusClient, LotusProblem


@dataclass(frozen=True)
class TrustedKey:
    """A PEM file names no log; a vkey does."""

    public: bytes
    origin: str | None

    def signed(self, checkpoint: SignedCheckpoint) -> bool:
        same = self.origin in (None, checkpoint.checkpoint.origin)
        return same and checkpoint.verify(self.public)


def read_note(path: Path) -> SignedCheckpoint:
    try:
        return notes.parse(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}") from None
    except (BadNote, UnicodeDecodeError):
        raise Failure(f"{path} is no checkpoint of an audit log") from None


def read_key(given: str) -> TrustedKey:
    """A vkey, or the path of a PEM file."""
    try:
        origin, public = notes.parse_vkey(given.strip())
        return TrustedKey(public, origin)
    except BadNote:
        pass
    try:
        return TrustedKey(read_public_pem(Path(given).read_bytes()), None)
    except OSError as error:
        raise Failure(f"--key is no vkey, and no file can be read: {error.strerror}") from None
    except (BadKey, ValueError) as error:
        raise Failure(f"--key: {error}") from None


def check_service(
    url: str, key: TrustedKey, kept: SignedCheckpoint | None, *, as_json: bool
) -> None:
    """Fetches the newest checkpoint, and the proof that it continues the one that was kept."""
    with connect(url) as service:
        try:
            note = service.audit_checkpoint()
            found = notes.parse(note)
        except BadNote as error:
            raise Failure(f"the service's checkpoint: {error}") from None
        except LotusProblem as problem:
            if problem.code == "log-rewound":
                raise Failure("the service says itself that its log is rewound") from None
            raise
        if not key.signed(found):
            raise Failure("the service's checkpoint is not signed by the key given by --key")
        if kept is not None:
            _require_continued(service, kept, found)
    head = found.checkpoint
    if as_json:
        print_json({"ok": True, "size": head.size, "root_hex": head.root.hex(), "note": note})
        return
    out = console()
    out.print(f"{head.size} entries, signed by the key that was given")
    if kept is not None:
        out.print(f"the {kept.checkpoint.size} entries of the given checkpoint are as they were")
    out.print(f"root {head.root.hex()}")


def _require_continued(
    service: LotusClient, kept: SignedCheckpoint, found: SignedCheckpoint
) -> None:
    old, new = kept.checkpoint, found.checkpoint
    if old.origin != new.origin:
        raise Failure("the service's checkpoint is of another log than the one given by --since")
    if new.size < old.size:
        raise Failure(
            f"the log has {new.size} entries, and {old.size} in the checkpoint that was given: it "
            "was cut, or came back from a backup"
        )
    try:
        proof = [bytes.fromhex(digest) for digest in service.audit_consistency(old.size, new.size)]
    except ValueError:
        raise Failure("the service's proof is no proof") from None
    if not merkle.verify_consistency(old.size, new.size, old.root, new.root, proof):
        raise Failure(
            f"entries before {old.size} are not those of the checkpoint that was given: the "
            "service cannot prove that its log continues it"
        )
