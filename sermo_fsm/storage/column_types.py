"""The types of our columns: times in UTC everywhere, and text that no log shows."""

import base64
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from sermo_fsm.errors import StoreError

__all__ = ["PICTURE", "ForeignTime", "PrivateText", "UtcDateTime", "plain"]

_WITHOUT_ZONE: Final = len("2020-02-18 12:14:11.386000")


def _to_text(value: datetime | None) -> str | None:
    if value is None:
        return None
    return value.astimezone(UTC).isoformat(" ", "microseconds")[:_WITHOUT_ZONE]


def _from_text(value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value + "+00:00")
    except ValueError:
        raise StoreError(f"a time in the database can't be read: {value[:40]!r}") from None


class UtcDateTime(sa.TypeDecorator[datetime]):
    """A timestamp in UTC, to the microsecond, aware in Python whatever the database."""

    impl = sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> Any:
        """SQLite's timestamps are text, and half of the time of writing would go into them."""
        return _to_text if dialect.name == "sqlite" else super().bind_processor(dialect)

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Any:
        """Likewise."""
        if dialect.name == "sqlite":
            return _from_text
        return super().result_processor(dialect, coltype)

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Aware in, UTC to the database."""
        del dialect
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        """What the database says is UTC, where it does not say so itself."""
        del dialect
        if value is None:
            return None
        if not isinstance(value, datetime):  # of MySQL, a date that is none: 0000-00-00
            raise StoreError(f"a time in the database can't be read: {str(value)[:40]!r}")
        moment = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class _InUtc(FunctionElement[datetime]):
    """A time as of UTC, whatever the zone of the connection."""

    inherit_cache = True
    type = UtcDateTime()


@compiles(_InUtc)
def _as_it_is(element: _InUtc, compiler: sa.Compiled, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


@compiles(_InUtc, "postgresql")
def _in_utc(element: _InUtc, compiler: sa.Compiled, **options: Any) -> str:
    return f"({_as_it_is(element, compiler, **options)} AT TIME ZONE 'UTC')"


class ForeignTime(UtcDateTime):
    """What the sender's own clock said: it may be off by ages.

    PostgreSQL tells a time in the zone of the connection. At either end of the calendar that is
    beyond it, and nobody could read the row again.
    """

    cache_ok = True

    def column_expression(self, column: Any) -> Any:
        """Asked for in UTC."""
        return _InUtc(column)


class _Hidden(str):
    """Text that no log of statements shows, the host's own included."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} characters>"


def _hide(value: str | None) -> str | None:
    return None if value is None else _Hidden(value)


def plain(value: str | None) -> str | None:
    """The text of a row, as the host is to have it."""
    return None if value is None else str(value)


class _HiddenBytes(bytes):
    """Likewise."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


class PrivateText(sa.TypeDecorator[str]):
    """What people wrote, or are called: it goes to the database and into no log."""

    impl = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        """The same text, which does not show itself."""
        del dialect
        return None if value is None else _Hidden(value)

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Any:
        """Hidden too: echo="debug" logs every row that is read; ``rows`` makes plain text of it."""
        del dialect, coltype
        return _hide


class _PrivateBytes(sa.TypeDecorator[bytes]):
    """A picture, likewise."""

    impl = sa.LargeBinary
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: sa.Dialect) -> bytes | None:
        """The same bytes, which do not show themselves."""
        del dialect
        return None if value is None else _HiddenBytes(value)


class _PrivateBase64(sa.TypeDecorator[bytes]):
    """Likewise on MySQL, whose drivers take bytes only as they are: there it goes as text."""

    impl = mysql.LONGBLOB
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: sa.Dialect) -> Any:
        """In letters, which do not show themselves."""
        del dialect
        return None if value is None else _Hidden(base64.b64encode(value).decode())

    def bind_processor(self, dialect: sa.Dialect) -> Any:
        """Text, and not what the driver makes of bytes."""
        return lambda value: self.process_bind_param(value, dialect)

    def bind_expression(self, bindparam: sa.BindParameter[bytes]) -> sa.ColumnElement[bytes]:
        """The database makes bytes of it."""
        return sa.func.from_base64(bindparam)


PICTURE: Final = _PrivateBytes().with_variant(_PrivateBase64(), "mysql", "mariadb")
