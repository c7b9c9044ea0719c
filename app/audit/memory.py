"""What the sealer signed last, in a file beside its key: outside the database on purpose, so that a
database that comes back older, or was cut, is told by it. Backups should leave it out.

The file is the signed note itself. Its signature is not asked for: whoever can write here can sign,
and a root that the log never had is refused anyway.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.audit import notes
from app.audit.notes import BadNote, SignedCheckpoint
from app.config import Settings
from app.disk import create, remove, settle, sync_folder
from app.signing import key_path


class Memory:
    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> SignedCheckpoint | None:
        """None if there is no file; BadNote if it holds anything else."""
        try:
            text = self.path.read_bytes().decode("utf-8")
        except FileNotFoundError:
            return None
        except UnicodeDecodeError:
            raise BadNote("not text") from None
        return notes.parse(text)

    def write(self, note: str) -> None:
        """The old note or the new one is there, whatever happens meanwhile."""
        draft = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        with create(draft) as file:
            try:
                file.write(note.encode("utf-8"))
                settle(file, draft, self.path)
            finally:
                draft.unlink(missing_ok=True)

    def replace(self, note: str | None) -> None:
        """Keeps the file aside, for whoever looks into it later, and begins again from `note`."""
        if self.path.exists():
            aside = self.path.with_name(f"{self.path.name}.rewound-{secrets.token_hex(4)}")
            os.link(self.path, aside)
            sync_folder(aside.parent)
        if note is None:
            remove(self.path)
        else:
            self.write(note)

    @contextmanager
    def held(self) -> Iterator[bool]:
        """False if another process or thread holds it: it is at the same work."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = self.path.with_name(f".{self.path.name}.lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
        finally:
            os.close(descriptor)


def memory_of(settings: Settings) -> Memory | None:
    """None where this process signs nothing."""
    if settings.sealer_file is not None:
        return Memory(settings.sealer_file)
    path = key_path(settings)
    return Memory(path.with_name(f"{path.name}.checkpoint")) if path is not None else None
