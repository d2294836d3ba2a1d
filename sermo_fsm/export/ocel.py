"""Histories as OCEL 2.0, the object-centric event log, in its JSON.

An event is a row; what it is about are objects: the chat, its customer, its platform, the agents.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from tempfile import TemporaryFile
from typing import Any, Final

from attrs import define, field

from sermo_fsm.core.session import ChatSession, HistoryRow
from sermo_fsm.export.event_log import ActorRows, SessionRows, by_session, customer_id
from sermo_fsm.protocol.events import Trigger
from sermo_fsm.views.json_views import time_view
from sermo_fsm.views.participants import Participant, Role

__all__ = ["write_ocel"]

_ALWAYS: Final = "1970-01-01T00:00:00.000Z"
"""The time of an attribute that never changes, as OCEL has it."""

_OBJECT_TYPES: Final = {
    "chat": {
        "state": "string",
        "ordinal": "integer",
        "resumed": "boolean",
        "openedAt": "time",
        "closedAt": "time",
        "closeReason": "string",
    },
    "customer": {"userId": "string"},
    "platform": {"platformId": "string"},
    "agent": {"agentId": "string"},
}
_EVENT_ATTRIBUTES: Final = {
    "seq": "integer",
    "direction": "string",
    "outcome": "string",
    "from": "string",
    "to": "string",
    "role": "string",
    "type": "string",
    "reason": "string",
    "messageId": "string",
    "receivedAt": "time",
}


def _types(types: Iterable[tuple[str, Any]]) -> str:
    return json.dumps(
        [
            {"name": name, "attributes": [{"name": key, "type": of} for key, of in given.items()]}
            for name, given in types
        ]
    )


_Relations = Iterable[tuple[str, str]]


def _relations(relations: _Relations) -> list[dict[str, str]]:
    return [{"objectId": name, "qualifier": qualifier} for name, qualifier in relations]


def _attribute(name: str, value: object, time: str | None = _ALWAYS) -> dict[str, Any]:
    return {"name": name, "time": time, "value": value}


def _shared(name: str, key: str, value: str | None) -> str:
    """An object that many chats have to do with; its type stands before the colon."""
    attributes = [] if value is None else [_attribute(key, value)]
    of = name.partition(":")[0]
    return json.dumps({"id": name, "type": of, "attributes": attributes, "relationships": []})


def write_ocel(
    stories: SessionRows,
    write: Callable[[str], object],
    *,
    users: bool = False,
    partial: bool = False,
) -> None:
    """An event for each row, and what it is about: chat, customer, platform, agents.

    Args:
        stories: As :meth:`~sermo_fsm.ChatEngine.stories` gives them.
        write: Takes the text, bit by bit.
        users: With the ids of users.
        partial: Earlier chats of the same customers may be missing in *stories*, or come later.
    """
    write(f'{{"eventTypes": {_types((name, _EVENT_ATTRIBUTES) for name in Trigger)},\n')
    write(f'"objectTypes": {_types(_OBJECT_TYPES.items())},\n"events": [')
    with TemporaryFile("w+", encoding="utf-8") as spool:  # in the file all of them stand together
        log = _Ocel(write, spool.write, users, partial)
        for session, told in by_session(stories):
            log.add(session, told)
        spool.write(",\n".join(log.shared.values()))
        spool.seek(0)
        write('\n],\n"objects": [\n')
        while part := spool.read(1 << 16):
            write(part)
    write("\n]}\n")


@define
class _Ocel:
    """An event log half written: the events, and beside them the objects."""

    event: Callable[[str], object]
    spool: Callable[[str], object]
    users: bool
    partial: bool
    customers: set[str] = field(factory=set)
    """Those that were met, where the first chat of one does not tell it."""
    shared: dict[str, str] = field(factory=dict)
    """Platforms and agents: there are few of them."""
    comma: str = "\n"

    def add(self, session: ChatSession, told: ActorRows) -> None:
        """Write one chat, row by row."""
        chat, customer = f"chat:{session.session_id}", f"customer:{customer_id(session)}"
        platform = f"platform:{session.platform_id}"
        self._meet(platform, "platformId")
        head = json.dumps({"id": chat, "type": "chat", "attributes": _facts(session)})
        self.spool(head.removesuffix("]}"))
        for who, row in told:
            if row.from_state is not row.to_state:
                moved = _attribute("state", row.to_state, time_view(row.effective_at))
                self.spool(f", {json.dumps(moved)}")
            about = [(chat, "of"), *self._people(who, row, customer)]
            if row.from_state is None:  # tools forget an object that no event is about
                about.append((platform, "on"))
            self.event(self.comma + json.dumps(_event(session, row, who, about)))
            self.comma = ",\n"
        known = customer in self.customers if self.partial else session.ordinal > 1
        relations = [(customer, "of"), (platform, "on")]
        if known and session.ordinal > 1:
            qualifier = "resumes" if session.resumed else "after"
            relations.append((f"chat:{session.previous_session_id}", qualifier))
        self.spool(f'], "relationships": {json.dumps(_relations(relations))}}},\n')
        if not known:
            user = session.user_id if self.users else None
            self.spool(_shared(customer, "userId", user) + ",\n")
        if self.partial:
            self.customers.add(customer)

    def _meet(self, name: str, key: str) -> str:
        if name not in self.shared:
            self.shared[name] = _shared(name, key, name.partition(":")[2])
        return name

    def _people(
        self, who: Participant, row: HistoryRow, customer: str
    ) -> Iterator[tuple[str, str]]:
        if who.role is Role.CUSTOMER:
            yield customer, "by"
        elif who.id is not None:
            yield self._meet(f"agent:{who.id}", "agentId"), "by"
        if row.agent_id is not None and row.agent_id != who.id:
            yield self._meet(f"agent:{row.agent_id}", "agentId"), "in charge"


def _facts(session: ChatSession) -> list[dict[str, Any]]:
    opened, closed = time_view(session.opened_at), time_view(session.closed_at)
    facts = [
        _attribute("ordinal", session.ordinal, opened),
        _attribute("resumed", session.resumed, opened),
        _attribute("openedAt", opened, opened),
    ]
    if closed is not None:
        facts.append(_attribute("closedAt", closed, closed))
        facts.append(_attribute("closeReason", session.close_reason, closed))
    return facts


def _event(
    session: ChatSession, row: HistoryRow, who: Participant, about: _Relations
) -> dict[str, Any]:
    given = {
        "seq": row.seq,
        "direction": row.direction,
        "outcome": row.outcome,
        "from": row.from_state,
        "to": row.to_state,
        "role": who.role,
        "type": row.type,
        "reason": row.reason,
        "messageId": row.message_id,
        "receivedAt": time_view(row.received_at),
    }
    return {
        "id": f"{session.session_id}/{row.seq}",
        "type": row.trigger,
        "time": time_view(row.effective_at),
        "attributes": [
            {"name": name, "value": value} for name, value in given.items() if value is not None
        ],
        "relationships": _relations(about),
    }
