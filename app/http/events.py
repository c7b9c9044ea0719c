"""Server-sent events (WHATWG HTML, section 9.2), as bytes."""

# How long a client waits before it connects again.
RETRY = b"retry: 3000\n\n"
# Nothing, so that whoever stands between does not take the connection for dead.
HEARTBEAT = b":\n\n"
MEDIA_TYPE = "text/event-stream"
# A proxy would keep back what it takes for the beginning of a page.
HEADERS = {"X-Accel-Buffering": "no"}


def event(name: str, data: str, *, id: str | None = None) -> bytes:
    """`data` is one line, and no name or id of ours has a line end."""
    named = f"id: {id}\n" if id is not None else ""
    return f"{named}event: {name}\ndata: {data}\n\n".encode()
