"""A data folder on a small file system of its own, where that can be had: it can be filled."""

import os
import subprocess
from contextlib import suppress
from pathlib import Path

SIZE = 64 * 2**20


class Disk:
    """Mounting takes root's rights; without them the folder is a plain one and stays unfilled."""

    def __init__(self, folder: Path, *, small: bool) -> None:
        self.folder = folder
        self._filler = folder / "filler"
        self.is_small = small and os.geteuid() == 0 and self._mount()

    def _mount(self) -> bool:
        options = f"size={SIZE},mode=700"
        command = ["mount", "-t", "tmpfs", "-o", options, "lotus-test", str(self.folder)]
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            return False

    def fill(self) -> None:
        with suppress(OSError), self._filler.open("wb", buffering=0) as file:
            while file.write(bytes(2**18)):
                pass

    def free(self) -> None:
        self._filler.unlink(missing_ok=True)

    def close(self) -> None:
        if self.is_small:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=False)
