"""Sessions and history rows as the command line prints them in JSON (docs/design.md, section 9)."""

from datetime import UTC, datetime
from typing import Any

from sermo_fsm.core.session import ChatSession, HistoryRow
from sermo_fsm.protocol.events import Agent

__all__ = ["row_view", "session_view", "stray_view", "time_view"]


def time_view(moment: datetime | None) -> str | None:
    """Return a time as ``2020-02-18T12:14:11.386Z``, with microseconds only if it has any."""
    if moment is None:
        return None
    precision = "microseconds" if moment.microsecond % 1000 else "milliseconds"
    return moment.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def _agent_view(agent: Agent | None) -> dict[str, Any] | None:
    if agent is None:
        return None
    return {"id": agent.id, "name": agent.name, "type": agent.type}


def session_view(session: ChatSession) -> dict[str, Any]:
    """Return a session as ``sermo-fsm status --json`` prints it."""
    return {
        "sessionId": session.session_id,
        "ordinal": session.ordinal,
        "platformId": session.platform_id,
        "userId": session.user_id,
        "state": session.state,
        "since": time_view(session.since),
        "openedAt": time_view(session.opened_at),
        "closedAt": time_view(session.closed_at),
        "closeReason": session.close_reason,
        "previousSessionId": session.previous_session_id,
        "previousCloseReason": session.previous_close_reason,
        "resumed": session.resumed,
        "agent": _agent_view(session.agent),
        "queueNumber": session.queue_number,
        "queuedAt": time_view(session.queued_at),
        "flowGroupId": session.flow_group_id,
        "platformClosedAt": time_view(session.platform_closed_at),
        "lastSeenAt": time_view(session.last_seen_at),
        "lastReadAt": time_view(session.last_read_at),
        "customerTypedAt": time_view(session.customer_typed_at),
        "lastCustomerTextAt": time_view(session.last_customer_text_at),
        "lastReplyAt": time_view(session.last_reply_at),
        "lastReplyBy": session.last_reply_by,
        "agentTypingSince": time_view(session.agent_typing_since),
        "expiresAt": time_view(session.expires_at),
        "rows": session.rows,
    }


def row_view(row: HistoryRow) -> dict[str, Any]:
    """Return a history row as ``sermo-fsm history --json`` prints it."""
    return {
        "seq": row.seq,
        "direction": row.direction,
        "type": row.type,
        "trigger": row.trigger,
        "from": row.from_state,
        "to": row.to_state,
        "outcome": row.outcome,
        "receivedAt": time_view(row.received_at),
        "effectiveAt": time_view(row.effective_at),
        "at": time_view(row.at),
        "messageId": row.message_id,
        "agentId": row.agent_id,
        "reason": row.reason,
        "lastSeenAt": time_view(row.last_seen_at),
        "event": row.event,
    }


def stray_view(row: HistoryRow) -> dict[str, Any]:
    """Return a row that has no session as ``sermo-fsm strays --json`` prints it."""
    return {
        "id": row.id,
        "platformId": row.platform_id,
        "userId": row.user_id,
        **row_view(row),
        "raw": row.raw,
    }
