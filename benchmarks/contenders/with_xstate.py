"""xstate-statemachine: an interpreter for each event, its state in the library's own store.

https://basiltt.github.io/xstate-statemachine, "Persistence" and "SQLAlchemy": ``persisted()``
around each event, ``SQLAlchemyStore`` with ``transaction()`` around a batch, the log and the inbox
that share the transaction.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import orm
from xstate_statemachine import MachineLogic, create_machine
from xstate_statemachine.contrib.sqlalchemy import SQLAlchemyInbox, SQLAlchemyLog, SQLAlchemyStore
from xstate_statemachine.persistence import IdempotencyPlugin, TransitionLogPlugin, persisted

from benchmarks.contenders import Contender, Ends
from benchmarks.contenders.meaning import CELLS, STATES, closes, trigger_of, wrote_later
from benchmarks.contenders.orm import plain_engine
from benchmarks.traffic import Message

__all__ = ["XstateStatemachine"]

_QUIET: Final = ("heartbeat", "typing")


def _config() -> dict[str, Any]:
    """Our table as XState would write it."""
    states: dict[str, Any] = {name: {"on": {}} for name in STATES}
    for source, trigger, cell in CELLS:
        actions = {"actions": ["remember"]}
        if cell.to.value == source:
            options: Any = actions
        elif cell.otherwise is None:
            options = {"target": cell.to.value, **actions}
        else:
            guarded = {"target": cell.otherwise.value, "guard": "customerWroteLater", **actions}
            options = [guarded, {"target": cell.to.value, **actions}]
        states[source]["on"][trigger] = options
    for name in filter(closes, STATES):
        states[name] = {"type": "final"}
    context = {"lastSeenAt": None, "customerTextAt": None}
    return {"id": "chat", "initial": STATES[0], "context": context, "states": states}


def _remember(_interpreter: Any, context: dict[str, Any], event: Any, _action: Any) -> None:
    if event.payload["direction"] == "inbound":
        context["lastSeenAt"] = event.payload["receivedAt"]
    if event.type == "customer_text":
        context["customerTextAt"] = event.payload["receivedAt"]


def _customer_wrote_later(context: dict[str, Any], event: Any) -> bool:
    wrote_at = context["customerTextAt"]
    return wrote_later(
        wrote_at and datetime.fromisoformat(wrote_at),
        datetime.fromisoformat(event.payload["receivedAt"]),
    )


class XstateStatemachine(Contender):
    """``with persisted(store, user, machine) as chat: chat.send(…)``."""

    def open(self, url: str) -> None:
        """The store creates its tables."""
        self.engine = plain_engine(url)
        self.store = SQLAlchemyStore(orm.sessionmaker(self.engine))
        self.machine = create_machine(
            _config(),
            logic=MachineLogic(
                actions={"remember": _remember},
                guards={"customerWroteLater": _customer_wrote_later},
            ),
        )
        self.log = TransitionLogPlugin(SQLAlchemyLog(self.store))
        self.inbox = IdempotencyPlugin(
            SQLAlchemyInbox(self.store),
            principal=lambda _: "chats",
            key_fields=("messageId",),
            key=lambda event: event.payload.get("messageId"),
        )

    def many(self, messages: Sequence[Message]) -> None:
        """In one transaction of the store."""
        with self.store.transaction():
            for message in messages:
                self._send(json.loads(message.line))

    def _send(self, envelope: Any) -> None:
        about = envelope["event"]
        trigger = trigger_of(envelope["direction"], about)
        plugins = [] if trigger in _QUIET else [self.inbox, self.log]
        with persisted(self.store, about["userId"], self.machine, plugins=plugins) as chat:
            chat.send(
                trigger,
                direction=envelope["direction"],
                receivedAt=envelope["receivedAt"],
                messageId=envelope["messageId"],
                event=about,
            )

    def ends(self) -> Ends:
        """From the snapshots and the log."""
        with self.engine.connect() as connection:
            counted = sa.text(
                "SELECT machine_id, count(*) FROM xsm_transitions GROUP BY machine_id"
            )
            rows: dict[str, int] = dict(connection.execute(counted).tuples().all())
            stored = connection.execute(sa.text("SELECT key, snapshot FROM xsm_snapshots"))
            return {user: (_state(snapshot), rows.get(user, 0)) for user, snapshot in stored}

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()


def _state(snapshot: str) -> str:
    (found,) = json.loads(snapshot)["state_ids"]
    return str(found).rpartition(".")[2]
