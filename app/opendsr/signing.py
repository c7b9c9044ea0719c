"""The seal of a process, read again when its files change: certificates are renewed under a running
service."""

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from app.config import Settings
from app.keyring import BadKey
from app.observability import fields
from app.opendsr.key_files import NotSetUp, paths_of

if TYPE_CHECKING:
    from app.opendsr.certificate import Seal

log = logging.getLogger("lotus.opendsr")

__all__ = ["NotSetUp", "seal_of"]

_Stamp = tuple[tuple[str, int, int], ...]
_lock = threading.Lock()
_read: dict[tuple[object, ...], "tuple[_Stamp, Seal]"] = {}


def seal_of(settings: Settings) -> "Seal":
    """NotSetUp, or BadKey for files that cannot be used. While files are being replaced, key and
    certificate may not fit: then the seal that was read before goes on."""
    name = (
        settings.opendsr_key,
        settings.opendsr_certificate,
        settings.public_url,
        settings.key_dir,
        settings.is_single_machine,
    )
    stamp = _stamp(settings)
    kept = _read.get(name)
    if kept is not None and kept[0] == stamp:
        return kept[1]
    with _lock:
        kept = _read.get(name)
        if kept is not None and kept[0] == stamp:
            return kept[1]
        from app.opendsr import certificate  # `key_files` says why not before

        try:
            seal = certificate.load(settings)
        except BadKey as error:
            if kept is None:
                raise
            log.error("OpenDSR key and certificate not read anew", extra=fields(why=str(error)))
            return kept[1]
        if seal.certificate.is_self_signed:
            log.warning("OpenDSR is signed with a certificate of our own: controllers refuse it")
        _read[name] = (_stamp(settings), seal)
        return seal


def _stamp(settings: Settings) -> _Stamp:
    paths = paths_of(settings)
    if settings.opendsr_key is not None:
        paths.append(settings.opendsr_key)
    return tuple(_state(path) for path in paths)


def _state(path: Path) -> tuple[str, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (str(path), 0, 0)
    return (str(path), found.st_mtime_ns, found.st_size)
