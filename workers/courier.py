"""Sends callbacks: a few threads of their own, so that a slow receiver holds up nothing else.

Whoever keeps the time pokes; what there is to send, the database says. Never imports torch.
"""

import logging
import random
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime

from app.clock import utc_now
from app.observability import fields
from app.restore.service import is_paused
from app.runtime import Runtime
from app.webhooks import delivering
from app.webhooks.delivering import Claimed
from app.webhooks.dialects import CannotSign
from app.webhooks.secrets import SecretUnreadable
from app.webhooks.sending import Network, Result, send, tls_context
from app.webhooks.tables import DeliveryError, DeliveryState

log = logging.getLogger("lotus.callbacks")

SENDERS = 16
REST_SECONDS = 10.0


def network_of(runtime: Runtime) -> Network:
    settings = runtime.settings
    return Network(
        tls_context(settings.callback_ca_file), http_loopback=settings.callbacks_http_loopback
    )


class Courier:
    """At most `SENDERS` messages at once. Ends with its process; what it held is due again when the
    lease ends."""

    def __init__(
        self,
        runtime: Runtime,
        network: Network | None = None,
        now_fn: Callable[[], datetime] = utc_now,
    ) -> None:
        self.runtime = runtime
        self._network = network
        self._now = now_fn
        self._woken, self._ending = threading.Event(), threading.Event()
        self._sending: set[Future[None]] = set()
        self._pool = ThreadPoolExecutor(SENDERS, thread_name_prefix="callback")
        self._thread = threading.Thread(target=self._run, daemon=True, name="courier")
        self._started = False

    @property
    def network(self) -> Network:
        """Made when it is first needed: a wrong setting of callbacks must stop nothing else."""
        if self._network is None:
            self._network = network_of(self.runtime)
        return self._network

    def poke(self) -> None:
        """There may be something to send. The first poke starts the thread."""
        if not self._started:
            self._started = True
            self._thread.start()
        self._woken.set()

    def stop(self) -> None:
        """Begins nothing more, and waits for what is under way: an attempt has its own limit."""
        self._ending.set()
        self._woken.set()
        if self._started:
            self._thread.join()
        self._pool.shutdown(wait=True)

    def send_due(self) -> int:
        """Claims what is due now and hands it to the senders; returns how many."""
        now = self._now()
        free = SENDERS - len(self._sending)
        if free <= 0:
            return 0
        with self.runtime.database.read() as session:
            # After a restore nobody is told anything until a person says go.
            if is_paused(session) or not delivering.anything_due(session, now=now):
                return 0
        network = self.network
        with self.runtime.database.write() as session:
            claimed = delivering.claim(session, most=free, now=now)
        for one in claimed:
            future = self._pool.submit(self._deliver, network, one)
            self._sending.add(future)
            future.add_done_callback(self._sent)
        return len(claimed)

    def wait(self) -> None:
        """Until nothing is under way."""
        wait(list(self._sending))

    def _run(self) -> None:
        while not self._ending.is_set():
            self._woken.wait()
            self._woken.clear()
            try:
                while not self._ending.is_set() and self.send_due():
                    pass
            except Exception:
                log.exception("callbacks not looked at")
                self._ending.wait(REST_SECONDS)  # somebody pokes every second

    def _sent(self, future: "Future[None]") -> None:
        self._sending.discard(future)
        self._woken.set()

    def _deliver(self, network: Network, claimed: Claimed) -> None:
        try:
            result = self._attempt(network, claimed)
            if result is None:
                return
            with self.runtime.database.write() as session:
                state = delivering.note(
                    session,
                    self.runtime.keyring,
                    claimed,
                    result,
                    now=self._now(),
                    random=random.random,
                )
        except Exception:
            # Due again when the lease ends.
            log.exception("callback not sent", extra=fields(delivery=claimed.delivery_id))
            return
        if state is not DeliveryState.DELIVERED:
            log.info(
                "callback not delivered",
                extra=fields(
                    delivery=claimed.delivery_id,
                    attempt=claimed.attempt,
                    error=result.error,
                    status=result.status,
                    state=state,
                ),
            )

    def _attempt(self, network: Network, claimed: Claimed) -> Result | None:
        """None, and it is left alone, if the lease may end before the attempt does."""
        now = self._now()
        try:
            with self.runtime.database.read() as session:
                post = delivering.read(session, self.runtime.keyring, claimed, now=now)
        except SecretUnreadable:
            return Result(error=DeliveryError.SECRET_UNREADABLE)
        if post is None:
            return Result(error=DeliveryError.NO_LONGER_WANTED)
        if (claimed.until - self._now()).total_seconds() < 2 * network.seconds:
            return None
        try:
            headers = post.dialect.headers(post.letter, self.runtime.settings, now=now)
        except CannotSign:
            return Result(error=DeliveryError.SECRET_UNREADABLE)
        return send(network, post.url, headers, post.letter.payload)
