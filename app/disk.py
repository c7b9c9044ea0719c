"""Files and folders that other processes use at the same time: whatever was listed may be gone."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO


def listed(folder: Path) -> list[Path]:
    """What lies in the folder; nothing if it is gone, or is none."""
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def modified(path: Path) -> datetime | None:
    """None if the file is gone."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def renewed(path: Path) -> bool:
    """Makes the file as old as one that is written now; False if there is none."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def create(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def settle(file: BinaryIO, draft: Path, target: Path) -> None:
    """After this a power cut can no longer take the file back, nor leave half of it."""
    file.flush()
    os.fsync(file.fileno())
    os.replace(draft, target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    try:
        path.unlink()
    except FileNotFoundError:
        return
    sync_folder(path.parent)
