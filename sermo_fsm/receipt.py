"""What the engine answers when an event is handed in."""

from attrs import frozen

from sermo_fsm.errors import SermoError
from sermo_fsm.session import ChatSession, HistoryRow, Outcome

__all__ = ["Receipt"]


@frozen(kw_only=True)
class Receipt:
    """What became of one event.

    Attributes:
        outcome: What became of it.
        before: The session that it belongs to, as it was before; None where it opened one or
            belongs to none.
        after: That session as it is now; None where it belongs to none.
        rows: The rows that were written, in order: none, one, or two where a deadline came first.
        first: Of a duplicate, the row that was written when the message came first.
        error: Of an ``invalid`` or a ``conflict``, what was wrong.
    """

    outcome: Outcome
    before: ChatSession | None = None
    after: ChatSession | None = None
    rows: tuple[HistoryRow, ...] = ()
    first: HistoryRow | None = None
    error: SermoError | None = None

    @property
    def changed(self) -> bool:
        """Whether the state of a session changed, or one was opened."""
        return any(row.from_state is not row.to_state for row in self.rows)
