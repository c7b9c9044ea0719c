"""Which device a GPU worker computes on: workers of one machine take different ones.

A device is taken with a lock on a file that is named after it, which the system gives up by itself
when the worker ends, however it ends. Never imports torch.
"""

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

VISIBLE = "CUDA_VISIBLE_DEVICES"
LIST_SECONDS = 30


class NoDevice(RuntimeError):
    """Every device of this machine is another worker's, or nobody can say which there are."""


@dataclass(frozen=True)
class Device:
    """`environment` makes a child process see this device and no other."""

    name: str | None
    environment: Mapping[str, str] = field(default_factory=dict)
    lock: IO[str] | None = None


NONE = Device(None)


def take(setting: str, folder: Path) -> Device:
    """The device that the setting names, or with `auto` the first GPU that is free; the CPU where
    there is no GPU. Raises NoDevice."""
    if setting != "auto":
        return Device(setting)
    gpus = visible()
    if not gpus:
        return Device("cpu")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for gpu in gpus:
        lock = (folder / f"{gpu}.lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        return Device(f"cuda {gpu}", {VISIBLE: gpu}, lock)
    raise NoDevice(f"all {len(gpus)} GPUs of this machine are taken by other workers")


def visible() -> list[str]:
    """Names of the GPUs that this process may use, unique among machines; none without a driver.
    Raises NoDevice if the driver does not answer."""
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(
        ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=LIST_SECONDS, check=False
    )
    if listed.returncode != 0:
        # Computing on the CPU instead would pass for a slow GPU, and on a GPU for one of ours.
        raise NoDevice("nvidia-smi is there and fails: is the driver loaded?")
    found = re.findall(r"UUID: (GPU-[0-9a-f-]+)\)", listed.stdout)
    allowed = os.environ.get(VISIBLE)
    if allowed is None:
        return found
    chosen = []
    for name in filter(None, (part.strip() for part in allowed.split(","))):
        if name.isdecimal():
            chosen.extend(found[int(name) : int(name) + 1])
        else:
            chosen.extend(uuid for uuid in found if uuid.startswith(name))
    return chosen
