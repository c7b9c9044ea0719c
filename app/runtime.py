"""What a process holds once it has read its settings: database, artifacts, keys."""

import resource
from dataclasses import dataclass
from typing import Self

import app.dialects
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
    def open(cls, settings: Settings, *, page_cache_kib: int | None = None) -> Self:
        _leave_no_core_dumps()
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        return cls(
            settings=settings,
            database=Database(settings.effective_database_url, page_cache_kib=page_cache_kib),
            artifacts=ArtifactStore(settings.artifact_dir, settings.staging_dir),
            keyring=load_keyring(settings),
        )

    def close(self) -> None:
        self.database.dispose()


def _leave_no_core_dumps() -> None:
    """A process that dies of a signal would leave its memory in a file: keys, and whatever persons
    it was just reading about. Its children inherit this."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
