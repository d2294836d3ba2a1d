"""Mixed traffic as in production: mostly heartbeats, some chats with bot and agents."""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
BOT = {"id": "bot", "name": "Bot"}
AGENT = {"id": "anan01", "name": "Anders Andersson", "type": "human"}

# The weight, the queue and the event.
MIX: tuple[tuple[int, str, dict[str, Any]], ...] = (
    (55, "inbound", {"type": "heartbeat"}),
    (10, "inbound", {"type": "typing", "text": "Hej, jag mitt na"}),
    (10, "inbound", {"type": "text", "text": "Jag vill ändra faktura 70557076"}),
    (2, "inbound", {"type": "messages_read", "text": "read"}),
    (1, "inbound", {"type": "client_unload"}),
    (1, "inbound", {"type": "client_left"}),
    (5, "outbound", {"type": "text", "text": "Hej!", "typing": 1000, "agent": BOT}),
    (7, "outbound", {"type": "text", "text": "Jag skickar ett SMS till dig nu.", "agent": AGENT}),
    (3, "outbound", {"type": "queue_number", "queueNumber": 3}),
    (3, "outbound", {"type": "typing_on"}),
    (2, "outbound", {"type": "handover_to_agent"}),
    (1, "outbound", {"type": "agent_done"}),
)


def lines(events: int, users: int, seed: int = 1) -> Iterator[bytes]:
    """Yield *events* lines for ``sermo-fsm ingest``, of *users* customers.

    The same *seed* gives the same lines.
    """
    dice = random.Random(seed)  # noqa: S311 - reproducible on purpose
    weights = [weight for weight, _, _ in MIX]
    now = START
    for number in range(events):
        now += timedelta(milliseconds=dice.randrange(100))
        _, direction, event = dice.choices(MIX, weights)[0]
        user = f"{dice.randrange(users):08x}-c0dd-467b-bd77-7e7685fadf6d"
        envelope = {
            "direction": direction,
            "messageId": f"m-{seed}-{number}",
            "receivedAt": now.isoformat(timespec="milliseconds"),
            "event": {**event, "platformId": "comviq-web", "userId": user},
        }
        yield json.dumps(envelope, ensure_ascii=False).encode()
