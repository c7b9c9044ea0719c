"""The library runs on a machine that has PyTorch and nothing else of the service."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

PROGRAM = """
import importlib, pkgutil, sys

BLOCKED = {
    "pydantic", "sklearn", "scipy", "pandas", "pyarrow", "PIL", "safetensors", "fastapi",
    "starlette", "sqlalchemy", "alembic", "celery", "redis", "httpx2", "typer", "rich", "app",
}

class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"blocked: {name}", name=name)

sys.meta_path.insert(0, Wall())
import workers.unlearning as library

modules = [m.name for m in pkgutil.walk_packages(library.__path__, library.__name__ + ".")]
for module in modules:
    importlib.import_module(module)
print(*modules)
"""


def test_every_module_imports_with_only_torch_and_numpy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {"workers.unlearning.methods.lotus", "workers.unlearning.metrics"} <= set(
        done.stdout.split()
    )


def test_the_speed_benchmark_runs_from_a_checkout_without_the_service() -> None:
    program = PROGRAM[: PROGRAM.index("import workers.unlearning")].replace(
        '"sklearn", "scipy", ', ""
    )
    program += "\nimport benchmarks.speed\nprint('imported')\n"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "imported\n", done.stderr
