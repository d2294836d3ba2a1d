"""Histories as an XES event log (IEEE 1849): a trace for each chat, an event for each row."""

import re
from collections.abc import Callable, Iterator
from typing import Final
from xml.sax.saxutils import quoteattr

from sermo_fsm.core.history import HistoryRow
from sermo_fsm.core.json_form import time_view
from sermo_fsm.core.session import ChatSession
from sermo_fsm.export.event_log import SessionRows, by_session, customer_id
from sermo_fsm.export.pseudonyms import Pseudonyms
from sermo_fsm.views.participants import Participant, Role

__all__ = ["write_xes"]

_HEAD: Final = """\
<?xml version="1.0" encoding="UTF-8"?>
<!-- Made by sermo-fsm export history -->
<log xes.version="1849.2016" xes.features="" xmlns="http://www.xes-standard.org/">
  <extension name="Concept" prefix="concept" uri="http://www.xes-standard.org/concept.xesext"/>
  <extension name="Time" prefix="time" uri="http://www.xes-standard.org/time.xesext"/>
  <extension name="Lifecycle" prefix="lifecycle" \
uri="http://www.xes-standard.org/lifecycle.xesext"/>
  <extension name="Organizational" prefix="org" uri="http://www.xes-standard.org/org.xesext"/>
  <global scope="trace">
    <string key="concept:name" value=""/>
  </global>
  <global scope="event">
    <string key="concept:name" value="unknown"/>
    <date key="time:timestamp" value="1970-01-01T00:00:00.000Z"/>
    <string key="lifecycle:transition" value="complete"/>
    <string key="to" value="open"/>
  </global>
  <classifier name="Trigger" scope="event" keys="concept:name"/>
  <classifier name="State" scope="event" keys="to"/>
  <string key="concept:name" value="sermo-fsm"/>
  <string key="lifecycle:model" value="standard"/>
"""

# Ids may contain these characters, but XML 1.0 can't.
_NOT_IN_XML: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def _element(kind: str, key: str, value: object) -> str:
    if value is None:
        return ""
    text = _NOT_IN_XML.sub(lambda found: f"\\u{ord(found[0]):04x}", str(value))
    return f"<{kind} key={quoteattr(key)} value={quoteattr(text)}/>"


def write_xes(
    stories: SessionRows,
    write: Callable[[str], object],
    *,
    users: bool = False,
    pseudonyms: Pseudonyms | None = None,
) -> None:
    """Write a trace for each session, with an event for each history row.

    Args:
        stories: Sessions and rows, as :meth:`sermo_fsm.ChatEngine.stories` yields them.
        write: Receives the text in parts.
        users: Include the ids of users, sessions and messages.
        pseudonyms: What stands for users and sessions without *users*; random ids by default.
    """
    write(_HEAD)
    for session, rows in by_session(stories, None if users else pseudonyms or Pseudonyms()):
        write("  <trace>\n" + "".join(_trace(session, users=users)))
        for actor, row in rows:
            write(f"    <event>{''.join(_event(actor, row))}</event>\n")
        write("  </trace>\n")
    write("</log>\n")


def _trace(session: ChatSession, *, users: bool) -> Iterator[str]:
    attributes = (
        ("string", "concept:name", session.session_id),
        ("string", "customer", customer_id(session)),
        ("string", "platform", session.platform_id),
        ("string", "user", session.user_id if users else None),
        ("int", "ordinal", session.ordinal),
        ("boolean", "resumed", str(session.resumed).lower()),
        ("string", "previous", session.previous_session_id),
        ("date", "openedAt", time_view(session.opened_at)),
        ("date", "closedAt", time_view(session.closed_at)),
        ("string", "closeReason", session.close_reason),
    )
    for kind, key, value in attributes:
        if value is not None:
            yield f"    {_element(kind, key, value)}\n"


def _event(actor: Participant, row: HistoryRow) -> Iterator[str]:
    # The library's own words need no escaping; skipping it matters, as there are many events.
    yield f'<string key="concept:name" value="{row.trigger}"/>'
    yield f'<date key="time:timestamp" value="{time_view(row.effective_at)}"/>'
    yield '<string key="lifecycle:transition" value="complete"/>'
    if actor.role is not Role.AGENT:
        yield f'<string key="org:resource" value="{actor.role}"/>'
    elif actor.id is not None:
        yield _element("string", "org:resource", actor.id)
    yield f'<string key="org:role" value="{actor.role}"/><int key="seq" value="{row.seq}"/>'
    for key, word in (("direction", row.direction), ("outcome", row.outcome)):
        yield f'<string key="{key}" value="{word}"/>'
    for key, state in (("from", row.from_state), ("to", row.to_state)):
        if state is not None:
            yield f'<string key="{key}" value="{state}"/>'
    yield _element("string", "type", row.type)
    yield _element("string", "reason", row.reason)
    yield _element("string", "messageId", row.message_id)
    yield _element("date", "receivedAt", time_view(row.received_at))
