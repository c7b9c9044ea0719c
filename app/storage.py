"""Files named by the SHA-256 of their content.

Two places. **Staged** files are uploads as they came: they may hold raw identities, belong to one
owner, and go when their registration ends. **Stored** files are what the service keeps: weights and
shards. A file appears under its name only when every byte is on the disk and the digest fits. Its
time is that at which it was last put there, also where equal bytes lay there already: a sweep takes
only files for forgotten that nobody has put there lately.
"""

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self
from uuid import UUID

from app.disk import create, listed, modified, remove, renewed, settle, sync_folder

_NAME = re.compile(r"[0-9a-f]{64}")
_DRAFT_PREFIX = ".draft-"


class BadName(ValueError):
    """Not a lower-case SHA-256 in hexadecimal, so it names no file."""


class DigestMismatch(Exception):
    """The bytes are not those that the name promises."""


class CorruptArtifact(Exception):
    """A stored file no longer has the content that its name promises."""

    def __init__(self, sha256: str) -> None:
        super().__init__(f"artifact {sha256} is damaged")
        self.sha256 = sha256


class MissingArtifact(Exception):
    """No file of that name is stored."""

    def __init__(self, sha256: str) -> None:
        super().__init__(f"artifact {sha256} is not in the store")
        self.sha256 = sha256


@dataclass(frozen=True)
class StagedFile:
    owner: UUID
    sha256: str
    arrived_at: datetime


@dataclass
class Upload:
    """A staged file in the making: leave the `with` block before `finish` and nothing remains."""

    draft: Path
    target: Path
    file: BinaryIO
    size: int = 0
    _digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def __enter__(self) -> Self:
        return self

    def write(self, chunk: bytes) -> None:
        self.file.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)

    def finish(self) -> None:
        """Raises DigestMismatch; otherwise the file is on the disk under its name."""
        if self._digest.hexdigest() != self.target.name:
            raise DigestMismatch()
        settle(self.file, self.draft, self.target)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.file.close()
        self.draft.unlink(missing_ok=True)


class ArtifactStore:
    def __init__(self, root: Path, staging: Path) -> None:
        self.root = root
        self.staging = staging
        for folder in (root, staging):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    # Staged: uploads, one folder an owner. Having the bytes is what entitles an owner to use them,
    # so another owner's upload, or a stored file, is not to be had by naming its digest.

    def receive(self, owner: UUID, sha256: str) -> Upload:
        target = self.staged_path(owner, sha256)
        target.parent.mkdir(exist_ok=True, mode=0o700)
        draft = target.parent / f"{_DRAFT_PREFIX}{secrets.token_hex(8)}"
        return Upload(draft, target, create(draft))

    def staged_path(self, owner: UUID, sha256: str) -> Path:
        return self.staging / owner.hex / _checked(sha256)

    def is_staged(self, owner: UUID, sha256: str) -> bool:
        return self.staged_path(owner, sha256).is_file()

    def is_staged_by_anyone(self, sha256: str) -> bool:
        name = _checked(sha256)
        return any((folder / name).is_file() for folder in listed(self.staging))

    def staged(self) -> Iterator[StagedFile]:
        for folder in filter(_is_owner, listed(self.staging)):
            for path, arrived_at in _files(folder):
                yield StagedFile(UUID(hex=folder.name), path.name, arrived_at)

    def discard(self, owner: UUID, sha256: str) -> None:
        remove(self.staged_path(owner, sha256))

    def promote(self, owner: UUID, sha256: str) -> None:
        """From staged to stored. Done again after a crash, it finds the file stored already."""
        staged = self.staged_path(owner, sha256)
        target = self._prepare(sha256)
        if renewed(target):
            remove(staged)
            return
        try:
            os.utime(staged)  # before the move, so that it is never stored and old
            os.replace(staged, target)
        except FileNotFoundError:
            raise MissingArtifact(sha256) from None
        sync_folder(target.parent)

    # Stored: what the service keeps.

    def path(self, sha256: str) -> Path:
        return self.root / _checked(sha256)[:2] / sha256

    def exists(self, sha256: str) -> bool:
        return self.path(sha256).is_file()

    def size(self, sha256: str) -> int:
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            raise MissingArtifact(sha256) from None

    def open(self, sha256: str) -> BinaryIO:
        try:
            return self.path(sha256).open("rb")
        except FileNotFoundError:
            raise MissingArtifact(sha256) from None

    def read(self, sha256: str) -> bytes:
        """The whole file, whose bytes are checked against its name."""
        with self.open(sha256) as file:
            content = file.read()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise CorruptArtifact(sha256)
        return content

    def put(self, content: bytes) -> str:
        """Stores bytes that the service made itself, and returns their name."""
        sha256 = hashlib.sha256(content).hexdigest()
        target = self._prepare(sha256)
        if not renewed(target):
            draft = target.parent / f"{_DRAFT_PREFIX}{secrets.token_hex(8)}"
            with create(draft) as file:
                try:
                    file.write(content)
                    settle(file, draft, target)
                finally:
                    draft.unlink(missing_ok=True)
        return sha256

    def adopt(self, file: Path, sha256: str) -> None:
        """Moves a file in that this service wrote, synced and hashed itself, in a work folder."""
        target = self._prepare(sha256)
        os.utime(file)
        os.replace(file, target)
        sync_folder(target.parent)

    def destroy(self, sha256: str) -> None:
        remove(self.path(sha256))

    def destroy_older(self, sha256: str, before: datetime) -> None:
        """Spares a file that has been put there again since it was listed."""
        written_at = modified(self.path(sha256))
        if written_at is not None and written_at < before:
            self.destroy(sha256)

    def stored(self) -> Iterator[tuple[str, datetime]]:
        """Every stored file with the time it was written."""
        for folder in listed(self.root):
            for path, written_at in _files(folder):
                yield path.name, written_at

    def sweep_drafts(self, before: datetime) -> int:
        """Removes what aborted writes left behind; returns how many files."""
        swept = 0
        for folder in (*listed(self.root), *listed(self.staging)):
            for path in listed(folder):
                written_at = modified(path) if path.name.startswith(_DRAFT_PREFIX) else None
                if written_at is not None and written_at < before:
                    path.unlink(missing_ok=True)
                    swept += 1
        return swept

    # Work: a folder that belongs to one registration while it runs, on the disk of the store.

    def work_folder(self, name: str) -> Path:
        """An empty folder; what an earlier attempt left under the same name is gone."""
        self.clear_work(name)
        folder = self._work / name
        folder.mkdir(parents=True, mode=0o700)
        return folder

    def clear_work(self, name: str) -> None:
        shutil.rmtree(self._work / name, ignore_errors=True)

    def work_names(self) -> list[str]:
        return [folder.name for folder in listed(self._work)]

    @property
    def _work(self) -> Path:
        return self.staging / "work"

    def _prepare(self, sha256: str) -> Path:
        target = self.path(sha256)
        if not target.parent.is_dir():
            target.parent.mkdir(exist_ok=True, mode=0o700)
            sync_folder(self.root)
        return target


def _checked(sha256: str) -> str:
    if not _NAME.fullmatch(sha256):
        raise BadName("an artifact is named by 64 lower-case hexadecimal digits")
    return sha256


def _is_owner(folder: Path) -> bool:
    return re.fullmatch(r"[0-9a-f]{32}", folder.name) is not None


def _files(folder: Path) -> Iterator[tuple[Path, datetime]]:
    """The files of the folder that are named by their content, each with its time."""
    for path in listed(folder):
        written_at = modified(path) if _NAME.fullmatch(path.name) else None
        if written_at is not None:
            yield path, written_at
