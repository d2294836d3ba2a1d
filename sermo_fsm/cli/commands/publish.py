"""``sermo-fsm publish``: put events on the exchanges of a broker."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click

from sermo_fsm.cli.broker import (
    broker_errors,
    broker_option,
    by_direction,
    key_header_option,
    only_rabbitmq,
)
from sermo_fsm.cli.json_output import print_json
from sermo_fsm.cli.options import json_option
from sermo_fsm.cli.shell import USAGE, Failure, Shell
from sermo_fsm.cli.text import pluralized
from sermo_fsm.protocol.envelope import Envelope, arrive_line
from sermo_fsm.protocol.events import QUEUES, Direction
from sermo_fsm.protocol.json_reader import Limits, is_envelope
from sermo_fsm.protocol.message import Message, Rejected

if TYPE_CHECKING:
    from sermo_fsm.worker.publisher import Target

__all__ = ["publish"]

_QUEUES: Final = [queue.value for queue in QUEUES]
_USUAL: Final = "inbound=inbound,outbound=outbound,internal=internal"


@click.command(
    epilog="""
    The lines are those of ingest. An event without a messageId gets one; its routing key is its
    userId. A receivedAt goes into the header timestamp_in_ms, where a broker would say it.

    \b
    Examples
      sermo-fsm publish events.jsonl --broker amqp://localhost
      sermo-fsm publish events.jsonl --queues inbound=chat.in,outbound=chat.out
      sermo-fsm publish --dead-letters sermo.dead
    """
)
@click.argument("file", type=click.File("rb"), required=False)
@broker_option
@click.option(
    "--exchanges",
    metavar="NAMES",
    type=by_direction,
    default=_USUAL,
    show_default=True,
    help="The exchange of each direction.",
)
@click.option(
    "--queues",
    metavar="NAMES",
    type=by_direction,
    help="Put events straight into these queues, in the same notation.",
)
@click.option("--direction", type=click.Choice(_QUEUES), help="Direction of bare events.")
@key_header_option
@click.option(
    "--dead-letters",
    metavar="QUEUE",
    help="Drive the messages of this queue again, to where they came from; then no FILE is read.",
)
@json_option
@click.pass_obj
def publish(
    shell: Shell,
    /,
    *,
    file: BinaryIO | None,
    broker: str,
    direction: str | None,
    dead_letters: str | None,
    as_json: bool,
    **names: Any,
) -> None:
    """Put events on the exchanges of a broker.

    For demonstrations and tests, and to drive dead letters again. FILE has an event to a line; - is
    standard input. It returns when the broker has confirmed all of them.
    """
    if (file is None) is (dead_letters is None):
        raise click.UsageError("give either a FILE or --dead-letters")
    only_rabbitmq(broker)
    with broker_errors():
        from sermo_fsm.worker import publisher

        if dead_letters is not None:
            count = asyncio.run(publisher.drive_again(broker, dead_letters))
        else:
            envelopes = _envelopes(file or (), direction)
            asyncio.run(publisher.publish(_target(broker, **names), envelopes))
            count = len(envelopes)
    if as_json:
        print_json({"published": count})
    else:
        shell.printer.print_line(f"{pluralized(count, 'message')} published")


def _target(
    broker: str,
    *,
    exchanges: Mapping[Direction, str],
    queues: Mapping[Direction, str] | None,
    key_header: str | None,
) -> "Target":
    from sermo_fsm.worker.publisher import Target

    return Target(broker, queues or exchanges, queues is not None, key_header)


def _envelopes(lines: BinaryIO | tuple[bytes, ...], direction: str | None) -> list[Envelope]:
    queue = None if direction is None else Direction(direction)
    envelopes = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            # Whoever reads it may have a default for the platform.
            read = arrive_line(
                line, Limits(), datetime.now(UTC), direction=queue, platform_id="a default"
            )
            if isinstance(read, Rejected):
                raise Failure(f"line {number}: {read.error}; nothing is published", USAGE)
            envelopes.append(_envelope(json.loads(line), read))
    return envelopes


def _envelope(line: dict[str, Any], read: Message) -> Envelope:
    """The event as it stands in the line, and what the line says around it."""
    around: dict[str, Any] = line if is_envelope(line) else {"event": line}
    return Envelope(
        read.direction,
        around["event"],
        message_id=read.message_id,
        received_at=read.received_at if around.get("receivedAt") else None,
        platform_id=around.get("platformId"),
    )
