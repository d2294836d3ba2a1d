"""What several tests need: events in one line, times, and a database of one's own."""

import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from sermo_fsm import ChatEngine, SermoError

CHECKOUT: Final = Path(__file__).parent.parent
EXAMPLES: Final = CHECKOUT / "examples"

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLATFORM = "web"
USER = "anna"

BOT = {"id": "bot", "name": "Bot"}
ANDERS = {"id": "anan01", "name": "Anders Andersson", "type": "human"}
BEATA = {"id": "bebe02", "name": "Beata Berg", "type": "human"}


def also_proved(*values: Any) -> list[Any]:
    """Further parameters of a test, for `make prove` alone."""
    return [pytest.param(value, marks=pytest.mark.prove) for value in values]


def at(seconds: float) -> datetime:
    """So many seconds after the start."""
    return START + timedelta(seconds=seconds)


def event(kind: str, user: str = USER, **fields: Any) -> dict[str, Any]:
    """A wire event of type *kind*."""
    return {"type": kind, "platformId": PLATFORM, "userId": user, **fields}


def text(words: str = "Hej!", user: str = USER, **fields: Any) -> dict[str, Any]:
    """A text; with an agent it is an outbound one."""
    return event("text", user, text=words, **fields)


def envelope(
    direction: str, event: dict[str, Any], seconds: float, message_id: str | None = None
) -> dict[str, Any]:
    """A line of ``ingest``."""
    line: dict[str, Any] = {
        "direction": direction,
        "event": event,
        "receivedAt": at(seconds).isoformat(),
    }
    return line if message_id is None else {**line, "messageId": message_id}


def hand_in_unsent(chats: ChatEngine, secret: str) -> None:
    """Events that carry what somebody typed and has not sent, whole and broken."""
    for number, kind in enumerate(("typing", "typing_on", "typing_off")):
        user = f"u-{number}"
        chats.handle("inbound", event(kind, user, text=secret), received_at=at(0))
        chats.handle("outbound", event(kind, user, text=secret), received_at=at(1))
        chats.handle("inbound", event(kind, user, text=[secret]), received_at=at(2))
        chats.handle("inbound", f'{{"type":"{kind}","text":"{secret}'.encode())
        chats.handle_many([f'{{"direction":"inbound","event":{{"type":"{kind}","text":"{secret}'])


def everything(error: BaseException) -> str:
    """What an error says to whoever prints it, and to whoever looks inside."""
    told = "".join(traceback.format_exception(error))
    seen: BaseException | None = error
    while seen is not None:
        told += f"\n{seen}\n{seen!r}\n{seen.args!r}\n"
        if isinstance(seen, SermoError):
            told += repr(vars(seen))
        seen = seen.__cause__ or seen.__context__
    return told
