"""The types of our columns: times in UTC everywhere, and text that no log shows.

What differs here by dialect is the storage type of a column, as a variant of a SQLAlchemy type. The
variants for MySQL are written out below: importing ``sqlalchemy.dialects.mysql`` for them would
cost every process more than the rest of this module.
"""

import base64
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from sermo_fsm.errors import SealingFailed, StoreError
from sermo_fsm.protocol.json_reader import dump
from sermo_fsm.storage.sealing import Sealing, opened_text

__all__ = [
    "IMAGE",
    "LONG_TEXT",
    "BodyText",
    "ForeignTime",
    "HiddenText",
    "PrivateText",
    "Unopened",
    "UtcDateTime",
    "plain",
]


class _MysqlDateTime(sa.DATETIME):
    """DATETIME to the microsecond."""

    fsp = 6


class _MysqlLongText(sa.Text):
    __visit_name__ = "LONGTEXT"


class _MysqlLongBlob(sa.LargeBinary):
    __visit_name__ = "LONGBLOB"


# --- times ---------------------------------------------------------------------------------------

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(datetime)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Of the class that drivers know, and no subclass, whatever sets the clock of a test."""
_WITHOUT_ZONE: Final = len("2020-02-18 12:14:11.386000")


# A row has one time in several columns.
@lru_cache(64)
def _to_text(value: datetime | None) -> str | None:
    if value is None:
        return None
    moment = value if value.tzinfo is UTC else value.astimezone(UTC)
    try:
        said = _ENCODER.encode(moment).decode()  # a quarter of the time that isoformat takes
    except TypeError:  # a subclass
        return moment.isoformat(" ", "microseconds")[:_WITHOUT_ZONE]
    date, time = said[1:11], said[12:-2]
    return f"{date} {time}" if "." in time else f"{date} {time}.000000"


# Many rows have one time in several columns.
@lru_cache(8192)
def _from_text(value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value + "+00:00")
    except (TypeError, ValueError):  # SQLite stores in a column whatever it is told to
        raise StoreError(f"a time in the database can't be read: {str(value)[:40]!r}") from None


class UtcDateTime(sa.TypeDecorator[datetime]):
    """A timestamp to the microsecond: aware and in UTC in Python, whatever the database stores."""

    impl = sa.DateTime(timezone=True).with_variant(_MysqlDateTime(), "mysql", "mariadb")
    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> Any:
        """For SQLite, which stores text, a shorter way: SQLAlchemy's took half of all writing."""
        return _to_text if dialect.name == "sqlite" else super().bind_processor(dialect)

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Any:
        """For SQLite, which stores text, a shorter way."""
        if dialect.name == "sqlite":
            return _from_text
        return super().result_processor(dialect, coltype)

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """The same moment in UTC."""
        del dialect
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment if type(moment) is type(_EPOCH) else _DECODER.decode(dump(moment))

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        """The same moment in UTC; UTC is assumed if the database has no zone.

        Raises:
            StoreError: MySQL has a date that is none, such as 0000-00-00.
        """
        del dialect
        if value is None:
            return None
        if not isinstance(value, datetime):
            raise StoreError(f"a time in the database can't be read: {str(value)[:40]!r}")
        moment = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class _InUtc(FunctionElement[datetime]):
    """A selected time in UTC, whatever the time zone of the connection."""

    inherit_cache = True
    type = UtcDateTime()


@compiles(_InUtc)
def _unchanged(element: _InUtc, compiler: sa.Compiled, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


@compiles(_InUtc, "postgresql")
def _at_utc(element: _InUtc, compiler: sa.Compiled, **options: Any) -> str:
    return f"({_unchanged(element, compiler, **options)} AT TIME ZONE 'UTC')"


class ForeignTime(UtcDateTime):
    """The time on the sender's own clock, which may be wrong by ages.

    PostgreSQL returns a time in the zone of the connection. Near year 1 or 9999 that can be a time
    that Python can't represent, and the row could not be read any more. So it is selected in UTC.
    """

    cache_ok = True

    def column_expression(self, column: Any) -> Any:
        """Select it in UTC."""
        return _InUtc(column)


LONG_TEXT: Final = sa.Text().with_variant(_MysqlLongText(), "mysql", "mariadb")
"""Text of any length."""

# --- what people wrote ---------------------------------------------------------------------------


class HiddenText(str):
    """Text whose repr hides it, so that no log of statements shows it, not even the host's."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} characters>"


def _hide(value: str | None) -> str | None:
    return None if value is None else HiddenText(value)


def plain(value: str | None) -> str | None:
    """The text of a row as an ordinary string, for the host."""
    return None if value is None else str(value)


class _HiddenBytes(bytes):
    """Bytes whose repr hides them."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


def _hide_content(value: object) -> object:
    """SQLite may have something else than bytes there, which ``verify`` reports."""
    return _HiddenBytes(value) if isinstance(value, bytes) else value


class PrivateText(sa.TypeDecorator[str]):
    """What people wrote or are called: it goes to the database and into no log."""

    impl = LONG_TEXT
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        """Wrap the text so that its repr hides it."""
        del dialect
        return None if value is None else HiddenText(value)

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Any:
        """Wrap it again, because echo="debug" logs every row; ``rows`` unwraps it."""
        del dialect, coltype
        return _hide


class Unopened(HiddenText):
    """A text that could not be opened. Whoever needs it raises ``error``."""

    __slots__ = ("error",)

    error: SealingFailed


class BodyText(PrivateText):
    """A body, which the host may have sealed: whoever reads the column gets it in clear.

    It is sealed before it gets here, because not every database takes it by this type.
    """

    cache_ok = True

    def __init__(self, sealing: Sealing | None = None) -> None:
        super().__init__()
        self.sealing = sealing

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Any:
        """Open it, and wrap it again: a log may show every row."""
        del dialect, coltype
        return self._open

    def _open(self, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            return _hide(opened_text(str(value), self.sealing))
        except SealingFailed as failure:
            unopened = Unopened()
            unopened.error = failure
            return unopened


class _PrivateBytes(sa.TypeDecorator[bytes]):
    """An image: it goes to the database and into no log."""

    impl = sa.LargeBinary
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: sa.Dialect) -> bytes | None:
        """Wrap the bytes so that their repr hides them."""
        del dialect
        return None if value is None else _HiddenBytes(value)

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Any:
        """Wrap them again: a log may show every row."""
        del dialect, coltype
        return _hide_content


class _PrivateBase64(sa.TypeDecorator[bytes]):
    """An image on MySQL, sent as base64: its drivers take bytes only as they are, not wrapped."""

    impl = _MysqlLongBlob
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: sa.Dialect) -> Any:
        """Encode the bytes, and wrap the text so that its repr hides it."""
        del dialect
        return None if value is None else HiddenText(base64.b64encode(value).decode())

    def bind_processor(self, dialect: sa.Dialect) -> Any:
        """Without the conversion to bytes that SQLAlchemy adds for a binary type."""
        return lambda value: self.process_bind_param(value, dialect)

    def bind_expression(self, bindparam: sa.BindParameter[bytes]) -> sa.ColumnElement[bytes]:
        """Let the database decode it."""
        return sa.func.from_base64(bindparam)

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Any:
        """Wrap them again: a log may show every row."""
        del dialect, coltype
        return _hide_content


IMAGE: Final = _PrivateBytes().with_variant(_PrivateBase64(), "mysql", "mariadb")
"""The content of an image."""
