"""Event logs for process mining: what :mod:`~sermo_fsm.export.xes` and ``ocel`` have in common.

The logs are written row by row, so millions of rows need little memory. They contain no texts and
no names. A customer's id is that of their first session: it connects the chats of a customer and
reveals nothing else.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from sermo_fsm.core.session import ChatSession, HistoryRow, session_id_of
from sermo_fsm.views.participants import Assignment, Participant

__all__ = ["ActorRows", "SessionRows", "by_session", "customer_id"]

SessionRows = Iterable[tuple[ChatSession, HistoryRow]]
"""Sessions and their rows, in the order of :meth:`sermo_fsm.ChatEngine.stories`."""

ActorRows = Iterator[tuple[Participant, HistoryRow]]
"""The rows of a session, each with the participant that acted."""


def by_session(stories: SessionRows) -> Iterator[tuple[ChatSession, ActorRows]]:
    """Yield each session with its rows; read them before asking for the next session."""
    for session, group in groupby(stories, key=itemgetter(0)):
        yield session, _with_actors(row for _, row in group)


def _with_actors(rows: Iterable[HistoryRow]) -> ActorRows:
    assignment = Assignment()
    for row in rows:
        yield assignment.actor(row), row
        assignment = assignment.after(row)


def customer_id(session: ChatSession) -> str:
    """Return an id that is the same for all chats of a customer."""
    return str(session_id_of(session.platform_id, session.user_id, 1))
