"""A naive reference model of the chat-session machine: the oracle of the tests.

Written from the text of the design alone (sections 2-6 and 9), without sight of the
implementation, and meant to be read against that text sentence by sentence. It is slow
on purpose. Nothing derived is ever stored: a session is the plain list of the events
that were its own, in the order of reading (the quiet ones too, and the closing by the
clock), and its state, its deadline, its history rows and its status are all computed
from that list, from the beginning, every time someone asks.

What is not modelled: validation (every event handed in is valid, or of an unknown
type), policies per platform, the stored body of an event, session ids.
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
}

# "text" and "handover_to" depend on the agent: see trigger_of
OUTBOUND_TRIGGERS: dict[str, str] = {
    "queue_number": "queue_number",
    "system_text": "system_text",
    "agent_done": "agent_done",
    "typing_on": "typing_on",
    "typing_off": "typing_off",
    "platform_closed": "platform_closed",
    "handover_to_bot": "handover_to_bot",
    "handover_to_agent": "handover_to_agent",
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
    if wire_type == "text":
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

OWNER_COLUMNS: tuple[str, ...] = ("no session yet", "client_left", "agent_done", "clock")

OWNER_OF_ANYTHING_ELSE: tuple[str, ...] = (STRAY, PS, PS, PS)

OWNER_TABLE: dict[str, tuple[str, ...]] = {
    "customer_text": (OPENS, OPENS, OPENS, RESUMES),
    "heartbeat": (OPENS, PS_UNTIL_EXPIRES, PS_UNTIL_EXPIRES, RESUMES),
    "typing": (OPENS, PS_UNTIL_EXPIRES, PS_UNTIL_EXPIRES, RESUMES),
    "agent_text": (OPENS, PS_FOR_LINGER, OPENS_OR_LEFT, PS_FOR_LINGER),
    "queue_number": (OPENS, PS_FOR_LINGER, OPENS_OR_LEFT, PS_FOR_LINGER),
    "handover_to_bot": (OPENS, PS_FOR_LINGER, OPENS_OR_LEFT, PS_FOR_LINGER),
    "handover_to_agent": (OPENS, PS_FOR_LINGER, OPENS_OR_LEFT, PS_FOR_LINGER),
    "bot_text": (OPENS, PS_FOR_LINGER, PS_FOR_LINGER, PS_FOR_LINGER),
}

# --------------------------------------------------------------------------------------
# Section 6: the machine

STATES: tuple[str, ...] = ("open", "bot", "queued", "with_agent")

STAYS = "="
IGNORED = "×"
DONE = "→ closed, but → bot if a customer_text was received later than it"

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
    "agent_done": ("×", "×", "×", DONE),
    "platform_closed": ("=", "=", "→ bot", "="),
    "handover_to_bot": ("→ bot", "=", "→ bot", "→ bot"),
    "handover_to_agent": ("→ queued", "→ queued", "=", "×"),
    "expire": ("→ closed", "→ closed", "→ closed", "→ closed"),
    "unknown": ("=", "=", "=", "="),
}

# --------------------------------------------------------------------------------------
# What is kept: lists, and nothing that could be worked out from them


@dataclass(frozen=True)
class Read:
    """One event as it was read; or one ``expire``, whose time is the deadline."""

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
    kept: str | None  # the kept state after the step, once the clock has closed it
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
    ) -> None:
        """Start with no sessions, under one policy."""
        self.unload_grace = unload_grace
        self.idle_timeout = idle_timeout
        self.linger = linger
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

        trigger = trigger_of(direction, event)
        time = utc(received_at)
        key = key_of(event)
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
        steps = self._walk(chat)
        rows = self._rows(chat)
        state = steps[-1].state_to
        previous = chat.previous
        closing = [step for step in steps if step.closes]
        return {
            "ordinal": chat.ordinal,
            "platformId": platform_id,
            "userId": user_id,
            "state": state,
            "since": [row for row in rows if row["from"] != row["to"]][-1]["effectiveAt"],
            "openedAt": chat.opened_at,
            "closedAt": closing[0].read.time if closing else None,
            "closeReason": self._close_reason(chat),
            "previousOrdinal": None if previous is None else previous.ordinal,
            "previousCloseReason": (None if previous is None else self._close_reason(previous)),
            "resumed": chat.resumed,
            "agent": self._agent(chat, steps),
            "queueNumber": queue_number(steps),
            "queuedAt": queued_at(chat, steps),
            "flowGroupId": flow_group_id(steps),
            "platformClosedAt": latest(chat, chat.own, "platform_closed"),
            "lastSeenAt": last_seen_at(chat, chat.own),
            "lastReadAt": latest(chat, chat.own, "messages_read"),
            "customerTypedAt": latest(chat, chat.own, "typing", "customer_text"),
            "lastCustomerTextAt": latest(chat, chat.own, "customer_text"),
            "lastReplyAt": latest(chat, chat.own, *REPLIES),
            "lastReplyBy": last_reply_by(chat),
            "agentTypingSince": agent_typing_since(chat, steps),
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
        resumed_the_last = live.resumed and live.previous is self._last_closed(key)
        if time < live.opened_at and without_live == PS and not resumed_the_last:
            return PS
        return "L's"

    def _whose_without_live(self, key: tuple[str, str], trigger: str, time: datetime) -> str:
        """Read the ownership table, as if no session were live."""
        row = OWNER_TABLE.get(trigger, OWNER_OF_ANYTHING_ELSE)
        last = self._last_closed(key)
        if last is None:
            return row[OWNER_COLUMNS.index("no session yet")]

        closed_at = self._closing_step(last).read.time
        if time < closed_at:
            return PS

        closed_with = self._closing_step(last).read.trigger
        column = "clock" if closed_with == "expire" else closed_with
        place = OWNER_COLUMNS.index(column)
        cell = row[place]
        if cell == OPENS_OR_LEFT:
            if any(read.trigger == "client_left" for read in last.own):
                cell = row[place - 1]
            else:
                cell = OPENS
        if cell == PS_UNTIL_EXPIRES:
            return OPENS if self._reached(last, time) else PS
        if cell == PS_FOR_LINGER:
            return PS if time < closed_at + self.linger else OPENS
        if cell == RESUMES:
            in_time = time < closed_at + self.linger
            kept = self._walk(last)[-1].kept
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
            kept_by_previous = self._walk(chat.previous)[-1].kept
            assert kept_by_previous is not None
            state = kept_by_previous
        kept: str | None = None

        for place, read in enumerate(chat.own):
            earlier = chat.own[:place]
            opens = place == 0
            state_from = None if opens else state
            cell: str | None = None
            if state != "closed":
                cell = TABLE[read.trigger][STATES.index(state)]
                if read.trigger == "expire":
                    kept = state
                state = after_cell(cell, state, read, earlier)
            elif kept is not None and kept != "closed" and not self._superseded(chat, read):
                cell = TABLE[read.trigger][STATES.index(kept)]
                kept = after_cell(cell, kept, read, earlier)
            steps.append(Step(read, opens, state_from, state, kept, cell))
        return steps

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
        return self._moment(chat)[1] if trigger == "expire" else trigger

    def _agent(self, chat: Chat, steps: list[Step]) -> dict[str, Any] | None:
        """The agent of the last agent_text that the table was applied to."""
        applied = [
            step.read.event["agent"]
            for step in steps
            if step.read.trigger == "agent_text" and step.cell is not None
        ]
        if applied:
            agent = applied[-1]
            return {
                "id": agent["id"],
                "name": agent.get("name"),
                "type": agent.get("type"),
            }
        if chat.resumed:
            assert chat.previous is not None
            return self._agent(chat.previous, self._walk(chat.previous))
        return None

    # ----------------------------------------------------------------------------------
    # Section 9: the rows

    def _rows(self, chat: Chat) -> list[dict[str, Any]]:
        """Write out the history of a session."""
        rows: list[dict[str, Any]] = []
        steps = self._walk(chat)
        for place, step in enumerate(steps):
            if not step.written:
                continue
            read = step.read
            so_far = steps[: place + 1]
            agent = self._agent(chat, so_far)
            in_charge = agent if step.state_to == "with_agent" else None
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
                    "lastSeenAt": (
                        last_seen_at(chat, [one.read for one in so_far]) if step.closes else None
                    ),
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


def key_of(event: dict[str, Any]) -> tuple[str, str] | None:
    """Give platform and user; None where an unknown event does not say both."""
    platform_id = event.get("platformId")
    user_id = event.get("userId")
    for part in (platform_id, user_id):
        if not isinstance(part, str) or not 1 <= len(part) <= 255:
            return None
    assert isinstance(platform_id, str)
    assert isinstance(user_id, str)
    return platform_id, user_id


def what_is_compared(event: dict[str, Any]) -> str:
    """Give the JSON value that tells a duplicate from a conflict, as text.

    Without the unsent text of a typing event. 1 and 1.0 are not the same.
    """
    kept = dict(event)
    if kept["type"] in ("typing", "typing_on", "typing_off"):
        kept.pop("text", None)
    return json.dumps(kept, sort_keys=True)


def client_clock(event: dict[str, Any]) -> datetime | None:
    """Give ``at``, where it is there and (in an unknown event) a timestamp."""
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
    if cell == DONE:
        customer_spoke_later = any(
            other.trigger == "customer_text" and other.time > read.time for other in earlier
        )
        return "bot" if customer_spoke_later else "closed"
    return cell.removeprefix("→ ")


def latest(chat: Chat, reads: list[Read], *triggers: str) -> datetime | None:
    """Give the latest receive time of a kind, none from before the opening."""
    times = [
        read.time for read in reads if read.trigger in triggers and read.time >= chat.opened_at
    ]
    return max(times, default=None)


def last_seen_at(chat: Chat, reads: list[Read]) -> datetime | None:
    """Give the latest receive time of anything inbound."""
    times = [read.time for read in reads if read.is_inbound and read.time >= chat.opened_at]
    return max(times, default=None)


def last_reply_by(chat: Chat) -> str | None:
    """Say who sent the last reply; of two at one instant the one read later."""
    last_reply_at = latest(chat, chat.own, *REPLIES)
    who = [
        REPLIES[read.trigger]
        for read in chat.own
        if read.trigger in REPLIES and read.time == last_reply_at
    ]
    return who[-1] if who else None


def queued_at(chat: Chat, steps: list[Step]) -> datetime | None:
    """Give the first entry into queued, never before the opening."""
    entries = [
        max(step.read.time, chat.opened_at)
        for step in steps
        if step.state_to == "queued" and step.state_from != "queued"
    ]
    return entries[0] if entries else None


def queue_number(steps: list[Step]) -> int | None:
    """Give the last number told during this stay in queued."""
    number: int | None = None
    for step in steps:
        if step.state_to != "queued":
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


def agent_typing_since(chat: Chat, steps: list[Step]) -> datetime | None:
    """Give the latest typing_on, unless something received then or later ended it."""
    if steps[-1].state_to == "closed":
        return None
    since = latest(chat, chat.own, "typing_on")
    ends = [
        step.read.time
        for step in steps
        if step.read.trigger in ("typing_off", *REPLIES)
        or (step.state_from == "with_agent" and step.state_to != "with_agent")
    ]
    if since is None or any(end >= since for end in ends):
        return None
    return since
