"""Files to and from the artifact store: streamed, and named by their SHA-256."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2

from client.problems import DigestMismatch, problem_of
from client.transport import unreachable

CHUNK_BYTES = 1024 * 1024
# Called with (bytes done, bytes in all); a total of 0 means that it is not known.
Progress = Callable[[int, int], None]


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def chunks(path: Path, progress: Progress | None) -> Iterator[bytes]:
    total, done = path.stat().st_size, 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
            done += len(chunk)
            if progress:
                progress(done, total)


def download(
    http: httpx2.Client, url: str, target: Path, expected: str | None, progress: Progress | None
) -> str:
    """Writes `target` only once all bytes are there and match `expected`, or else the ETag."""
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    draft = Path(name)
    digest = hashlib.sha256()
    try:
        with os.fdopen(descriptor, "wb") as file, http.stream("GET", url) as response:
            if response.status_code >= 400:
                response.read()
                raise problem_of(response)
            expected = expected or response.headers.get("etag", "").strip('"') or None
            total = int(response.headers.get("content-length", 0))
            for chunk in response.iter_bytes(CHUNK_BYTES):
                file.write(chunk)
                digest.update(chunk)
                if progress:
                    progress(file.tell(), total)
        if expected is not None and digest.hexdigest() != expected:
            raise DigestMismatch("the downloaded weights do not have the version's SHA-256")
        draft.replace(target)
    except httpx2.TransportError as error:
        raise unreachable(str(http.base_url), error) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
    return digest.hexdigest()
