"""A naive reference model of the chat-session machine: the oracle of the tests.

Written from the text of the design alone (sections 2-6 and 9), without sight of the
implementation, and meant to be read against that text sentence by sentence. It is slow
on purpose. Nothing derived is ever stored: a session is the plain list of the events
that were its own, in the order of reading (the quiet ones too, and the closing by the
clock or by hand), and its state, its deadline, its history rows and its status are all
computed from that list, from the beginning, every time someone asks.

What is not modelled: validation (every event handed in is valid, or of an unknown
type), policies per platform, the stored body of an event, session ids, and the reason
code of a close by hand.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# --------------------------------------------------------------------------------------
# Section 3: events and triggers

INBOUND_TRIGGERS: dict[str, str] = {
    "text": "customer_text",
    "heartbeat": "heartbeat",
    "typing": "typing",
    "messages_read": "messages_read",
    "client_left": "client_left",
    "client_unload": "client_unload",
    "client_closed": "client_left",
    "typing_on": "typing",
    "typing_off": "typing",
    "start": "start",
    "postback": "customer_text",
}

# Of these and of "handover_to" the agent decides: see trigger_of
OUTBOUND_AS_TEXT: tuple[str, ...] = ("text", "postback", "web_url", "image", "carousel")

OUTBOUND_TRIGGERS: dict[str, str] = {
    "queue_number": "queue_number",
    "system_text": "system_text",
    "agent_done": "agent_done",
    "typing_on": "typing_on",
    "typing_off": "typing_off",
    "platform_closed": "platform_closed",
    "handover_to_bot": "handover_to_bot",
    "handover_to_agent": "handover_to_agent",
    "info": "system_text",
    "handover_to_queue": "handover_to_queue",
    "transfer_to_agent_application": "handover_to_queue",
    "claim_session": "claim_session",
    "end_session": "end_session",
}

# What means something else on the queue "internal" than on "outbound"
INTERNAL_TRIGGERS: dict[str, str] = {
    "agent_done": "agent_released",
}

QUIET: tuple[str, ...] = (
    "heartbeat",
    "typing",
    "messages_read",
    "typing_on",
    "typing_off",
)

REPLIES: dict[str, str] = {
    "bot_text": "bot",
    "agent_text": "human",
    "unattributed_text": "unknown",
}


def is_bot(agent: dict[str, Any] | None) -> bool:
    """Tell whether an agent is a bot: its id or its type is ``bot``."""
    if agent is None:
        return False
    return agent["id"] == "bot" or agent.get("type") == "bot"


def is_human(agent: dict[str, Any] | None) -> bool:
    """Tell whether an agent is a human: no bot, and typed so or without a type."""
    if agent is None or is_bot(agent):
        return False
    if agent.get("type") is None:
        return bool(agent["id"] != "system")
    return agent.get("type") == "human"


def trigger_of(direction: str, event: dict[str, Any]) -> str:
    """Say what an event means to the machine; the event alone decides."""
    wire_type = event["type"]
    if direction == "inbound":
        return INBOUND_TRIGGERS.get(wire_type, "unknown")
    if direction == "internal" and wire_type in INTERNAL_TRIGGERS:
        return INTERNAL_TRIGGERS[wire_type]
    if wire_type in OUTBOUND_AS_TEXT:
        if is_bot(event.get("agent")):
            return "bot_text"
        if is_human(event.get("agent")):
            return "agent_text"
        return "unattributed_text"
    if wire_type == "handover_to":
        return "handover_to_bot" if is_bot(event.get("agent")) else "handover_to_agent"
    return OUTBOUND_TRIGGERS.get(wire_type, "unknown")


# --------------------------------------------------------------------------------------
# Section 4: whose event is it, when no session is live?

STRAY = "stray"
OPENS = "opens"
RESUMES = "resumes"
PS = "P's"
PS_UNTIL_EXPIRES = "P's until P's expires_at, then opens"
PS_FOR_LINGER = "P's for linger, then opens"
OPENS_OR_LEFT = "opens; but as left of here once a client_left is P's"

# Which column it is, by the trigger that closed P
OWNER_COLUMN: dict[str | None, int] = {
    None: 0,  # no session yet
    "client_left": 1,
    "end_session": 1,
    "close": 1,
    "agent_done": 2,
    "expire": 3,
}

OWNER_OF_ANYTHING_ELSE: tuple[str, ...] = (STRAY, PS, PS, PS)

OWNER_TABLE: dict[str, tuple[str, ...]] = {
    "customer_text": (OPENS, OPENS, OPENS, RESUMES),
    "heartbeat": (OPENS, PS_UNTIL_EXPIRES, PS_UNTIL_EXPIRES, RESUMES),
    "typing": (OPENS, PS_UNTIL_EXPIRES, PS_UNTIL_EXPIRES, RESUMES),
    "start": (OPENS, PS_UNTIL_EXPIRES, PS_UNTIL_EXPIRES, RESUMES),
    "agent_text": (OPENS, PS_FOR_LINGER, OPENS_OR_LEFT, PS_FOR_LINGER),
    "claim_session": (OPENS, PS_FOR_LINGER, OPENS_OR_LEFT, PS_FOR_LINGER),
    "queue_number": (OPENS, PS_FOR_LINGER, OPENS_OR_LEFT, PS_FOR_LINGER),
    "handover_to_bot": (OPENS, PS_FOR_LINGER, OPENS_OR_LEFT, PS_FOR_LINGER),
    "handover_to_agent": (OPENS, PS_FOR_LINGER, OPENS_OR_LEFT, PS_FOR_LINGER),
    "handover_to_queue": (OPENS, PS_FOR_LINGER, OPENS_OR_LEFT, PS_FOR_LINGER),
    "bot_text": (OPENS, PS_FOR_LINGER, PS_FOR_LINGER, PS_FOR_LINGER),
}

# --------------------------------------------------------------------------------------
# Section 6: the machine

STATES: tuple[str, ...] = ("open", "bot", "queued", "with_agent")

STAYS = "="
IGNORED = "×"
UNLESS_WRITTEN_SINCE = "→ closed, but → bot if a customer_text was received later than it"

TABLE: dict[str, tuple[str, str, str, str]] = {
    # the cells in the order of STATES
    "customer_text": ("→ bot", "=", "=", "="),
    "heartbeat": ("=", "=", "=", "="),
    "typing": ("=", "=", "=", "="),
    "messages_read": ("=", "=", "=", "="),
    "client_unload": ("=", "=", "=", "="),
    "client_left": ("→ closed", "→ closed", "→ closed", "→ closed"),
    "bot_text": ("→ bot", "=", "=", "="),
    "agent_text": ("→ with_agent", "→ with_agent", "→ with_agent", "="),
    "unattributed_text": ("=", "=", "=", "="),
    "system_text": ("=", "=", "=", "="),
    "typing_on": ("=", "=", "=", "="),
    "typing_off": ("=", "=", "=", "="),
    "queue_number": ("→ queued", "→ queued", "=", "→ queued"),
    "agent_done": ("×", "×", "×", UNLESS_WRITTEN_SINCE),
    "platform_closed": ("=", "=", "→ bot", "="),
    "handover_to_bot": ("→ bot", "=", "→ bot", "→ bot"),
    "handover_to_agent": ("→ queued", "→ queued", "=", "×"),
    "start": ("=", "=", "=", "="),
    "handover_to_queue": ("→ queued", "→ queued", "=", "→ queued"),
    "claim_session": ("→ with_agent", "→ with_agent", "→ with_agent", "="),
    "end_session": ("×", "×", UNLESS_WRITTEN_SINCE, UNLESS_WRITTEN_SINCE),
    "agent_released": ("×", "×", "×", "→ bot"),
    "expire": ("→ closed", "→ closed", "→ closed", "→ closed"),
    "close": ("→ closed", "→ closed", "→ closed", "→ closed"),
    "unknown": ("=", "=", "=", "="),
}

# --------------------------------------------------------------------------------------
# What is kept: lists, and nothing that could be worked out from them


@dataclass(frozen=True)
class Read:
    """One event as it was read; or an ``expire`` (at the deadline), or a ``close``."""

    number: int  # the order of reading, over everything
    direction: str
    trigger: str
    event: dict[str, Any]
    time: datetime
    message_id: str | None

    @property
    def is_timer(self) -> bool:
        """Tell whether this is the clock's doing."""
        return self.direction == "timer"

    @property
    def is_inbound(self) -> bool:
        """Tell whether this came from the customer."""
        return self.direction == "inbound"


