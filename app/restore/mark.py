"""A mark beside the artifacts: how far the audit log had come.

A database that comes back older is told by it. It lies outside the database on purpose, and a
backup should leave it out. It says nothing of persons: a number, a hash, a time, and which database
it was.
"""

import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from app.canonical import instant_text
from app.disk import create, settle

NAME = "log-mark.json"


@dataclass(frozen=True)
class Mark:
    """`database` is None where the dialect has no identity that a restore would change."""

    size: int
    root: bytes
    at: datetime
    database: str | None


def read(folder: Path) -> Mark | None:
    """None if there is none, or nothing that can be read as one."""
    try:
        found = json.loads((folder / NAME).read_text("ascii"))
        return Mark(
            size=int(found["size"]),
            root=bytes.fromhex(found["root"]),
            at=datetime.fromisoformat(found["at"]),
            database=found["database"],
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def write(folder: Path, mark: Mark) -> None:
    """The old mark or the new one is there, whatever happens meanwhile."""
    text = json.dumps(
        {
            "size": mark.size,
            "root": mark.root.hex(),
            "at": instant_text(mark.at),
            "database": mark.database,
        }
    )
    draft = folder / f".{NAME}.{secrets.token_hex(8)}"
    with create(draft) as file:
        try:
            file.write(text.encode("ascii"))
            settle(file, draft, folder / NAME)
        finally:
            draft.unlink(missing_ok=True)
