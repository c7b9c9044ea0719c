"""What makes a session of tests short."""

import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import sessions
from tests.sessions import keep_files_in_memory, slow_first

TESTS = Path(__file__).parent


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", tempfile.gettempdir())


def has(monkeypatch: pytest.MonkeyPatch, *, gibibytes: int, flag: int = 0) -> None:
    about = SimpleNamespace(f_bavail=gibibytes, f_frsize=2**30, f_flag=flag)
    monkeypatch.setattr(os, "statvfs", lambda folder: about)


def test_files_are_in_memory_where_it_has_room(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    has(monkeypatch, gibibytes=4)
    environment: dict[str, str] = {}
    assert keep_files_in_memory(environment, tmp_path)
    assert environment == {"TMPDIR": str(tmp_path)}


def test_a_folder_that_somebody_named_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    has(monkeypatch, gibibytes=4)
    environment = {"TMPDIR": "/elsewhere"}
    assert not keep_files_in_memory(environment, tmp_path)
    assert environment == {"TMPDIR": "/elsewhere"}


@pytest.mark.parametrize(("gibibytes", "flag"), [(3, 0), (4, os.ST_NOEXEC)])
def test_without_room_or_where_programs_may_not_run_the_disk_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gibibytes: int, flag: int
) -> None:
    has(monkeypatch, gibibytes=gibibytes, flag=flag)
    environment: dict[str, str] = {}
    assert not keep_files_in_memory(environment, tmp_path)
    assert not keep_files_in_memory(environment, tmp_path / "nowhere")
    assert environment == {}


def test_slow_files_come_first_whole_and_then_those_with_the_most_tests() -> None:
    def item(name: str) -> SimpleNamespace:
        return SimpleNamespace(path=TESTS / name)

    few, many = item("test_few.py"), [item("http/test_many.py") for _ in range(3)]
    slow = [item("fleet/test_fleet.py"), item("fleet/test_fleet.py")]
    items = [few, many[0], slow[0], many[1], slow[1], many[2]]
    slow_first(items)  # type: ignore[arg-type]
    assert items == [*slow, *many, few]


@pytest.mark.parametrize("start", sessions.FIRST)
def test_what_comes_first_is_there(start: str) -> None:
    assert (TESTS / start).exists()
