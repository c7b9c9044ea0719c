"""`python -m migrations.draft "what changes"`: writes the next script from the tables in the code.

Compares them with a database that the present scripts build. Triggers, CHECKs and data are for the
author to add, and the file for the author to read.
"""

import sys
import tempfile
from pathlib import Path

from app import migrate
from app.db import Database


def main(message: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'draft.db'}")
        try:
            migrate.upgrade(database)
            print(migrate.draft(database, message))
        finally:
            database.dispose()


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]))
