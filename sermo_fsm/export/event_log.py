"""Histories as event logs, for process mining: what :mod:`xes` and :mod:`ocel` both say.

Written as the rows come, so that millions of them fit: one chat is never kept, let alone all. What
people wrote, and what they are called, is in neither. A customer is known by the id of the first
chat, which tells visits of the same one and nothing else.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from sermo_fsm.core.session import ChatSession, HistoryRow, session_id_of
from sermo_fsm.views.participants import Cast, Someone

__all__ = ["Deeds", "Stories", "chats", "customer_of"]

Stories = Iterable[tuple[ChatSession, HistoryRow]]
"""As :meth:`~sermo_fsm.ChatEngine.stories` gives them."""

Deeds = Iterator[tuple[Someone, HistoryRow]]
"""Rows, and who did what each of them is about."""


def chats(stories: Stories) -> Iterator[tuple[ChatSession, Deeds]]:
    """Each session with its rows, to be read before the next session is."""
    for session, told in groupby(stories, key=itemgetter(0)):
        yield session, _deeds(row for _, row in told)


def _deeds(rows: Iterable[HistoryRow]) -> Deeds:
    cast = Cast()
    for row in rows:
        yield cast.who(row), row
        cast = cast.after(row)


def customer_of(session: ChatSession) -> str:
    """The same for all chats of a customer."""
    return str(session_id_of(session.platform_id, session.user_id, 1))
