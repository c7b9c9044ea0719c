"""Everything that leaves under the protocol's paths: in its form for errors, and signed.

Outermost of all, so that no refusal of whatever is inside goes out without it. An answer is held
back until its bytes are complete; those very bytes are signed and sent.
"""

import json
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.config import Settings
from app.http.problems import MEDIA_TYPE
from app.keyring import BadKey
from app.opendsr.errors import OpenDsrNotSetUp, translated
from app.opendsr.signing import NotSetUp, seal_of
from app.opendsr.versions import Version, spoken_on

if TYPE_CHECKING:
    from app.opendsr.certificate import Seal

_JSON = b"application/json"
_REPLACED = (b"content-type", b"content-length", b"cache-control")
Headers = list[tuple[bytes, bytes]]


class Speaking:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        version = spoken_on(scope["path"]) if scope["type"] == "http" else None
        if version is None:
            await self.app(scope, receive, send)
            return
        # Controllers write the paths with a slash at the end too.
        inner = {**scope, "path": scope["path"].rstrip("/")}
        held = _Held()
        await self.app(inner, receive, held.take)
        status, headers, body = held.status, held.headers, bytes(held.body)
        seal = await run_in_threadpool(self._seal)
        if _header(headers, b"content-type") == MEDIA_TYPE.encode():
            status, body = translated(status, json.loads(body), seal.domain if seal else "")
        headers = [one for one in headers if one[0] not in _REPLACED]
        headers += [
            (b"content-type", _JSON),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        if seal is not None:
            signature = await run_in_threadpool(seal.sign, body)
            headers += signed(version, seal.domain, signature)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _seal(self) -> "Seal | None":
        try:
            return seal_of(self.settings)
        except (NotSetUp, BadKey):
            return None  # the call itself was refused for it


def signed(version: Version, domain: str, signature: str) -> Headers:
    return [
        (version.domain_header.lower().encode(), domain.encode()),
        (version.signature_header.lower().encode(), signature.encode()),
    ]


def require_seal(settings: Settings) -> "Seal":
    """Before anything is done whose answer could not be signed."""
    try:
        return seal_of(settings)
    except (NotSetUp, BadKey):
        raise OpenDsrNotSetUp(
            "This service has no usable key for OpenDSR: whoever runs it finds the reason with "
            "`lotus doctor`.",
            headers={"Retry-After": "300"},
        ) from None


class _Held:
    """The answer of the application, kept together."""

    def __init__(self) -> None:
        self.status, self.headers, self.body = 500, list[Any](), bytearray()

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = [(name.lower(), value) for name, value in message["headers"]]
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")


def _header(headers: Headers, wanted: bytes) -> bytes | None:
    return next((value for name, value in headers if name == wanted), None)
