"""What an endpoint may ask for: a session, the time, the runtime.

`scope="function"` ends a dependency before the answer is sent, so a commit that fails can still
turn a 2xx into an error.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from typing import Annotated

from anyio import CancelScope, CapacityLimiter, to_thread
from fastapi import Depends, Request
from sqlalchemy.orm import Session

from app.clock import utc_now
from app.runtime import Runtime

# Well below the 40 threads that endpoints share.
WRITERS = 16


async def current_runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


CurrentRuntime = Annotated[Runtime, Depends(current_runtime)]


async def present() -> datetime:
    return utc_now()


async def _read(runtime: CurrentRuntime) -> AsyncIterator[Session]:
    """Nothing is asked of the database before the endpoint asks, so no thread is needed for this;
    the end goes over the network. Its thread is one of its own: were it one of those that endpoints
    share, all of them could be waiting for connections that only the end gives back."""
    with ExitStack() as stack:
        open_one = stack.enter_context(runtime.database.read())
        try:
            yield open_one
        finally:
            with CancelScope(shield=True):
                await to_thread.run_sync(stack.close, limiter=CapacityLimiter(1))


def _write(request: Request, runtime: CurrentRuntime) -> Iterator[Session]:
    with runtime.database.write() as session:
        yield session
        # It may have waited long for its turn. Who asks was found before that, and may have lost
        # the right to since.
        session.flush()
        still_allowed = getattr(request.state, "still_allowed", None)
        if still_allowed is not None:
            still_allowed(session)


async def clock() -> Callable[[], datetime]:
    return utc_now


ReadSession = Annotated[Session, Depends(_read, scope="function")]
# Writers may wait for their turn in the database, each holding a thread; and whoever has the turn
# needs a thread of the same pool to write the answer before it commits. So the pool must never be
# full of those who wait. This is one object, so that the limit is shared by all endpoints.
_limited_write = Depends(_write, scope="function", max_concurrency=WRITERS)
WriteSession = Annotated[Session, _limited_write]
Now = Annotated[datetime, Depends(present)]
# For calls that last.
Clock = Annotated[Callable[[], datetime], Depends(clock)]