@dataclass(eq=False)
class Chat:
    """One session: where it came from, and every event that was its own."""

    key: tuple[str, str]
    ordinal: int
    previous: Chat | None
    resumed: bool
    own: list[Read] = field(default_factory=list)

    @property
    def opened_at(self) -> datetime:
        """The receive time of the event that opened it."""
        return self.own[0].time


@dataclass(frozen=True)
class Step:
    """What one of its own events did to a session."""

    read: Read
    opens: bool
    state_from: str | None
    state_to: str
    kept_from: str | None  # the kept state before the step, if the clock had closed it
    kept_to: str | None  # the kept state after the step, once the clock has closed it
    cell: str | None  # the cell of the table that was applied, if one was

    @property
    def late(self) -> bool:
        """Tell whether the session was closed already."""
        return self.state_from == "closed"

    @property
    def closes(self) -> bool:
        """Tell whether this step closed the session."""
        return self.state_to == "closed" and not self.late

    @property
    def place_from(self) -> str | None:
        """Where the chat was: in the kept state, or else in the state."""
        return self.state_from if self.kept_from is None else self.kept_from

    @property
    def place_to(self) -> str:
        """Where the chat is after it: in the kept state, or else in the state."""
        return self.state_to if self.kept_to is None else self.kept_to

    @property
    def written(self) -> bool:
        """Tell whether it is a history row."""
        return self.opens or self.read.trigger not in QUIET

    @property
    def outcome(self) -> str:
        """What became of the event."""
        if self.read.trigger == "unknown":
            return "unknown"
        if self.opens:
            return "moved"
        if self.late:
            return "late"
        if self.cell == STAYS:
            return "stayed"
        if self.cell == IGNORED:
            return "ignored"
        return "moved"


