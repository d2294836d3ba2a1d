"""Histories as event logs, for process mining: what :mod:`xes` and :mod:`ocel` both say.

Written as the rows come, so that millions of them fit: one chat is never kept, let alone all. What
people wrote, and what they are called, is in neither. A customer is known by the id of the first
chat, which tells visits of the same one and nothing else.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from sermo_fsm.core.session import ChatSession, HistoryRow, session_id_of
from sermo_fsm.views.participants import Assignment, Participant

__all__ = ["ActorRows", "SessionRows", "by_session", "customer_id"]

SessionRows = Iterable[tuple[ChatSession, HistoryRow]]
"""As :meth:`~sermo_fsm.ChatEngine.stories` gives them."""

ActorRows = Iterator[tuple[Participant, HistoryRow]]
"""Rows, and who did what each of them is about."""


def by_session(stories: SessionRows) -> Iterator[tuple[ChatSession, ActorRows]]:
    """Each session with its rows, to be read before the next session is."""
    for session, told in groupby(stories, key=itemgetter(0)):
        yield session, _with_actors(row for _, row in told)


def _with_actors(rows: Iterable[HistoryRow]) -> ActorRows:
    assignment = Assignment()
    for row in rows:
        yield assignment.actor(row), row
        assignment = assignment.after(row)


def customer_id(session: ChatSession) -> str:
    """The same for all chats of a customer."""
    return str(session_id_of(session.platform_id, session.user_id, 1))
