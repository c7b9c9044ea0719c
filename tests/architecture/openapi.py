"""The API's description as it is committed; `make openapi` writes it."""

import json
import tempfile
from pathlib import Path

from app.config import Settings
from app.main import create_app


def description() -> str:
    with tempfile.TemporaryDirectory() as folder:
        document = create_app(Settings(data_dir=Path(folder))).openapi()
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(description(), end="")
