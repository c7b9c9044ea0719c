"""`lotus serve`: the HTTP service and, on a single machine, the worker loop beside it."""

import importlib.util
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Annotated

import typer
import uvicorn
from sqlalchemy import select

from app import observability
from app.cli import sandbox
from app.cli.keys import make_key
from app.cli.on_the_data import (
    open_runtime,
    read_settings,
    require_packages,
    require_usable_authorities,
    require_usable_signer,
)
from app.cli.output import AsJson, Failure, console, print_json
from app.config import Settings
from app.http.heads import BoundedHeads
from app.keys.scopes import ALL_SCOPES
from app.keys.tables import ApiKey
from app.observability import fields
from app.restore.watch import look_once
from app.runtime import Runtime

log = logging.getLogger("lotus.serve")

WORKER = [sys.executable, "-m", "workers.local"]
SHORTEST_REST_SECONDS = 1.0
LONGEST_REST_SECONDS = 30.0
STOP_SECONDS = 30.0
NO_TORCH = (
    "PyTorch is not installed, so nothing here can check uploads or run erasures: requests are "
    "accepted and wait. Install the extra `worker`."
)


def serve(
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    as_sandbox: Annotated[
        bool,
        typer.Option(
            "--sandbox",
            help="With a data folder, keys and a small model of its own, to try everything on.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the service until Ctrl-C. Without any setting: SQLite and one worker on this machine."""
    from app.main import create_app  # half a second that no other command should wait for

    sandbox_folder = sandbox.enter() if as_sandbox else None
    require_packages(read_settings())
    runtime = open_runtime(up_to_date=False)
    settings = runtime.settings
    if settings.is_single_machine:
        require_usable_signer(settings)
    if _has_a_worker(settings):
        require_usable_authorities(settings)
    listener = _listen(host, port)
    url = _address(listener)
    # Shown only once, so nothing that can be foreseen may fail after it was made.
    furnisher = _furnisher(runtime) if sandbox_folder else None
    key = None if furnisher else _first_key(runtime)
    observability.configure(settings.log_level)
    look_once(runtime)  # before the worker beside can claim anything
    runtime.close()
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        http=BoundedHeads,
        log_config=None,  # set by observability.configure
        timeout_graceful_shutdown=int(STOP_SECONDS),
        access_log=False,
    )

    failures: list[Exception] = []

    def greet(shown: str | None) -> None:
        if as_json:
            said = {"url": url, "docs": f"{url}/docs", "key": shown}
            print_json(said | ({"sandbox": sandbox.about()} if sandbox_folder else {}))
        else:
            _greet(url, shown, settings)
            if sandbox_folder:
                _show_sandbox()

    def furnish() -> None:
        assert sandbox_folder is not None and furnisher is not None
        try:
            sandbox.furnish(url, furnisher, sandbox_folder, as_json=as_json)
            greet(_first_key(app.state.runtime))
        except Exception as error:
            failures.append(error)
            server.should_exit = True

    def ready() -> None:
        if furnisher is None:
            greet(key)
        else:
            threading.Thread(target=furnish, name="sandbox", daemon=True).start()

    server = _Server(config, ready, app.state.following.stop)
    # uvicorn raises the signal again once it has shut down; the worker must still be stopped then.
    signal.signal(signal.SIGTERM, _leave)
    with suppress(KeyboardInterrupt), worker_beside(settings):
        server.run(sockets=[listener])
    if failures:
        raise Failure(f"the sandbox got no model: {failures[0]}") from failures[0]


def _furnisher(runtime: Runtime) -> str | None:
    """A key to register the sandbox's model with, valid for a day; None if it is there already."""
    if sandbox.is_furnished(runtime):
        return None
    return make_key(runtime, sandbox.SET_UP, sandbox.SCOPES, days=1)[1]


def _show_sandbox() -> None:
    said = sandbox.about()
    out = console()
    out.print(
        f"[bold]A sandbox[/bold]: the model {said['model']} was trained on {said['samples']} "
        f"samples of {said['subject']} and on others', {said['data']}. Try",
        soft_wrap=True,
    )
    out.print(f"  lotus erase {said['subject']}", markup=False)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise Failure(f"cannot listen on {host}:{port}: {error.strerror}") from None


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


class _Server(uvicorn.Server):
    """Says that it answers only once it does, and when it begins to stop: it waits for calls in
    progress, and some would go on for an hour."""

    def __init__(
        self, config: uvicorn.Config, ready: Callable[[], None], stopping: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._stopping = stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping()
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


def _first_key(runtime: Runtime) -> str | None:
    """One key with every scope, on the first start of a single machine only."""
    if not runtime.settings.is_single_machine:
        return None
    with runtime.database.read() as session:
        shown = select(ApiKey.id).where(ApiKey.name != sandbox.SET_UP)
        if session.scalar(shown.limit(1)) is not None:
            return None
    return make_key(runtime, "first start", list(ALL_SCOPES))[1]


def _greet(url: str, key: str | None, settings: Settings) -> None:
    out = console()
    out.print(f"Listening on {url}, documentation on {url}/docs")
    if settings.is_single_machine:
        out.print(f"Data in {settings.data_dir.resolve()}", soft_wrap=True)
    if key:
        out.print("An API key with every scope, shown only now:")
        typer.echo(f"export LOTUS_URL={url} LOTUS_API_KEY={key}")


def _has_a_worker(settings: Settings) -> bool:
    """A fleet has `lotus worker`s."""
    return settings.broker_url is None


@contextmanager
def worker_beside(settings: Settings) -> Iterator[None]:
    if not _has_a_worker(settings):
        yield
        return
    if importlib.util.find_spec("torch") is None:
        log.warning(NO_TORCH)
        yield
        return
    loop = _WorkerLoop()
    loop.start()
    try:
        yield
    finally:
        loop.stop()


class _WorkerLoop:
    """Keeps one worker process alive; it starts again after a crash, with growing pauses."""

    def __init__(self) -> None:
        self._ending = threading.Event()
        self._starting = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep_alive, name="worker-loop", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._starting:
            self._ending.set()
            process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _keep_alive(self) -> None:
        rest = SHORTEST_REST_SECONDS
        while True:
            began = time.monotonic()
            with self._starting:  # so that no process begins after `stop` has looked for one
                if self._ending.is_set():
                    return
                self._process = subprocess.Popen(
                    WORKER,
                    stdout=sys.stderr.fileno(),
                    # So that it ends with us even if we end before it has looked.
                    env={**os.environ, "LOTUS_PARENT_PID": str(os.getpid())},
                )
            code = self._process.wait()
            if self._ending.is_set():
                return
            if time.monotonic() - began > LONGEST_REST_SECONDS:
                rest = SHORTEST_REST_SECONDS
            log.error("the worker loop ended", extra=fields(code=code, again_in_seconds=rest))
            self._ending.wait(rest)
            rest = min(LONGEST_REST_SECONDS, 2 * rest)
