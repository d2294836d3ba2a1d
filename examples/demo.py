"""Play the six chats of this folder and show the outcome of every event (``make demo``).

Events go in through the worker, from a queue in this process; everything shown comes from the
receipts.
"""

import asyncio
import io
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from rich.console import Console
from rich.text import Text

from sermo_fsm import AsyncChatEngine, ChatEngine, ChatSession, Direction, HistoryRow, Receipt
from sermo_fsm.diagram import render
from sermo_fsm.picture.drawing import machine_drawing
from sermo_fsm.worker.loop import Result, Settings, Worker
from sermo_fsm.worker.memory import MemorySource
from sermo_fsm.worker.source import Delivery

FOLDER: Final = Path(__file__).resolve().parent
WIDTH: Final = 100


@frozen
class Scenario:
    """One file of this folder, its title, and what to watch for."""

    name: str
    title: str
    story: str


SCENARIOS: Final = (
    Scenario(
        "1-standard.jsonl",
        "The standard flow",
        "The bot asks, the customer waits in the queue, Anders sorts out an invoice, and the "
        "customer closes the window. What Anders sent meanwhile is read after that: it is late, "
        "and moves nothing.",
    ),
    Scenario(
        "2-transfer.jsonl",
        "A transfer, and a second agent",
        "Elin moves the customer to technical support: the new queue number takes the chat from "
        "her. When she then clicks done it is ignored, for the chat is no longer hers to close. "
        "Johan closes it, and the thanks that crossed his click open no new chat.",
    ),
    Scenario(
        "3-still-there.jsonl",
        "Are you still there?",
        "After minutes in the queue the bot takes the chat back and asks whether anybody is "
        "there; then the customer goes back in line. The answer was received before that and is "
        "read after it, and ends in the same state.",
    ),
    Scenario(
        "4-one-more-question.jsonl",
        "One more question",
        "The agent is done, and the browser goes on sending heartbeats: they belong to the "
        "finished chat. One more question opens the second one. There Oskar clicks done before he "
        "has read the customer's last words, so the chat goes to the bot, and not to nobody.",
    ),
    Scenario(
        "5-queue-closes.jsonl",
        "The queue closes",
        "A customer with a phone waits, reloads the page, and sleeps for minutes: the deadline "
        "closes the chat at its own time. Waking up, the phone resumes it where it was. The queue "
        "closes, the bot makes an appointment, the customer vanishes, and only the sweep notices.",
    ),
    Scenario(
        "6-later-events.jsonl",
        "Later events, and three agents",
        "Handovers and claims come on a queue of their own, and agent_done there ends nothing: the "
        "customer asks on, and the bot puts the same chat in line again. Only end_session ends it, "
        "and even the start that a reload sends still belongs to it.",
    ),
)

STYLES: Final = {
    "open": "cyan",
    "bot": "blue",
    "queued": "yellow",
    "with_agent": "green",
    "moved": "bold",
    "late": "magenta",
    "ignored": "magenta",
}
# The sender of events that do not name one, by type.
SENDERS: Final = {
    "agent_done": "agent",
    "customer_identified": "system",
    "end_session": "agent",
    "handover_to": "bot",
    "handover_to_agent": "bot",
    "handover_to_bot": "queue",
    "handover_to_queue": "system",
    "info": "system",
    "platform_closed": "queue",
    "queue_number": "queue",
    "system_text": "system",
}
SPOKEN: Final = frozenset(
    {"text", "system_text", "info", "postback", "web_url", "image", "carousel"}
)
# What any other event says beside its type.
DETAILS: Final = ("queueNumber", "flowGroupId", "queueId", "reasonText")


