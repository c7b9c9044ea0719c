import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.service import ROOT


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's classifier and manifest: one person wrote 100 of 500 training digits."""
    folder = tmp_path_factory.mktemp("digits")
    subprocess.run(
        [sys.executable, ROOT / "examples/digits/train.py", folder],
        check=True,
        capture_output=True,
        timeout=100,
    )
    return folder
