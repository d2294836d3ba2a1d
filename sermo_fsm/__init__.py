"""One finite-state machine per chat session, from events on two queues.

>>> from sermo_fsm import ChatEngine
>>> with ChatEngine("sqlite://") as engine:
...     revision = engine.migrate()
...     receipt = engine.handle(
...         "inbound", {"type": "text", "text": "Hej!", "platformId": "web", "userId": "u-1"}
...     )
...     str(receipt.after.state)
'bot'
"""

from importlib import metadata
from typing import TYPE_CHECKING

from sermo_fsm.analysis.comparison import Comparison
from sermo_fsm.analysis.verify import Problem, Verification
from sermo_fsm.core.machine import State
from sermo_fsm.core.policy import Durations, Policy
from sermo_fsm.core.session import ChatSession, CloseReason, HistoryRow, Outcome, Receipt
from sermo_fsm.engine import ChatEngine
from sermo_fsm.errors import (
    CommitUnknown,
    ForkedEngine,
    InvalidArgument,
    InvalidEvent,
    LostRace,
    MessageConflict,
    SchemaNotReady,
    SermoError,
    StoreBusy,
    StoreError,
    StoreUnavailable,
)
from sermo_fsm.protocol.envelope import Envelope
from sermo_fsm.protocol.events import (
    Agent,
    AgentDone,
    ClientLeft,
    ClientUnload,
    CustomerText,
    Direction,
    Event,
    HandoverTo,
    HandoverToAgent,
    HandoverToBot,
    Heartbeat,
    MessagesRead,
    PlatformClosed,
    QueueNumber,
    Reply,
    SystemText,
    Trigger,
    Typing,
    TypingOff,
    TypingOn,
    Unknown,
    Who,
)
from sermo_fsm.protocol.json_reader import Limits
from sermo_fsm.views.json_views import row_view, session_view
from sermo_fsm.views.traffic import Traffic

if TYPE_CHECKING:
    from sermo_fsm.engine.aio import AsyncChatEngine

__all__ = [
    "Agent",
    "AgentDone",
    "AsyncChatEngine",
    "ChatEngine",
    "ChatSession",
    "ClientLeft",
    "ClientUnload",
    "CloseReason",
    "CommitUnknown",
    "Comparison",
    "CustomerText",
    "Direction",
    "Durations",
    "Envelope",
    "Event",
    "ForkedEngine",
    "HandoverTo",
    "HandoverToAgent",
    "HandoverToBot",
    "Heartbeat",
    "HistoryRow",
    "InvalidArgument",
    "InvalidEvent",
    "Limits",
    "LostRace",
    "MessageConflict",
    "MessagesRead",
    "Outcome",
    "PlatformClosed",
    "Policy",
    "Problem",
    "QueueNumber",
    "Receipt",
    "Reply",
    "SchemaNotReady",
    "SermoError",
    "State",
    "StoreBusy",
    "StoreError",
    "StoreUnavailable",
    "SystemText",
    "Traffic",
    "Trigger",
    "Typing",
    "TypingOff",
    "TypingOn",
    "Unknown",
    "Verification",
    "Who",
    "row_view",
    "session_view",
]

__version__ = metadata.version("sermo-fsm")


def __getattr__(name: str) -> object:
    """Load what needs an extra only where it is asked for."""
    if name != "AsyncChatEngine":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from sermo_fsm.engine.aio import AsyncChatEngine
    except ImportError as error:
        raise ImportError(
            f"AsyncChatEngine needs: pip install 'sermo-fsm[async]' ({error})"
        ) from error
    return AsyncChatEngine
