"""What a process holds once it has read its settings: database, artifacts, keys."""

from dataclasses import dataclass
from typing import Self

import app.schema  # noqa: F401  (a foreign key takes its type from a table that must be loaded)
from app.config import Settings
from app.db import Database
from app.keyring import Keyring, load_keyring
from app.storage import ArtifactStore


@dataclass(frozen=True)
class Runtime:
    settings: Settings
    database: Database
    artifacts: ArtifactStore
    keyring: Keyring

    @classmethod
    def open(cls, settings: Settings) -> Self:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        return cls(
            settings=settings,
            database=Database(settings.effective_database_url),
            artifacts=ArtifactStore(settings.artifact_dir, settings.staging_dir),
            keyring=load_keyring(settings),
        )

    def close(self) -> None:
        self.database.dispose()
