"""What to write instead of a database URL that can't be used.

Nothing here repeats what was passed, which may hold a password: at most the part before ``://``.
"""

import os
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import exc

from sermo_fsm.errors import InvalidArgument
from sermo_fsm.storage.backends import EXAMPLE_URL, right_scheme

__all__ = ["checked_url", "for_asyncio", "refused_url"]

_FILE: Final = EXAMPLE_URL.partition(":")[0]


def checked_url(database: object, *, asynchronous: bool) -> sa.URL:
    """*database* as a URL.

    Raises:
        InvalidArgument: It is none; says what to write instead.
    """
    if isinstance(database, os.PathLike):
        scheme = right_scheme(_FILE, asynchronous=asynchronous)
        raise _refused(f"{scheme}:///{os.fsdecode(database)}", "a path")
    if not isinstance(database, str | sa.URL):
        engine = "an AsyncEngine" if asynchronous else "an Engine"
        got = None if database is None else type(database).__name__
        raise _refused(f"{_such_as(asynchronous)}, or {engine} of SQLAlchemy", got)
    try:
        return sa.make_url(database)
    except exc.ArgumentError:
        got = "what is none" if "://" in str(database) else "text without ://"
        raise _refused(_such_as(asynchronous), got) from None
    except ValueError:
        raise _refused(_such_as(asynchronous), "one whose port is no number") from None


def _such_as(asynchronous: bool) -> str:  # noqa: FBT001 - private
    scheme = right_scheme(_FILE, asynchronous=asynchronous)
    return f"a database URL such as {scheme}{EXAMPLE_URL.removeprefix(_FILE)}"


def for_asyncio(url: str) -> str | sa.URL:
    """The same database by a driver for asyncio; what is no URL of a database stays as it is."""
    try:
        parsed = sa.make_url(url)
        scheme = right_scheme(parsed.get_backend_name(), asynchronous=True)
        if scheme is None or parsed.get_dialect().is_async:
            return url
    except (exc.ArgumentError, ValueError):  # whoever opens it says what is wrong
        return url
    return parsed.set(drivername=scheme)


def refused_url(url: sa.URL, *, asynchronous: bool) -> InvalidArgument:
    """The error for a URL whose database or driver can't be used by this kind of engine."""
    scheme = right_scheme(url.get_backend_name(), asynchronous=asynchronous)
    if scheme is None or scheme == url.drivername:
        return _refused(_such_as(asynchronous), "something else")
    return _refused(f"a database URL that begins with {scheme}://", f"{url.drivername}://")


def _refused(wanted: str, got: Any) -> InvalidArgument:
    return InvalidArgument("url", wanted=wanted, got=got)
