"""Which GPU a worker takes. The list comes from the driver's own program, which is absent here: a
program of its name on the PATH prints what two GPUs print."""

import multiprocessing
import os
from pathlib import Path

import pytest

from workers import devices
from workers.devices import Device, NoDevice, take, visible

FIRST, SECOND = "GPU-11111111-aaaa", "GPU-22222222-bbbb"
LISTED = f"""GPU 0: NVIDIA H100 80GB HBM3 (UUID: {FIRST})
GPU 1: NVIDIA H100 80GB HBM3 (UUID: {SECOND})
"""


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{LISTED}END\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.delenv(devices.VISIBLE, raising=False)


def name_in_a_process(folder: Path, answer: "multiprocessing.Queue[str]") -> None:
    try:
        answer.put(str(take("auto", folder).name))
    except NoDevice as error:
        answer.put(str(error))


def another_worker(folder: Path) -> str:
    context = multiprocessing.get_context("fork")
    answer: multiprocessing.Queue[str] = context.Queue()
    process = context.Process(target=name_in_a_process, args=(folder, answer))
    process.start()
    found = answer.get(timeout=30)
    process.join(30)
    return found


@pytest.mark.usefixtures("two_gpus")
def test_workers_of_one_machine_take_different_gpus_and_a_third_takes_none(tmp_path: Path) -> None:
    first = take("auto", tmp_path / "devices")
    assert first.name == f"cuda {FIRST}" and first.environment == {devices.VISIBLE: FIRST}
    second = take("auto", tmp_path / "devices")
    assert second.environment == {devices.VISIBLE: SECOND}
    assert another_worker(tmp_path / "devices") == (
        "all 2 GPUs of this machine are taken by other workers"
    )


@pytest.mark.usefixtures("two_gpus")
def test_a_worker_that_ended_leaves_its_gpu_to_the_next(tmp_path: Path) -> None:
    assert another_worker(tmp_path / "devices") == f"cuda {FIRST}"
    assert another_worker(tmp_path / "devices") == f"cuda {FIRST}"


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        ("1", [SECOND]),
        (SECOND, [SECOND]),
        ("GPU-1111", [FIRST]),
        ("", []),
        ("7", []),
        ("1,0", [SECOND, FIRST]),
    ],
)
def test_what_the_environment_hides_is_not_taken(
    allowed: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(devices.VISIBLE, allowed)
    assert visible() == expected


def test_without_a_driver_a_worker_computes_on_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert take("auto", tmp_path / "devices") == Device("cpu")


def test_a_device_that_is_named_is_taken_as_it_is(tmp_path: Path) -> None:
    assert take("cuda:1", tmp_path / "devices") == Device("cuda:1")
