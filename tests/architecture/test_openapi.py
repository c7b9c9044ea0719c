"""`openapi.json` is what client authors read, so it must say what the code does."""

import json
from pathlib import Path

from tests.architecture.openapi import description

COMMITTED = Path(__file__).parents[2] / "openapi.json"


def test_the_committed_description_is_the_code_s_own() -> None:
    assert COMMITTED.read_text() == description(), "run `make openapi` and commit the result"


def test_every_operation_says_what_it_does() -> None:
    paths = json.loads(description())["paths"]
    silent = [
        f"{method} {path}"
        for path, operations in paths.items()
        for method, operation in operations.items()
        if not operation.get("summary")
    ]
    assert silent == []
