"""The service on a socket of its own, for what only a real connection shows."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from app.http.heads import BoundedHeads


@contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    """The address at which the app answers, from a thread of this process."""
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=BoundedHeads,
            port=0,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=5,
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        (socket,) = server.servers[0].sockets
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
