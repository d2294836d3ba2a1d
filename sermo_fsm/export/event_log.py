"""Event logs for process mining: what :mod:`~sermo_fsm.export.xes` and ``ocel`` have in common.

The logs are written row by row, so millions of rows need little memory. They contain no texts and
no names. Users and sessions stand in them under pseudonyms, unless their ids are asked for. A
customer's id is made of the user's: it connects the chats of a customer.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from msgspec.structs import replace

from sermo_fsm.core.history import HistoryRow
from sermo_fsm.core.session import ChatSession, session_id_of
from sermo_fsm.export.pseudonyms import Pseudonyms
from sermo_fsm.views.participants import Assignment, Participant

__all__ = ["ActorRows", "SessionRows", "by_session", "customer_id"]

SessionRows = Iterable[tuple[ChatSession, HistoryRow]]
"""Sessions and their rows, in the order of :meth:`sermo_fsm.ChatEngine.stories`."""

ActorRows = Iterator[tuple[Participant, HistoryRow]]
"""The rows of a session, each with the participant that acted."""


def by_session(
    stories: SessionRows, pseudonyms: Pseudonyms | None
) -> Iterator[tuple[ChatSession, ActorRows]]:
    """Yield each session with its rows; read them before asking for the next session.

    With *pseudonyms* the session stands under one, and a row has no message id: a broker's log may
    say whose message it was.
    """
    for session, group in groupby(stories, key=itemgetter(0)):
        rows = (row for _, row in group)
        if pseudonyms is None:
            yield session, _with_actors(rows)
        else:
            nameless = (replace(row, message_id=None) for row in rows)
            yield pseudonyms.of(session), _with_actors(nameless)


def _with_actors(rows: Iterable[HistoryRow]) -> ActorRows:
    assignment = Assignment()
    for row in rows:
        yield assignment.actor(row), row
        assignment = assignment.after(row)


def customer_id(session: ChatSession) -> str:
    """Return an id that is the same for all chats of a customer."""
    return session_id_of(session.platform_id, session.user_id, 1)