@frozen
class Transcript:
    """Prints what happens on a console, one line per event."""

    console: Console

    def line(self, time: str, who: str, what: str, state: Text, outcome: str) -> None:
        """Print one line, in columns."""
        line = Text("  ")
        for cell, width in (
            (Text(time), 9),
            (Text(who, "dim" if who == "customer" else ""), 10),
            (Text(what), self.console.width - 54),
            (state, 21),
            (styled(outcome), 8),
        ):
            cell.truncate(width, overflow="ellipsis", pad=True)
            line += cell + Text(" ")
        line.rstrip()
        self.console.print(line, soft_wrap=True)

    def deadline(self, row: HistoryRow, engine: ChatEngine) -> None:
        """Print what the clock did, at the time of the deadline."""
        chat = engine.session(row.session_id or "")
        moment = (chat and chat.closed_at) or row.effective_at
        state = transition(row.from_state, row.to_state)
        self.line(clock(moment), "the clock", f"expire: {row.reason}", state, row.outcome)

    def event(self, envelope: dict[str, Any], receipt: Receipt, *, crossed: bool) -> None:
        """Print an event and its outcome; *crossed* if it was received before the one above."""
        before = receipt.before.state if receipt.before else None
        after = receipt.after.state if receipt.after else None
        time = clock(datetime.fromisoformat(envelope["receivedAt"])) + "*" * crossed
        what = describe(envelope["event"])
        self.line(time, sender(envelope), what, transition(before, after), receipt.outcome)

    def quiet(self, types: Counter[str], outcome: str) -> None:
        """Print a run of quiet events, which only say that somebody is there."""
        counts = (name if count == 1 else f"{name} ×{count}" for name, count in types.items())
        late = " (late)" if outcome == "late" else ""
        self.console.print(Text(f"{'':12}{', '.join(counts)}{late}", "dim"), soft_wrap=True)


def clock(moment: datetime) -> str:
    """The time of day, in UTC."""
    return moment.astimezone(UTC).strftime("%H:%M:%S")


def styled(word: str | None) -> Text:
    """A state or an outcome in its colour."""
    return Text(word or "", STYLES.get(word or "", "dim"))


def transition(before: str | None, after: str | None) -> Text:
    """The state before and the state after, or the state alone if it stayed."""
    if before == after:
        return styled(after)
    return styled(before) + Text(" → " if before else "→ ") + styled(after)


def sender(envelope: dict[str, Any]) -> str:
    """Who sent the event."""
    event = envelope["event"]
    if envelope["direction"] == "inbound":
        return "customer"
    if event["type"] in SENDERS:
        return SENDERS[event["type"]]
    agent = event.get("agent") or {"id": event.get("agentId", "unnamed")}
    known = agent["id"] != "bot" and "name" in agent
    return str(agent["name"].split()[0] if known else agent["id"])


def describe(event: dict[str, Any]) -> str:
    """The text of the event, or its type and its detail."""
    if event["type"] in SPOKEN:
        image = " [image]" if "image" in event or "imageUrl" in event else ""
        return f"“{event['text']}”{image}"
    details = (event[name] for name in DETAILS if name in event)
    return f"{event['type']} {next(details, '')}".rstrip()


def delivery(line: bytes) -> Delivery:
    """A line as a broker would deliver it."""
    envelope = json.loads(line)
    return Delivery(
        Direction(envelope["direction"]),
        json.dumps(envelope["event"]).encode(),
        envelope["direction"],
        datetime.fromisoformat(envelope["receivedAt"]),
        message_id=envelope.get("messageId"),
        platform_id=envelope.get("platformId"),
    )


async def read(database: str, lines: Sequence[bytes]) -> list[Receipt]:
    """Let a worker read the lines, and stop when it has."""
    receipts: list[Receipt] = []
    async with AsyncChatEngine(database) as engine:

        def observe(results: Sequence[Result]) -> None:
            receipts.extend(receipt for _, receipt in results if isinstance(receipt, Receipt))
            if len(receipts) == len(lines):
                worker.stop()

        source = MemorySource(map(delivery, lines))
        worker = Worker(engine, source, Settings(linger=0.0), observe=observe)
        await worker.run()
    return receipts


