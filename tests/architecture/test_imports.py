"""What a program pulls in when it is imported, beyond what import-linter can see."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "workers" / "unlearning"
# Statistics that some verifications need; the rest of the library works without them.
ONLY_IN_FUNCTIONS = {"scipy", "sklearn"}


def loaded_by(module: str, environment: dict[str, str] | None = None) -> set[str]:
    """Top-level names in `sys.modules` after a fresh interpreter has imported `module`."""
    return {name.split(".")[0] for name in modules_after(f"import {module}", environment)}


def modules_after(program: str, environment: dict[str, str] | None = None) -> set[str]:
    """Names in `sys.modules` at the end, without those that are marked as not to be had."""
    program += "; import sys; print(*(name for name, module in sys.modules.items() if module))"
    output = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(output.stdout.split())


@pytest.mark.parametrize("module", ["app.main", "app.cli"])
def test_the_service_starts_without_a_library_for_tensors_or_tables(module: str) -> None:
    assert not loaded_by(module) & {"torch", "numpy", "pyarrow", "safetensors", "PIL", "workers"}


@pytest.mark.parametrize("module", ["workers.tasks", "workers.local"])
def test_what_supervises_runs_never_loads_what_runs_compute_with(module: str) -> None:
    """CUDA does not survive a fork, and a supervisor must outlive what its runs do to memory."""
    environment = {**os.environ, "LOTUS_BROKER_URL": "redis://127.0.0.1:1/0"}
    loaded = loaded_by(module, environment)
    assert "sqlalchemy" in loaded
    assert not loaded & {"torch", "numpy", "pyarrow", "safetensors", "PIL"}


def test_the_api_loads_no_celery_until_it_has_a_broker_to_ring() -> None:
    assert "celery" not in loaded_by("app.main")


def test_the_api_loads_no_cryptography_until_something_is_signed_or_sealed() -> None:
    assert "cryptography" not in loaded_by("app.main")


def test_the_api_loads_no_pydantic_1_and_fastapi_does_without() -> None:
    loaded = modules_after("from app.main import prepare_app; prepare_app().openapi()")
    assert "pydantic" in loaded and "pydantic.v1" not in loaded


def test_the_api_loads_sqlite_only_where_that_is_the_database(tmp_path: Path) -> None:
    opened = "import app.main; from app.db import Database; Database('{}').engine.dialect"
    assert "sqlite3" not in modules_after(opened.format("postgresql+psycopg://nowhere/lotus"))
    assert "sqlite3" in modules_after(opened.format(f"sqlite:///{tmp_path}/lotus.db"))


def test_the_command_line_loads_alembic_only_to_migrate() -> None:
    assert not loaded_by("app.cli") & {"alembic", "mako", "pygments"}


def test_the_command_line_loads_the_web_framework_only_to_serve() -> None:
    assert "app" in loaded_by("app.cli")
    assert "starlette" not in loaded_by("client")


def test_the_unlearning_library_loads_no_web_database_or_file_format() -> None:
    loaded = loaded_by("workers.unlearning")
    assert {"torch", "numpy"} <= loaded
    assert not loaded & {"app", "fastapi", "sqlalchemy", "pydantic", "pyarrow", "scipy", "sklearn"}


@pytest.mark.parametrize(
    "path", sorted(LIBRARY.rglob("*.py")), ids=lambda path: str(path.relative_to(LIBRARY))
)
def test_a_file_of_the_library_imports_only_torch_numpy_and_the_standard_library(
    path: Path,
) -> None:
    allowed = set(sys.stdlib_module_names) | {"torch", "numpy", "workers"}
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        for name in imported(node):
            top = name.split(".")[0]
            if top == "workers":
                assert name.startswith("workers.unlearning"), name
            elif top in ONLY_IN_FUNCTIONS:
                assert node not in tree.body, f"{name} must be imported inside a function"
            else:
                assert top in allowed, name


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative imports hide where a module is"
        return [node.module or ""]
    return []
