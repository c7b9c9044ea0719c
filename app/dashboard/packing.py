"""Files that are packed once, and sent packed to whoever says that he can unpack them.

Only for what everybody may read: the length of a packed answer tells something of a secret in it to
whoever can choose a text beside it (BREACH), so nothing of the API is packed.
"""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from fastapi import Request, Response

from app.http.etags import matches

# Below this the head of an answer weighs more than what is saved.
_SMALLEST = 512


@dataclass(frozen=True)
class File:
    content: bytes
    media_type: str

    @cached_property
    def packed(self) -> bytes | None:
        """None where that saves nothing. The same at each start: no time of making is in it."""
        if len(self.content) < _SMALLEST:
            return None
        found = gzip.compress(self.content, compresslevel=9, mtime=0)
        return found if len(found) < len(self.content) else None

    def answer(self, request: Request, version: str, headers: Mapping[str, str]) -> Response:
        """`version` names the content among all that ever were at this address. Packed or not are
        two different things to a cache, so each has a tag of its own."""
        packed = self.packed if takes_gzip(request) else None
        tag = f'"{version}{"-gzip" if packed is not None else ""}"'
        said = {**headers, "ETag": tag, "Vary": "Accept-Encoding"}
        if is_known(request, tag):
            return Response(status_code=304, headers=said)
        if packed is None:
            return Response(self.content, media_type=self.media_type, headers=said)
        said["Content-Encoding"] = "gzip"
        return Response(packed, media_type=self.media_type, headers=said)


def is_known(request: Request, tag: str) -> bool:
    """Whether the caller has the answer with this tag."""
    had = request.headers.getlist("if-none-match")
    return bool(had) and matches(", ".join(had).encode("latin-1"), tag.encode())


def takes_gzip(request: Request) -> bool:
    """RFC 9110, 12.5.3. `*` is not enough: nobody says that for gzip's sake."""
    for line in request.headers.getlist("accept-encoding"):
        for one in line.split(","):
            coding, *parameters = (part.strip().lower() for part in one.split(";"))
            if coding in ("gzip", "x-gzip"):
                return not any(_is_zero(parameter) for parameter in parameters)
    return False


def _is_zero(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name.strip() == "q" and value.strip().rstrip("0") in ("", "0.")