class NaiveChats:
    """All chats of all users, slowly."""

    def __init__(
        self,
        *,
        unload_grace: timedelta,
        idle_timeout: timedelta | None,
        linger: timedelta,
        platform_id: str | None = None,
    ) -> None:
        """Start with no sessions, under one policy.

        ``platform_id`` stands in where an event has none.
        """
        self.unload_grace = unload_grace
        self.idle_timeout = idle_timeout
        self.linger = linger
        self.platform_id = platform_id
        self._numbers_given = 0
        self._chats: dict[tuple[str, str], list[Chat]] = {}
        self._strays: list[Read] = []

    # ----------------------------------------------------------------------------------
    # Handing in

    def handle(
        self,
        direction: str,
        event: dict[str, Any],
        received_at: datetime,
        message_id: str | None = None,
    ) -> dict[str, Any]:
        """Take one event; say its outcome, its owner and the number of rows written.

        The owner of a duplicate is the owner that it had the first time.
        """
        # A message id that was written before on this direction: nothing at all happens.
        for written, owner_ordinal in self._everything_written():
            if (
                message_id is not None
                and written.message_id == message_id
                and written.direction == direction
            ):
                if what_is_compared(written.event) == what_is_compared(event):
                    return {"outcome": "duplicate", "owner": owner_ordinal, "rows": 0}
                return {"outcome": "conflict", "owner": None, "rows": 0}

        # A program is alive: this is about no chat.
        if direction != "inbound" and event["type"] == "application_heartbeat":
            return {"outcome": "unknown", "owner": None, "rows": 0}

        trigger = trigger_of(direction, event)
        time = utc(received_at)
        key = key_of(event, self.platform_id)
        rows = 0

        # Rule 1: an inbound event that has reached L's expires_at closes L first.
        live = self._live(key)
        if live is not None and direction == "inbound" and self._reached(live, time):
            self._expire(live)
            rows += 1

        verdict = self._whose(key, trigger, time)
        read = Read(
            number=self._next_number(),
            direction=direction,
            trigger=trigger,
            event=copy.deepcopy(event),
            time=time,
            message_id=message_id,
        )

        if verdict == STRAY or key is None:
            if trigger not in QUIET:
                self._strays.append(read)
                rows += 1
            outcome = "unknown" if trigger == "unknown" else "stray"
            return {"outcome": outcome, "owner": None, "rows": rows}

        if verdict in (OPENS, RESUMES):
            chats = self._chats.setdefault(key, [])
            owner = Chat(
                key=key,
                ordinal=len(chats) + 1,
                previous=self._last_closed(key),
                resumed=verdict == RESUMES,
                own=[read],
            )
            chats.append(owner)
        else:
            its_owner = self._live(key) if verdict == "L's" else self._last_closed(key)
            assert its_owner is not None
            owner = its_owner
            owner.own.append(read)

        step = self._walk(owner)[-1]
        rows += 1 if step.written else 0
        return {"outcome": step.outcome, "owner": owner.ordinal, "rows": rows}

    def sweep(self, up_to: datetime) -> int:
        """Close every live session whose deadline is reached at ``up_to``."""
        closed = 0
        for key in list(self._chats):
            live = self._live(key)
            if live is not None and self._reached(live, utc(up_to)):
                self._expire(live)
                closed += 1
        return closed

    def close(self, platform_id: str, user_id: str, at: datetime) -> int | None:
        """End the live session by hand; give its ordinal, or None where none is live.

        It is no inbound event, so it applies no deadline. It can't be before what has
        happened in the session already.
        """
        live = self._live((platform_id, user_id))
        if live is None:
            return None
        if utc(at) < self._rows(live)[-1]["effectiveAt"]:
            raise ValueError("a close before the session's latest effective time")
        live.own.append(
            Read(
                number=self._next_number(),
                direction="operator",
                trigger="close",
                event={},
                time=utc(at),
                message_id=None,
            )
        )
        return live.ordinal

    # ----------------------------------------------------------------------------------
    # Asking

    def status(self, platform_id: str, user_id: str) -> dict[str, Any] | None:
        """Say where this user's chat is now: the live one, or the last one."""
        chats = self._chats.get((platform_id, user_id), [])
        if not chats:
            return None
        return self.session(platform_id, user_id, chats[-1].ordinal)

    def session(self, platform_id: str, user_id: str, ordinal: int) -> dict[str, Any]:
        """Say the same of any session."""
        chat = self._chat(platform_id, user_id, ordinal)
        state = self._state(chat)
        previous = chat.previous
        rows = self._rows(chat)
        # What the session says of people counts all that went on where it goes on.
        steps = self._steps_that_count(chat)
        closed = state == "closed"
        return {
            "ordinal": chat.ordinal,
            "platformId": platform_id,
            "userId": user_id,
            "state": state,
            "since": [row for row in rows if row["from"] != row["to"]][-1]["effectiveAt"],
            "openedAt": chat.opened_at,
            "closedAt": self._closed_at(chat) if closed else None,
            "closeReason": self._close_reason(chat),
            "previousOrdinal": None if previous is None else previous.ordinal,
            "previousCloseReason": (None if previous is None else self._close_reason(previous)),
            "resumed": chat.resumed,
            "agent": agent(steps),
            "queueNumber": None if closed else queue_number(steps),
            "queuedAt": queued_at(steps),
            "flowGroupId": flow_group_id(steps),
            "platformClosedAt": latest(steps, "platform_closed"),
            "lastSeenAt": last_seen_at(steps),
            "lastReadAt": latest(steps, "messages_read"),
            "customerTypedAt": latest(steps, "typing", "customer_text"),
            "lastCustomerTextAt": latest(steps, "customer_text"),
            "lastReplyAt": latest(steps, *REPLIES),
            "lastReplyBy": last_reply_by(steps),
            "agentTypingSince": None if closed else agent_typing_since(steps),
            "expiresAt": self._moment(chat)[0],
            "rows": len(rows),
        }

    def history(self, platform_id: str, user_id: str, ordinal: int) -> list[dict[str, Any]]:
        """List the rows of a session."""
        return self._rows(self._chat(platform_id, user_id, ordinal))

    def strays(self) -> list[dict[str, Any]]:
        """List the rows without a session."""
        return [
            {
                "direction": read.direction,
                "type": read.event["type"],
                "trigger": read.trigger,
                "outcome": "unknown" if read.trigger == "unknown" else "stray",
                "receivedAt": read.time,
                "messageId": read.message_id,
            }
            for read in self._strays
        ]

    # ----------------------------------------------------------------------------------
    # Section 4: ownership

    def _whose(self, key: tuple[str, str] | None, trigger: str, time: datetime) -> str:
        """Decide: ``L's``, ``P's``, ``opens``, ``resumes`` or ``stray``."""
        if key is None:
            return STRAY
        live = self._live(key)
        without_live = self._whose_without_live(key, trigger, time)
        # Rule 2: there is no L.
        if live is None:
            return without_live
        # Rule 3: there is an L.
        # If L resumed P, the customer has come back since: then only a client_left is P's.
        still_ps = without_live == PS and (not live.resumed or trigger == "client_left")
        return PS if time < live.opened_at and still_ps else "L's"

    def _whose_without_live(self, key: tuple[str, str], trigger: str, time: datetime) -> str:
        """Read the ownership table, as if no session were live."""
        row = OWNER_TABLE.get(trigger, OWNER_OF_ANYTHING_ELSE)
        last = self._last_closed(key)
        if last is None:
            return row[OWNER_COLUMN[None]]

        closed_at = self._closed_at(last)
        if time < closed_at:
            return PS

        column = OWNER_COLUMN[self._closing_step(last).read.trigger]
        cell = row[column]
        if cell == OPENS_OR_LEFT:
            if any(read.trigger == "client_left" for read in last.own):
                cell = row[column - 1]
            else:
                cell = OPENS
        if cell == PS_UNTIL_EXPIRES:
            return OPENS if self._reached(last, time) else PS
        if cell == PS_FOR_LINGER:
            return PS if time < closed_at + self.linger else OPENS
        if cell == RESUMES:
            in_time = time < closed_at + self.linger
            kept = self._walk(last)[-1].kept_to
            return RESUMES if in_time and kept != "closed" else OPENS
        return cell

    def _live(self, key: tuple[str, str] | None) -> Chat | None:
        """L: the user's live session."""
        live = [chat for chat in self._of(key) if self._state(chat) != "closed"]
        assert len(live) <= 1
        return live[0] if live else None

    def _last_closed(self, key: tuple[str, str] | None) -> Chat | None:
        """P: the user's last closed session."""
        closed = [chat for chat in self._of(key) if self._state(chat) == "closed"]
        return closed[-1] if closed else None

    def _of(self, key: tuple[str, str] | None) -> list[Chat]:
        """All sessions of one user, the first one first."""
        return [] if key is None else self._chats.get(key, [])

    def _superseded(self, chat: Chat, read: Read) -> bool:
        """Tell whether the next session was open when an event was read."""
        return any(
            other.ordinal > chat.ordinal and other.own[0].number < read.number
            for other in self._of(chat.key)
        )

    # ----------------------------------------------------------------------------------
    # Section 5: time

    def _moment(self, chat: Chat) -> tuple[datetime | None, str]:
        """Fold over the customer's own events: ``expires_at``, and what set it."""

        def after(time: datetime, duration: timedelta | None) -> datetime | None:
            return None if duration is None else time + duration

        # The count starts at openedAt, also where an outbound event opened.
        latest_so_far = chat.opened_at
        moment = after(chat.opened_at, self.idle_timeout)
        set_by = "idle"

        for step in self._walk(chat):
            read = step.read
            if read.is_timer:
                break  # closed by expire: its moment is past and never changes
            if not read.is_inbound:
                continue
            reached = moment is not None and read.time >= moment
            if step.late and (reached or self._superseded(chat, read)):
                break  # an echo ends when it is reached, or the next session opens
            if read.trigger == "client_left":
                moment = after(max(read.time, latest_so_far), self.unload_grace)
                set_by = "client_left"
                break  # final, nothing moves it after that
            if read.time < latest_so_far:
                continue  # received before the latest so far: sets nothing
            if read.trigger == "client_unload":
                moment = after(read.time, self.unload_grace)
                set_by = "client_unload"
            elif read.time == latest_so_far and set_by == "client_unload":
                pass  # at the same instant client_unload decides
            else:
                moment = after(read.time, self.idle_timeout)
                set_by = "idle"
            latest_so_far = read.time
        return moment, set_by

    def _reached(self, chat: Chat, time: datetime) -> bool:
        """Tell whether a time has reached the session's ``expires_at``."""
        moment, _ = self._moment(chat)
        return moment is not None and time >= moment

    def _expire(self, chat: Chat) -> None:
        """Let the clock close a live session, at the deadline's own time."""
        moment, _ = self._moment(chat)
        assert moment is not None
        chat.own.append(
            Read(
                number=self._next_number(),
                direction="timer",
                trigger="expire",
                event={},
                time=moment,
                message_id=None,
            )
        )

    # ----------------------------------------------------------------------------------
    # Section 6: the machine

    def _walk(self, chat: Chat) -> list[Step]:
        """Run the machine over everything that was the session's own."""
        steps: list[Step] = []
        state = "open"
        if chat.resumed:
            assert chat.previous is not None
            kept_by_previous = self._walk(chat.previous)[-1].kept_to
            assert kept_by_previous is not None
            state = kept_by_previous
        kept: str | None = None
        earlier = self._reads_before(chat)

        for read in chat.own:
            opens = read is chat.own[0]
            state_from = None if opens else state
            kept_from = kept
            cell: str | None = None
            if state != "closed":
                cell = TABLE[read.trigger][STATES.index(state)]
                if read.trigger == "expire":
                    kept = state
                state = after_cell(cell, state, read, earlier)
            elif kept is not None and kept != "closed" and not self._superseded(chat, read):
                cell = TABLE[read.trigger][STATES.index(kept)]
                kept = after_cell(cell, kept, read, earlier)
            steps.append(Step(read, opens, state_from, state, kept_from, kept, cell))
            earlier = [*earlier, read]
        return steps

    def _reads_before(self, chat: Chat) -> list[Read]:
        """List what a resumed session goes on from: what was read before it opened.

        Those are the events of the session that it resumed, the late ones too, and of
        the one that that one resumed, and so on. Any other session has none.
        """
        if not chat.resumed:
            return []
        assert chat.previous is not None
        opening = chat.own[0]
        return [
            *self._reads_before(chat.previous),
            *(read for read in chat.previous.own if read.number < opening.number),
        ]

    def _steps_that_count(self, chat: Chat) -> list[Step]:
        """List the steps that the status of a session is made from.

        Its own; and first, in a resumed session, those that it goes on from.
        """
        if not chat.resumed:
            return self._walk(chat)
        assert chat.previous is not None
        opening = chat.own[0]
        return [
            *(
                step
                for step in self._steps_that_count(chat.previous)
                if step.read.number < opening.number
            ),
            *self._walk(chat),
        ]

    def _state(self, chat: Chat) -> str:
        """The state that the session is in."""
        return self._walk(chat)[-1].state_to

    def _closing_step(self, chat: Chat) -> Step:
        """The step that closed a closed session."""
        (step,) = (step for step in self._walk(chat) if step.closes)
        return step

    def _close_reason(self, chat: Chat) -> str | None:
        """Why the session is closed, if it is."""
        if self._state(chat) != "closed":
            return None
        trigger = self._closing_step(chat).read.trigger
        if trigger == "expire":
            return self._moment(chat)[1]
        if trigger == "close":
            return "operator"
        return trigger

    def _closed_at(self, chat: Chat) -> datetime:
        """When a closed session closed, which is never before it opened."""
        return max(self._closing_step(chat).read.time, chat.opened_at)

    # ----------------------------------------------------------------------------------
    # Section 9: the rows

    def _rows(self, chat: Chat) -> list[dict[str, Any]]:
        """Write out the history of a session."""
        rows: list[dict[str, Any]] = []
        steps = self._steps_that_count(chat)
        for place, step in enumerate(steps):
            read = step.read
            if read.number < chat.own[0].number or not step.written:
                continue  # another session's, or quiet
            so_far = steps[: place + 1]
            in_charge = agent(so_far) if step.state_to == "with_agent" else None
            rows.append(
                {
                    "seq": len(rows) + 1,
                    "direction": read.direction,
                    "type": read.event.get("type"),
                    "trigger": read.trigger,
                    "from": step.state_from,
                    "to": step.state_to,
                    "outcome": step.outcome,
                    "receivedAt": None if read.is_timer else read.time,
                    "effectiveAt": max([read.time] + [row["effectiveAt"] for row in rows]),
                    "at": client_clock(read.event),
                    "messageId": read.message_id,
                    "agentId": None if in_charge is None else in_charge["id"],
                    "reason": self._close_reason(chat) if step.closes else None,
                    "lastSeenAt": last_seen_at(so_far) if step.closes else None,
                }
            )
        return rows

    def _everything_written(self) -> Iterator[tuple[Read, int | None]]:
        """Every event that is a history row anywhere, with its owner's ordinal."""
        for read in self._strays:
            yield read, None
        for chats in self._chats.values():
            for chat in chats:
                for place, read in enumerate(chat.own):
                    if place == 0 or read.trigger not in QUIET:
                        yield read, chat.ordinal

    def _chat(self, platform_id: str, user_id: str, ordinal: int) -> Chat:
        """Find one session."""
        for chat in self._of((platform_id, user_id)):
            if chat.ordinal == ordinal:
                return chat
        raise KeyError((platform_id, user_id, ordinal))

    def _next_number(self) -> int:
        """Number what is read, in the order of reading."""
        self._numbers_given += 1
        return self._numbers_given


