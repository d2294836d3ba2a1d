"""Our own errors instead of those of SQLAlchemy and the drivers: the one place that translates.

What each database says, and how, is in :mod:`sermo_fsm.storage.backends`.
"""

from traceback import walk_tb
from typing import Final

import sqlalchemy as sa
from attrs import define, field
from sqlalchemy import exc

from sermo_fsm.errors import (
    CommitUnknown,
    LostRace,
    SchemaNotReady,
    SermoError,
    StoreBusy,
    StoreError,
    StoreUnavailable,
    UnusableDatabase,
)
from sermo_fsm.storage.backends import Backend, ErrorKind, backend_named
from sermo_fsm.storage.revisions import CREATE_TABLES, head

__all__ = ["ENDED_BY_HOOK", "translate", "translated", "worth_another_try"]

_OTHER_ENCODING: Final = (
    "; the encoding of the connection can't hold every text, ChatEngine.check_schema() says more"
)
ENDED_BY_HOOK: Final = (
    "a within_transaction hook has ended the transaction, which it must leave to its owner: all of "
    "it is written or nothing"
)
"""What CommitUnknown says then."""

_LOST_RACE: Final = (LostRace, "another writer was faster")
_REFUSED: Final = (StoreError, "the database refused")
_TRANSLATIONS: Final[dict[ErrorKind, tuple[type[StoreError], str]]] = {
    ErrorKind.UNIQUE_VIOLATION: _LOST_RACE,
    ErrorKind.SERIALIZATION_FAILURE: _LOST_RACE,
    ErrorKind.BUSY: (StoreBusy, "the database is busy"),
    ErrorKind.CONNECTION_LOST: (StoreUnavailable, "the database went away"),
    ErrorKind.UNUSABLE: (UnusableDatabase, "the database can't be used"),
    ErrorKind.MISSING_SAVEPOINT: (CommitUnknown, ENDED_BY_HOOK),
    ErrorKind.OTHER: _REFUSED,
}
_TRANSIENT: Final = (ErrorKind.SERIALIZATION_FAILURE, ErrorKind.BUSY, ErrorKind.CONNECTION_LOST)


@define
class translated:  # noqa: N801 - used as a function in with statements
    """Raise our own errors instead of those of SQLAlchemy and the driver, which become their cause.

    Args:
        dialect: Of the connection that is used.
        connecting: Whether a connection is being opened.

    Raises:
        StoreBusy: A lock was held for too long, or a deadlock was broken at our cost.
        LostRace: Another writer was faster.
        StoreUnavailable: The connection was lost or can't be opened.
        SchemaNotReady: One of our tables is missing.
        UnusableDatabase: The database does not exist, or refuses this user.
        StoreError: The database refused for another reason.
    """

    # No generator of contextlib's: every event passes this twice, and pays only if something fails.
    dialect: sa.Dialect
    connecting: bool = field(default=False, kw_only=True)

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, exc.SQLAlchemyError):
            raise translate(error, self.dialect, connecting=self.connecting) from error
        if not isinstance(error, Exception) or isinstance(error, SermoError):
            return
        if _comes_from_driver(error, backend_named(self.dialect.name)):
            if not self.connecting:
                _forget_values(error)
            raise StoreError(_describe_failure(error)) from error


def _comes_from_driver(error: Exception, backend: Backend) -> bool:
    """Whether the driver, or what calls it, raised *error*: not our code, nor the host's."""
    callers = [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)]
    known = [name for name in callers if name.partition(".")[0] in ("sermo_fsm", "sqlalchemy")]
    return bool(known) and known[-1].startswith(backend.call_driver)


def _forget_values(error: BaseException | None) -> None:
    """Leave of an error that is none of the driver's own its kind and its traceback."""
    while error is not None:
        error.args = ()
        if isinstance(error, UnicodeEncodeError):
            error.object = ""
        if isinstance(error, UnicodeDecodeError):
            error.object = b""
        error = error.__cause__ or error.__context__


def _describe_failure(error: Exception) -> str:
    remedy = _OTHER_ENCODING if isinstance(error, UnicodeError) else ""
    return f"the driver of the database failed: {type(error).__name__}{remedy}"


def translate(
    error: exc.SQLAlchemyError, dialect: sa.Dialect, *, connecting: bool = False
) -> StoreError:
    """Return the error of ours that stands for *error*, from which what people wrote is removed."""
    if isinstance(error, exc.TimeoutError):
        return StoreBusy("no connection of the pool came free in time")
    if not isinstance(error, exc.DBAPIError):
        return StoreError(f"the database can't be used: {type(error).__name__}")
    backend = backend_named(dialect.name)
    backend.redact(error)
    kind = _classify(error, backend)
    if connecting and kind is ErrorKind.OTHER:
        kind = ErrorKind.CONNECTION_LOST
    if kind is ErrorKind.MISSING_TABLE:
        return SchemaNotReady(None, head(), CREATE_TABLES)
    if kind is ErrorKind.MISSING_COLUMN:
        return SchemaNotReady(SchemaNotReady.UNASKED, head(), CREATE_TABLES)
    translation, text = _TRANSLATIONS[kind]
    if connecting and kind is ErrorKind.CONNECTION_LOST:
        text = "the database can't be reached"
    detail = type(error).__name__ if error.orig is None else backend.describe(error.orig)
    return translation(f"{text}: {detail}")


def _classify(error: exc.DBAPIError, backend: Backend) -> ErrorKind:
    if error.connection_invalidated or error.orig is None:
        return ErrorKind.CONNECTION_LOST
    return backend.classify(error.orig)


def worth_another_try(error: Exception, dialect: sa.Dialect) -> bool:
    """Whether the same transaction may succeed if all of it is done again.

    It has been rolled back, by us or by the database. An error of the host's own statement, in a
    hook, counts as one of ours. If the database can't be reached at all, or the outcome of the
    commit is unknown, that is for the caller to decide.
    """
    if isinstance(error, LostRace | StoreBusy):
        return True
    if isinstance(error, StoreUnavailable):
        return getattr(error.__cause__, "connection_invalidated", False)
    if not isinstance(error, exc.DBAPIError):
        return False
    return _classify(error, backend_named(dialect.name)) in _TRANSIENT