def play(transcript: Transcript, engine: ChatEngine, database: str, lines: Sequence[bytes]) -> None:
    """Let the worker read the lines of a file, and print every event."""
    latest, outcome = "", ""
    quiet: Counter[str] = Counter()
    for line, receipt in zip(lines, asyncio.run(read(database, lines)), strict=True):
        envelope = json.loads(line)
        if receipt.rows and quiet:
            transcript.quiet(quiet, outcome)
            quiet.clear()
        deadlines = [row for row in receipt.rows if row.direction == "timer"]
        for row in deadlines:
            transcript.deadline(row, engine)
        if len(receipt.rows) > len(deadlines):
            transcript.event(envelope, receipt, crossed=envelope["receivedAt"] < latest)
        else:
            quiet[envelope["event"]["type"]] += 1
        latest, outcome = max(latest, envelope["receivedAt"]), receipt.outcome
    if quiet:
        transcript.quiet(quiet, outcome)


def endings(engine: ChatEngine, user: str) -> Iterator[str]:
    """Yield a sentence about the end of each chat of a user, in order."""
    for chat in reversed(list(engine.sessions(user=user))):
        yield f"Chat {chat.ordinal} {ending(chat)}; {chat.rows} rows of history."


def ending(chat: ChatSession) -> str:
    """How the chat ended, or the state that it is in."""
    resumed = "resumed the one before and " if chat.resumed else ""
    if chat.closed_at is None:
        return f"{resumed}is in {chat.state}"
    served = f", last served by {chat.agent.name}" if chat.agent else ""
    return f"{resumed}closed at {clock(chat.closed_at)} by {chat.close_reason}{served}"


def show(
    console: Console, engine: ChatEngine, database: str, scenario: Scenario, expected: Any
) -> None:
    """Show one scenario, from its title to the end of its chats."""
    lines = (FOLDER / scenario.name).read_bytes().splitlines()
    console.rule(Text(scenario.title, "bold"), align="left", style="dim")
    console.print(Text(scenario.story), width=min(console.width, WIDTH))
    console.print()
    transcript = Transcript(console)
    play(transcript, engine, database, lines)
    if expected["sweepUpTo"] is not None:
        up_to = datetime.fromisoformat(expected["sweepUpTo"])
        closed = engine.sweep(up_to)
        found = "closes what is" if closed else "finds nothing"
        console.print(Text(f"  {clock(up_to)}  the sweep {found} past its deadline", "dim"))
        for row in closed:
            transcript.deadline(row, engine)
    console.print()
    for sentence in endings(engine, json.loads(lines[0])["event"]["userId"]):
        console.print(Text(f"  {sentence}", "bold"), soft_wrap=True)
    console.print()


def outlook(console: Console) -> None:
    """Show the machine, and commands to try next."""
    console.rule(Text("The machine", "bold"), align="left", style="dim")
    console.print(Text("Mermaid text, as 'sermo-fsm diagram' prints it:"))
    console.print()
    console.print(Text(render(machine_drawing(), "mermaid")), soft_wrap=True)
    command, examples = (os.path.relpath(path) for path in (Path(sys.prefix) / "bin", FOLDER))
    console.rule(Text("Try it yourself", "bold"), align="left", style="dim")
    for line in (
        f"{command}/sermo-fsm ingest {examples}/*.jsonl",
        f"{command}/sermo-fsm sessions",
        f"{command}/sermo-fsm timeline comviq-web 3f0b7c52-6a1e-4d0f-9b8e-51c7a2d4e690",
        f"{command}/sermo-fsm diagram --traffic -o traffic.svg",
        f"{command}/sermo-fsm --help",
    ):
        console.print(Text(f"  {line}"), soft_wrap=True)


def main() -> None:
    """Play all scenarios into one temporary database."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    terminal = sys.stdout.isatty()
    width = None if terminal else WIDTH
    console = Console(width=width, force_terminal=terminal, highlight=False)
    expected = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
    with (
        tempfile.TemporaryDirectory() as folder,
        ChatEngine(f"sqlite:///{folder}/demo.db") as engine,
    ):
        engine.migrate()
        console.print(Text("Time, who, what, where the chat is, what became of the event."))
        console.print(
            Text("* was received before what stands above it, on the other queue.", "dim")
        )
        console.print()
        for scenario in SCENARIOS:
            known = expected[scenario.name]
            show(console, engine, f"sqlite+aiosqlite:///{folder}/demo.db", scenario, known)
    outlook(console)


if __name__ == "__main__":
    main()
