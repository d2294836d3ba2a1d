"""Histories as an OCEL 2.0 event log, in JSON.

Each history row becomes an event. Chats, customers, platforms and agents are its objects.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from tempfile import TemporaryFile
from typing import Any, Final

from attrs import define, field

from sermo_fsm.core.history import HistoryRow
from sermo_fsm.core.json_form import time_view
from sermo_fsm.core.session import ChatSession
from sermo_fsm.export.event_log import ActorRows, SessionRows, by_session, customer_id
from sermo_fsm.export.pseudonyms import Pseudonyms
from sermo_fsm.protocol.events import Trigger
from sermo_fsm.views.participants import Participant, Role

__all__ = ["write_ocel"]

_UNCHANGING: Final = "1970-01-01T00:00:00.000Z"
"""The time that OCEL gives an attribute that never changes."""

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


def _type_declarations(types: Iterable[tuple[str, Mapping[str, str]]]) -> str:
    return json.dumps(
        [
            {
                "name": name,
                "attributes": [{"name": key, "type": kind} for key, kind in attributes.items()],
            }
            for name, attributes in types
        ]
    )


_Relations = Iterable[tuple[str, str]]
"""Object ids, each with the qualifier of the relation."""


def _relations(relations: _Relations) -> list[dict[str, str]]:
    return [{"objectId": name, "qualifier": qualifier} for name, qualifier in relations]


def _attribute(name: str, value: object, time: str | None = _UNCHANGING) -> dict[str, Any]:
    return {"name": name, "time": time, "value": value}


def _object(object_id: str, key: str, value: str | None) -> str:
    """Return an object with one attribute; the id begins with its type and a colon."""
    attributes = [] if value is None else [_attribute(key, value)]
    kind = object_id.partition(":")[0]
    return json.dumps(
        {"id": object_id, "type": kind, "attributes": attributes, "relationships": []}
    )


def write_ocel(
    stories: SessionRows,
    write: Callable[[str], object],
    *,
    users: bool = False,
    partial: bool = False,
    pseudonyms: Pseudonyms | None = None,
) -> None:
    """Write an event for each history row, and the chats, customers, platforms and agents.

    Args:
        stories: Sessions and rows, as :meth:`sermo_fsm.ChatEngine.stories` yields them.
        write: Receives the text in parts.
        users: Include the ids of users, sessions and messages.
        pseudonyms: What stands for users and sessions without *users*; random ids by default.
        partial: A customer's earlier chats may be missing in *stories*, or come later.
    """
    write(f'{{"eventTypes": {_type_declarations((name, _EVENT_ATTRIBUTES) for name in Trigger)},\n')
    write(f'"objectTypes": {_type_declarations(_OBJECT_TYPES.items())},\n"events": [')
    with TemporaryFile("w+", encoding="utf-8") as spool:  # objects come after all events
        log = _OcelWriter(write, spool.write, users, partial)
        for session, rows in by_session(stories, None if users else pseudonyms or Pseudonyms()):
            log.add(session, rows)
        spool.write(",\n".join(log.shared_objects.values()))
        spool.seek(0)
        write('\n],\n"objects": [\n')
        while part := spool.read(1 << 16):
            write(part)
    write("\n]}\n")


@define
class _OcelWriter:
    """Writes the events of a log, and its objects to a separate place.

    Attributes:
        write_event: Receives the text of the events.
        write_object: Receives the text of the objects.
        users: Whether to include the ids of users.
        partial: Whether a customer's earlier chats may be missing.
        seen_customers: The customers written so far; only kept if ``partial``.
        shared_objects: The platforms and agents met so far, by object id. There are few.
        separator: What to write before the next event.
    """

    write_event: Callable[[str], object]
    write_object: Callable[[str], object]
    users: bool
    partial: bool
    seen_customers: set[str] = field(factory=set)
    shared_objects: dict[str, str] = field(factory=dict)
    separator: str = "\n"

    def add(self, session: ChatSession, rows: ActorRows) -> None:
        """Write one chat, row by row."""
        chat, customer = f"chat:{session.session_id}", f"customer:{customer_id(session)}"
        platform = f"platform:{session.platform_id}"
        self._add_shared(platform, "platformId")
        head = json.dumps({"id": chat, "type": "chat", "attributes": _session_attributes(session)})
        self.write_object(head.removesuffix("]}"))
        for actor, row in rows:
            if row.from_state is not row.to_state:
                moved = _attribute("state", row.to_state, time_view(row.effective_at))
                self.write_object(f", {json.dumps(moved)}")
            relations = [(chat, "of"), *self._people(actor, row, customer)]
            if row.from_state is None:  # some tools drop objects that no event refers to
                relations.append((platform, "on"))
            self.write_event(self.separator + json.dumps(_event(session, row, actor, relations)))
            self.separator = ",\n"
        self._end_chat(session, customer, platform)

    def _end_chat(self, session: ChatSession, customer: str, platform: str) -> None:
        known = customer in self.seen_customers if self.partial else session.ordinal > 1
        relations = [(customer, "of"), (platform, "on")]
        if known and session.ordinal > 1:
            qualifier = "resumes" if session.resumed else "after"
            relations.append((f"chat:{session.previous_session_id}", qualifier))
        self.write_object(f'], "relationships": {json.dumps(_relations(relations))}}},\n')
        if not known:
            user = session.user_id if self.users else None
            self.write_object(_object(customer, "userId", user) + ",\n")
        if self.partial:
            self.seen_customers.add(customer)

    def _add_shared(self, object_id: str, key: str) -> str:
        if object_id not in self.shared_objects:
            self.shared_objects[object_id] = _object(object_id, key, object_id.partition(":")[2])
        return object_id

    def _people(
        self, actor: Participant, row: HistoryRow, customer: str
    ) -> Iterator[tuple[str, str]]:
        """Yield the relations of a row to its actor and to the agent in charge."""
        if actor.role is Role.CUSTOMER:
            yield customer, "by"
        elif actor.id is not None:
            yield self._add_shared(f"agent:{actor.id}", "agentId"), "by"
        if row.agent_id is not None and row.agent_id != actor.id:
            yield self._add_shared(f"agent:{row.agent_id}", "agentId"), "in charge"


def _session_attributes(session: ChatSession) -> list[dict[str, Any]]:
    opened, closed = time_view(session.opened_at), time_view(session.closed_at)
    attributes = [
        _attribute("ordinal", session.ordinal, opened),
        _attribute("resumed", session.resumed, opened),
        _attribute("openedAt", opened, opened),
    ]
    if closed is not None:
        attributes.append(_attribute("closedAt", closed, closed))
        attributes.append(_attribute("closeReason", session.close_reason, closed))
    return attributes


def _event(
    session: ChatSession, row: HistoryRow, actor: Participant, relations: _Relations
) -> dict[str, Any]:
    attributes = {
        "seq": row.seq,
        "direction": row.direction,
        "outcome": row.outcome,
        "from": row.from_state,
        "to": row.to_state,
        "role": actor.role,
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
            {"name": name, "value": value}
            for name, value in attributes.items()
            if value is not None
        ],
        "relationships": _relations(relations),
    }
