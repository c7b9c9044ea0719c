import subprocess
import sys
from pathlib import Path

import pytest

from app.db import Database
from tests.databases import service_environment
from tests.end_to_end.service import ROOT, Service


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


@pytest.fixture
def on_each_database(empty_database: Database, tmp_path: Path) -> Service:
    """A service that is not started yet, over a database of each dialect."""
    settings = {} if empty_database.is_sqlite else service_environment(empty_database)
    return Service(tmp_path / "data", **settings)
