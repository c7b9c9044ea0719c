"""An installed service has the dashboard's files, and not only a checkout."""

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[2]
BUILD = "from setuptools import build_meta; build_meta.build_wheel({!r})"


def test_the_wheel_holds_every_file_of_the_dashboard(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    shutil.copytree(ROOT / "app", source / "app", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-c", BUILD.format(str(tmp_path))]
    subprocess.run(command, cwd=source, check=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    inside = {name for name in ZipFile(wheel).namelist() if name.startswith("app/dashboard/web/")}
    web = ROOT / "app" / "dashboard" / "web"
    wanted = {path.relative_to(ROOT).as_posix() for path in web.rglob("*") if path.is_file()}
    assert len(wanted) > 30
    assert inside == wanted
