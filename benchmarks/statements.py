"""Record the statements that the engine sends to the driver, to send them without the engine."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from sermo_fsm import ChatEngine

__all__ = ["Batches", "Statement", "hand_in_batches", "record"]

Batches = Sequence[Sequence[bytes]]

Statement = tuple[str, Any, bool]
"""SQL, its parameters, and whether they are those of many executions; a commit is ``COMMIT``."""


def record(chats: ChatEngine) -> list[Statement]:
    """The list to which every statement is added that *chats* sends from now on."""
    engine = chats._engine  # noqa: SLF001 - to listen
    sent: list[Statement] = []

    def add(*arguments: Any) -> None:
        _, _, statement, parameters, _, many = arguments
        sent.append((statement, parameters, many))

    sa.event.listen(engine, "before_cursor_execute", add)
    sa.event.listen(engine, "commit", lambda _: sent.append(("COMMIT", (), False)))
    return sent


def hand_in_batches(chats: ChatEngine, batches: Batches) -> None:
    """Hand in every batch, each in its own transaction."""
    for batch in batches:
        chats.handle_many(batch)
