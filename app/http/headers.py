"""What every answer says to browsers and caches, where its endpoint says nothing else."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ALWAYS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
_UNLESS_SAID = [
    # What a controller may see is for nobody's cache.
    (b"cache-control", b"no-store"),
    # No answer is a page, but for those that say so.
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    # Nor a picture or a script of another page, which may be of the same site: a neighbour's
    # host or port, whose calls the cookie of a session goes along with.
    (b"cross-origin-resource-policy", b"same-origin"),
]


class SafeHeaders:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], *_ALWAYS]
                said = {name for name, _ in message["headers"]}
                headers += [(name, value) for name, value in _UNLESS_SAID if name not in said]
                message["headers"] = headers
            await send(message)

        await self.app(scope, receive, with_headers)
