"""Where the key and the certificate lie, without reading them.

Apart from `certificate`, which loads `cryptography`: 7 MB that a process that speaks no OpenDSR
goes without.
"""

from pathlib import Path
from urllib.parse import urlsplit

from app.config import Settings


class NotSetUp(Exception):
    """A fleet whose processes were given no key: none of them may invent one."""


def paths_of(settings: Settings) -> list[Path]:
    """Of the certificates: the first is the one in use."""
    if settings.opendsr_certificate is not None:
        return [Path(one.strip()) for one in settings.opendsr_certificate.split(",")]
    return [own_path(settings), previous_path(settings)] if settings.is_single_machine else []


def own_path(settings: Settings) -> Path:
    return settings.key_dir / "opendsr.pem"


def previous_path(settings: Settings) -> Path:
    return settings.key_dir / "opendsr-previous.pem"


def host_of(settings: Settings) -> str | None:
    """The domain that the settings name, without a port."""
    return urlsplit(settings.public_url).hostname if settings.public_url else None
