"""People who are to be erased: their chats, and what is left of them."""

import json
from typing import Final

import sqlalchemy as sa

from sermo_fsm import ChatEngine, Erasure
from tests.databases import dump
from tests.support import ANDERS, BOT, USER, at, event, text

PIXEL: Final = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
WORDS: Final = "mitt personnummer är 19121212-1212"
FLOW: Final = "flow-of-anna"


def play(chats: ChatEngine, user: str = USER, start: float = 0, *, picture: str = PIXEL) -> None:
    """Two chats of a user: the first one resumed by the second, which is over, and strays."""
    for number, (direction, said, seconds) in enumerate(
        (
            ("outbound", event("agent_done", user, agent=ANDERS), 0),  # a stray
            ("outbound", event("weather", user, wind=WORDS), 0),  # another one
            ("inbound", text(WORDS, user, image=picture), 1),
            ("outbound", event("handover_to_bot", user, flowGroupId=FLOW), 2),
            ("outbound", event("queue_number", user, queueNumber=2), 3),
            ("outbound", text(WORDS, user, agent=ANDERS), 4),
            ("inbound", event("client_unload", user), 5),
            ("inbound", text(WORDS, user), 100),  # the clock has closed the first one
            ("outbound", text(WORDS, user, agent=ANDERS), 101),
            ("inbound", event("client_left", user), 102),
            ("outbound", text("Hej då", user, agent=BOT), 103),
        )
    ):
        chats.handle(
            direction,  # type: ignore[arg-type]  # the name of a queue
            said,
            message_id=f"m-{start + number:.0f}",
            received_at=at(start + seconds),
        )


def erased(receipt: Erasure | None) -> Erasure:
    """The receipt, which is there."""
    assert receipt is not None
    return receipt


def raw_text(database: sa.Engine) -> str:
    """All rows of all our tables, as a person would read them."""

    def shown(value: object) -> str:
        return value.hex() if isinstance(value, bytes) else str(value)

    return json.dumps(dump(database), default=shown, ensure_ascii=False)
