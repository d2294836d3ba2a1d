"""All that is stored about one person."""

from attrs import frozen

from sermo_fsm.core.history import HistoryRow
from sermo_fsm.core.session import ChatSession

__all__ = ["Person", "PersonChat", "Picture"]


@frozen
class PersonChat:
    """One session of the person.

    Attributes:
        session: The session.
        rows: Its history, in order, with what people wrote.
    """

    session: ChatSession
    rows: tuple[HistoryRow, ...]


@frozen
class Picture:
    """A picture that somebody sent; ``ChatEngine.picture(key)`` reads it.

    Attributes:
        row_id: The ``id`` of the row that it came with.
        key: Where it lies.
        media_type: What its sender said that it is, such as ``image/png``; None if nobody said.
    """

    row_id: int
    key: str
    media_type: str | None


@frozen
class Person:
    """All that is stored about one user of one platform, as of one moment.

    Attributes:
        platform_id: The platform of the user.
        user_id: The id of the user on that platform.
        chats: The sessions, those that opened first first.
        strays: The rows without a session that name the user, the oldest first.
        pictures: Those that came with any of these rows, in the order of the rows.
    """

    platform_id: str
    user_id: str
    chats: tuple[PersonChat, ...]
    strays: tuple[HistoryRow, ...]
    pictures: tuple[Picture, ...]
