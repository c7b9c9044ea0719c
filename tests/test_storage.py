"""Files named by their content: whole under their name, or not there at all."""

import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from app import disk, storage
from app.storage import (
    ArtifactStore,
    BadName,
    CorruptArtifact,
    DigestMismatch,
    MissingArtifact,
)

OWNER, OTHER = UUID(int=1), UUID(int=2)
CONTENT = b"weights" * 1000
NAME = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts", tmp_path / "staging")


def stage(store: ArtifactStore, owner: UUID = OWNER) -> None:
    with store.receive(owner, NAME) as upload:
        upload.write(CONTENT[:100])
        upload.write(CONTENT[100:])
        upload.finish()


def files(store: ArtifactStore) -> list[str]:
    return [
        path.name
        for folder in (store.root, store.staging)
        for path in folder.rglob("*")
        if path.is_file()
    ]


def test_a_finished_upload_lies_under_its_digest(store: ArtifactStore) -> None:
    stage(store)

    assert store.is_staged(OWNER, NAME)
    assert store.staged_path(OWNER, NAME).read_bytes() == CONTENT
    assert not store.exists(NAME)
    assert [(file.owner, file.sha256) for file in store.staged()] == [(OWNER, NAME)]


def test_an_upload_is_not_to_be_seen_before_its_last_byte(store: ArtifactStore) -> None:
    with store.receive(OWNER, NAME) as upload:
        upload.write(CONTENT)
        assert not store.is_staged(OWNER, NAME)
        assert list(store.staged()) == []


def test_a_wrong_digest_leaves_no_file(store: ArtifactStore) -> None:
    with pytest.raises(DigestMismatch), store.receive(OWNER, NAME) as upload:
        upload.write(CONTENT + b"!")
        upload.finish()

    assert files(store) == []


def test_an_aborted_upload_leaves_no_file(store: ArtifactStore) -> None:
    with pytest.raises(ConnectionError), store.receive(OWNER, NAME) as upload:
        upload.write(CONTENT)
        raise ConnectionError

    assert files(store) == []


def test_a_draft_that_a_dead_process_left_is_swept_when_it_is_old(store: ArtifactStore) -> None:
    now = datetime.now(UTC)
    for upload in (store.receive(OWNER, NAME), store.receive(OWNER, NAME)):
        upload.file.close()
    old, young = sorted((store.staging / OWNER.hex).iterdir())
    os.utime(old, times=((now - timedelta(days=2)).timestamp(),) * 2)

    assert store.sweep_drafts(now - timedelta(days=1)) == 1
    assert files(store) == [young.name]


def test_what_one_owner_staged_is_not_staged_for_another(store: ArtifactStore) -> None:
    stage(store)

    assert not store.is_staged(OTHER, NAME)
    with pytest.raises(MissingArtifact):
        store.promote(OTHER, NAME)


def test_promoting_moves_the_file_and_may_be_repeated(store: ArtifactStore) -> None:
    stage(store)
    store.promote(OWNER, NAME)
    store.promote(OWNER, NAME)

    assert store.path(NAME) == store.root / NAME[:2] / NAME
    assert store.read(NAME) == CONTENT
    assert store.size(NAME) == len(CONTENT)
    assert not store.is_staged_by_anyone(NAME)


def test_destroying_may_be_repeated(store: ArtifactStore) -> None:
    assert store.put(CONTENT) == NAME
    store.destroy(NAME)
    store.destroy(NAME)

    assert not store.exists(NAME)
    for use in (store.read, store.open, store.size):
        with pytest.raises(MissingArtifact):
            use(NAME)


def test_storing_the_same_bytes_twice_keeps_one_file(store: ArtifactStore) -> None:
    assert store.put(CONTENT) == store.put(CONTENT) == NAME
    assert files(store) == [NAME]
    assert [name for name, _ in store.stored()] == [NAME]


def test_a_damaged_file_is_not_read(store: ArtifactStore) -> None:
    store.put(CONTENT)
    store.path(NAME).write_bytes(CONTENT[:-1] + b"?")

    with pytest.raises(CorruptArtifact):
        store.read(NAME)


@pytest.mark.parametrize(
    "name",
    [
        "../" * 5 + "etc/passwd",
        "/etc/passwd",
        NAME.upper(),
        NAME + "\n",
        NAME[:-1],
        NAME + "0",
        "",
        "a/" * 32,
        NAME[:-1] + "٠",
    ],
)
def test_only_a_digest_names_a_file(store: ArtifactStore, name: str) -> None:
    for use in (
        store.path,
        store.exists,
        store.open,
        store.read,
        store.destroy,
        store.is_staged_by_anyone,
        lambda name: store.receive(OWNER, name),
        lambda name: store.staged_path(OWNER, name),
        lambda name: store.promote(OWNER, name),
        lambda name: store.discard(OWNER, name),
    ):
        with pytest.raises(BadName):
            use(name)
    assert files(store) == []


def test_files_and_folders_are_the_services_own(store: ArtifactStore) -> None:
    stage(store)
    store.put(b"other")

    for folder in (store.root, store.staging):
        for path in [folder, *folder.rglob("*")]:
            assert path.stat().st_mode & 0o077 == 0


def _put(store: ArtifactStore) -> None:
    store.put(CONTENT)


def _adopt(store: ArtifactStore) -> None:
    written = store.work_folder("one") / "shard-0"
    written.write_bytes(CONTENT)
    make_old(written)
    store.adopt(written, NAME)


def _promote(store: ArtifactStore) -> None:
    stage(store)
    make_old(store.staged_path(OWNER, NAME))
    store.promote(OWNER, NAME)


def make_old(path: Path) -> None:
    os.utime(path, times=((datetime.now(UTC) - timedelta(days=2)).timestamp(),) * 2)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("store_it", [_put, _adopt, _promote])
def test_a_file_is_as_young_as_the_last_time_it_was_stored(
    store: ArtifactStore, store_it: Callable[[ArtifactStore], None], again: bool
) -> None:
    if again:
        store.put(CONTENT)
        make_old(store.path(NAME))
    store_it(store)

    yesterday = datetime.now(UTC) - timedelta(days=1)
    ((_, written_at),) = store.stored()
    assert written_at > yesterday
    store.destroy_older(NAME, yesterday)
    assert store.read(NAME) == CONTENT


def test_an_old_file_is_destroyed_as_old_and_may_be_gone_already(store: ArtifactStore) -> None:
    store.put(CONTENT)
    make_old(store.path(NAME))
    for _ in range(2):
        store.destroy_older(NAME, datetime.now(UTC) - timedelta(days=1))

    assert files(store) == []


def test_what_another_process_removed_after_it_was_listed_is_passed_over(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage(store)
    store.put(CONTENT)
    gone = "0" * 64

    def listed_late(folder: Path) -> list[Path]:
        ghosts = [folder / name for name in (gone, ".draft-0", "00", "0" * 32)]
        return [*ghosts, *disk.listed(folder)]

    monkeypatch.setattr(storage, "listed", listed_late)

    assert [name for name, _ in store.stored()] == [NAME]
    assert [file.sha256 for file in store.staged()] == [NAME]
    assert not store.is_staged_by_anyone(gone)
    assert store.sweep_drafts(datetime.now(UTC) + timedelta(days=1)) == 0


def test_a_work_folder_starts_empty_and_is_cleared(store: ArtifactStore) -> None:
    folder = store.work_folder("one")
    (folder / "left").write_bytes(b"x")
    assert list(store.work_folder("one").iterdir()) == []
    assert store.work_names() == ["one"]

    store.clear_work("one")
    assert store.work_names() == []
    assert list(store.staged()) == []
