"""What the worker counts, as plain numbers; ``/metrics`` shows them."""

from collections import Counter
from datetime import datetime

from attrs import define, field

from sermo_fsm.core.history import Outcome
from sermo_fsm.worker.source import Clock

__all__ = ["Tally"]


@define
class Tally:
    """Counts since the worker was started, and where it is now.

    Attributes:
        outcomes: Messages written, by what became of them.
        clocks: Messages read, by whose clock said when they were received.
        without_id: Messages read without a message id: delivered again, they are recorded again.
        dead_letters: Messages that went to the dead letters.
        batches: Transactions that wrote messages.
        batch_seconds: How long these took in all, retries included.
        swept: Chats closed at their deadline by the sweeper.
        sweeps: How often it looked.
        retries: How often a batch was tried again because of the database.
        reconnects: How often the broker was lost.
        read_up_to: For each queue, the time up to which it has been read.
        unread: For each queue, how many messages wait in it, when last asked.
        swept_to: The time to which chats have been judged; None before the first sweep.
        reading: Whether the broker lets us read.
        storing: Whether the database took what came last.
        alive_at: When the loop last came round, or tried again what failed, in seconds of a clock
            that never jumps.
    """

    outcomes: Counter[Outcome] = field(factory=Counter)
    clocks: Counter[Clock] = field(factory=Counter)
    without_id: int = 0
    dead_letters: int = 0
    batches: int = 0
    batch_seconds: float = 0.0
    swept: int = 0
    sweeps: int = 0
    retries: int = 0
    reconnects: int = 0
    read_up_to: dict[str, datetime] = field(factory=dict)
    unread: dict[str, int] = field(factory=dict)
    swept_to: datetime | None = None
    reading: bool = False
    storing: bool = False
    alive_at: float = 0.0

    @property
    def read(self) -> int:
        """The number of messages read, those that came again too."""
        return self.clocks.total()

    @property
    def written(self) -> int:
        """The number of messages that have had their effect."""
        return self.outcomes.total()
