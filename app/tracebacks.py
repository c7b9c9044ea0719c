"""An exception as a log may show it: where it happened and what kind it is.

The text of an exception that we did not write may hold a value: `KeyError('jane')`, or PostgreSQL's
`Key (external_id)=(jane) already exists`. So only texts that cannot are shown.
"""

import traceback

from sqlalchemy.exc import DBAPIError

# Their texts are the code's, or name modules.
_SAFE = (AssertionError, ImportError)
# Exceptions of our own never have a caller's value formatted into them.
_OURS = ("app.", "workers.", "client.", "migrations.")


def without_values(error: BaseException) -> str:
    """The traceback with its causes, every line of it from code, never from data."""
    parts: list[str] = []
    seen: set[int] = set()
    links: list[BaseException | None] = [error]
    while links:
        link = links.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        frames = "".join(traceback.format_tb(link.__traceback__))
        parts.append(f"{frames}{_name(link)}{_said(link)}")
        if isinstance(link, BaseExceptionGroup):
            links.extend(reversed(link.exceptions))
        links.append(link.__cause__ or (None if link.__suppress_context__ else link.__context__))
    return "\nbecause of, or while handling:\n".join(parts)


def _name(error: BaseException) -> str:
    kind = type(error)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return module + kind.__qualname__


def _said(error: BaseException) -> str:
    if isinstance(error, DBAPIError):
        return _database_said(error.orig)
    if isinstance(error, _SAFE) or type(error).__module__.startswith(_OURS):
        return f": {error}"
    if isinstance(error, OSError) and error.strerror:
        return f": {error.strerror}"  # not its path, which may be named by a caller
    return _database_said(error)


def _is_of_sqlite(error: BaseException) -> bool:
    """Without loading SQLite's driver, which a process on PostgreSQL does not have."""
    return any(kind.__module__ == "sqlite3" for kind in type(error).__mro__)


def _database_said(error: BaseException | None) -> str:
    """The driver's code, and the constraint that was broken; its text may quote a row."""
    if error is None:
        return ""
    if _is_of_sqlite(error):
        return f": {error}"  # names tables and columns
    code = getattr(error, "sqlstate", None)
    if not isinstance(code, str):
        return ""
    constraint = getattr(getattr(error, "diag", None), "constraint_name", None)
    return f": SQLSTATE {code}" + (f", constraint {constraint}" if constraint else "")