# --------------------------------------------------------------------------------------
# Facts, each found by looking through the whole list


def utc(time: datetime) -> datetime:
    """Give an aware time in UTC."""
    if time.tzinfo is None:
        raise ValueError("a time without a zone")
    return time.astimezone(UTC)


def key_of(event: dict[str, Any], default: str | None) -> tuple[str, str] | None:
    """Give platform and user; None where an unknown event does not say both."""
    platform_id = event.get("platformId")
    if platform_id is None:
        platform_id = default
    user_id = event.get("userId")
    for part in (platform_id, user_id):
        if not isinstance(part, str) or not 1 <= len(part) <= 255:
            return None
    assert isinstance(platform_id, str)
    assert isinstance(user_id, str)
    return platform_id, user_id


def what_is_compared(event: dict[str, Any]) -> str:
    """Give the JSON value that tells a duplicate from a conflict, as text.

    Without the unsent text of a typing event, known or not. 1 and 1.0 are not the same.
    """
    kept = dict(event)
    if kept["type"].lower().startswith("typing"):
        kept.pop("text", None)
    return json.dumps(kept, sort_keys=True)


def client_clock(event: dict[str, Any]) -> datetime | None:
    """Give ``at``, where it can be read as a timestamp with a zone."""
    at = event.get("at")
    if not isinstance(at, str):
        return None
    try:
        time = datetime.fromisoformat(at)
    except ValueError:
        return None
    return None if time.tzinfo is None else time.astimezone(UTC)


