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

from sermo_fsm import _startup  # noqa: F401 - from here on, Ctrl-C ends the command quietly

# isort: split
from importlib import metadata
from typing import TYPE_CHECKING

from sermo_fsm.analysis.chain import Chain, ChainVerification
from sermo_fsm.analysis.comparison import Comparison
from sermo_fsm.analysis.verify import Problem, Verification
from sermo_fsm.core.erasure import Erasure, Hold, Retained
from sermo_fsm.core.history import HistoryRow, Outcome, Receipt
from sermo_fsm.core.machine import State, StateName
from sermo_fsm.core.policy import Durations, Policy, Retention
from sermo_fsm.core.session import ChatSession, CloseReason
from sermo_fsm.engine import ChatEngine
from sermo_fsm.errors import (
    ChatStillLive,
    CommitUnknown,
    ForkedEngine,
    InvalidArgument,
    InvalidEvent,
    LostRace,
    MessageConflict,
    PersonHeld,
    RedactionFailed,
    SchemaNotReady,
    SealingFailed,
    SermoError,
    StoreBusy,
    StoreError,
    StoreUnavailable,
    UnusableDatabase,
    WrongEventLoop,
)
from sermo_fsm.protocol.envelope import Envelope, QueueName
from sermo_fsm.protocol.events import (
    Agent,
    AgentDone,
    AgentReleased,
    ClaimSession,
    ClientLeft,
    ClientUnload,
    CustomerText,
    Direction,
    EndSession,
    Event,
    HandoverTo,
    HandoverToAgent,
    HandoverToBot,
    HandoverToQueue,
    Heartbeat,
    MessagesRead,
    PlatformClosed,
    Postback,
    QueueNumber,
    Reply,
    RichReply,
    Start,
    SystemText,
    Trigger,
    Typing,
    TypingOff,
    TypingOn,
    Unknown,
    Who,
)
from sermo_fsm.protocol.json_reader import Limits
from sermo_fsm.views.figures import FigureGroup, Figures
from sermo_fsm.views.overview import Overview
from sermo_fsm.views.person import Person, PersonChat, Picture
from sermo_fsm.views.traffic import Traffic
from sermo_fsm.views.visit import Stay, Visit

if TYPE_CHECKING:
    from sermo_fsm.engine.aio import AsyncChatEngine

__all__ = [
    "Agent",
    "AgentDone",
    "AgentReleased",
    "AsyncChatEngine",
    "Chain",
    "ChainVerification",
    "ChatEngine",
    "ChatSession",
    "ChatStillLive",
    "ClaimSession",
    "ClientLeft",
    "ClientUnload",
    "CloseReason",
    "CommitUnknown",
    "Comparison",
    "CustomerText",
    "Direction",
    "Durations",
    "EndSession",
    "Envelope",
    "Erasure",
    "Event",
    "FigureGroup",
    "Figures",
    "ForkedEngine",
    "HandoverTo",
    "HandoverToAgent",
    "HandoverToBot",
    "HandoverToQueue",
    "Heartbeat",
    "HistoryRow",
    "Hold",
    "InvalidArgument",
    "InvalidEvent",
    "Limits",
    "LostRace",
    "MessageConflict",
    "MessagesRead",
    "Outcome",
    "Overview",
    "Person",
    "PersonChat",
    "PersonHeld",
    "Picture",
    "PlatformClosed",
    "Policy",
    "Postback",
    "Problem",
    "QueueName",
    "QueueNumber",
    "Receipt",
    "RedactionFailed",
    "Reply",
    "Retained",
    "Retention",
    "RichReply",
    "SchemaNotReady",
    "SealingFailed",
    "SermoError",
    "Start",
    "State",
    "StateName",
    "Stay",
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
    "UnusableDatabase",
    "Verification",
    "Visit",
    "Who",
    "WrongEventLoop",
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