def after_cell(cell: str, state: str, read: Read, earlier: list[Read]) -> str:
    """Say which state a cell of the table leads to."""
    if cell in (STAYS, IGNORED):
        return state
    if cell == UNLESS_WRITTEN_SINCE:
        customer_spoke_later = any(
            other.trigger == "customer_text" and other.time > read.time for other in earlier
        )
        return "bot" if customer_spoke_later else "closed"
    return cell.removeprefix("→ ")


def latest(steps: list[Step], *triggers: str) -> datetime | None:
    """Give the latest receive time of a kind."""
    times = [step.read.time for step in steps if step.read.trigger in triggers]
    return max(times, default=None)


def last_seen_at(steps: list[Step]) -> datetime | None:
    """Give the latest receive time of anything inbound."""
    times = [step.read.time for step in steps if step.read.is_inbound]
    return max(times, default=None)


def last_reply_by(steps: list[Step]) -> str | None:
    """Say who sent the last reply; of two at one instant the one read later."""
    last_reply_at = latest(steps, *REPLIES)
    who = [
        REPLIES[step.read.trigger]
        for step in steps
        if step.read.trigger in REPLIES and step.read.time == last_reply_at
    ]
    return who[-1] if who else None


def agent(steps: list[Step]) -> dict[str, Any] | None:
    """Give the last agent who wrote or took the chat, where the table was applied to it."""
    agents: list[dict[str, Any]] = []
    for step in steps:
        if step.cell is None:
            continue
        if step.read.trigger == "agent_text":
            who = step.read.event["agent"]
            agents.append({"id": who["id"], "name": who.get("name"), "type": who.get("type")})
        if step.read.trigger == "claim_session":
            agents.append({"id": step.read.event["agentId"], "name": None, "type": None})
    return agents[-1] if agents else None


def queued_at(steps: list[Step]) -> datetime | None:
    """Give the first entry into queued."""
    entries = [
        step.read.time
        for step in steps
        if step.place_to == "queued" and step.place_from != "queued"
    ]
    return entries[0] if entries else None


def queue_number(steps: list[Step]) -> int | None:
    """Give the last number told during this stay in queued."""
    number: int | None = None
    for step in steps:
        if step.place_to != "queued":
            number = None
        elif step.read.trigger == "queue_number":
            number = step.read.event["queueNumber"]
    return number


def flow_group_id(steps: list[Step]) -> Any:
    """Give what the last handover to the bot that the table was applied to carried."""
    carried = [
        step.read.event.get("flowGroupId")
        for step in steps
        if step.read.trigger == "handover_to_bot" and step.cell is not None
    ]
    return carried[-1] if carried else None


def agent_typing_since(steps: list[Step]) -> datetime | None:
    """Give the latest typing_on, unless something received then or later ended it."""
    since = latest(steps, "typing_on")
    ends = [
        step.read.time
        for step in steps
        if step.read.trigger in ("typing_off", *REPLIES)
        or (step.place_from == "with_agent" and step.place_to != "with_agent")
    ]
    if since is None or any(end >= since for end in ends):
        return None
    return since
