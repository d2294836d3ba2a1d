"""``sermo-fsm worker``: read the queues of a broker, and keep the database true."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve

from sermo_fsm.cli.broker import (
    broker_errors,
    broker_option,
    by_direction,
    is_kafka,
    key_header_option,
    only_rabbitmq,
)
from sermo_fsm.cli.json_output import print_json
from sermo_fsm.cli.options import (
    database_option,
    length,
    platform_option,
    policy_option,
    redact_option,
)
from sermo_fsm.cli.shell import Shell
from sermo_fsm.cli.text import pluralized
from sermo_fsm.core.policy import Policy
from sermo_fsm.protocol.events import Direction

if TYPE_CHECKING:
    from sermo_fsm.worker.loop import Worker
    from sermo_fsm.worker.rabbitmq import Reading

__all__ = ["effective_policy", "worker"]

_USUAL = "inbound=inbound,outbound=outbound,internal=internal"
_MAX_AHEAD = 60.0
_SECONDS = click.FloatRange(0, min_open=True)

_exchanges_option = click.option(
    "--exchanges",
    metavar="NAMES",
    type=by_direction,
    default=_USUAL,
    show_default=True,
    help="The exchange of each direction, for --partitions.",
)
_name_option = click.option(
    "--name",
    default="sermo",
    show_default=True,
    help="What the names of the partitions begin with.",
)


@click.group(
    invoke_without_command=True,
    epilog="""
    \b
    Examples
      sermo-fsm worker --queues inbound=chat.in,outbound=chat.out
      sermo-fsm worker --partitions 4 --first 0
      sermo-fsm worker topology --partitions 4 --apply

    SIGTERM lets it finish its batch; a second one ends it at once. Either is harmless, and so is
    kill -9: what was not acknowledged comes again, and counts once where it has a message id.
    """,
)
@broker_option
@click.option(
    "--queues",
    metavar="NAMES",
    type=by_direction,
    help="The queue, or topic, of each direction: inbound=NAME,outbound=NAME[,internal=NAME].",
)
@click.option(
    "--partitions",
    metavar="N",
    type=click.IntRange(1, 1000),
    help="Read the N queues that 'worker topology' makes.",
)
@click.option(
    "--first",
    metavar="I",
    type=click.IntRange(0),
    help="The partition to read at once, from 0; the others some seconds later.",
)
@_exchanges_option
@_name_option
@key_header_option
@click.option(
    "--dead-letters",
    metavar="QUEUE",
    help="Queue for what can't be written; by default NAME.dead. Made if it is not there.",
)
@click.option("--time-header", metavar="NAME", help="Header that holds a receive time.")
@click.option(
    "--max-ahead",
    metavar="SECONDS",
    type=_SECONDS,
    help="A receive time further ahead of this machine's clock is invalid; by default as the "
    "policy file says, and 60 without one.",
)
@platform_option
@policy_option("How long a silent customer counts as present, and what is kept (TOML).")
@redact_option
@click.option(
    "--batch",
    type=click.IntRange(1, 10_000),
    default=500,
    show_default=True,
    help="At most so many messages in one transaction.",
)
@click.option(
    "--linger",
    metavar="MS",
    type=click.FloatRange(0),
    default=20.0,
    show_default=True,
    help="Milliseconds to wait for more messages after the first one of a batch.",
)
@click.option(
    "--sweep-every",
    metavar="SECONDS",
    type=_SECONDS,
    default=5.0,
    show_default=True,
    help="How often chats past their deadline are closed.",
)
@click.option(
    "--margin",
    metavar="SECONDS",
    type=click.FloatRange(0),
    default=5.0,
    show_default=True,
    help="How much earlier than what has been read chats are judged.",
)
@click.option(
    "--retain-every",
    metavar="AGE",
    type=length,
    help="How often what is older than the policy file keeps it is erased, such as 1h; by default "
    "never.",
)
@click.option("--drain", is_flag=True, help="Stop when everything is read and swept.")
@click.option(
    "--http",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    help="Answer /healthz, /readyz and /metrics on this port of 127.0.0.1.",
)
@click.option(
    "--log",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to write what happens to standard error.",
)
@database_option
@click.pass_context
def worker(ctx: click.Context, /, **options: Any) -> None:
    """Read the queues of a broker, and keep the database true.

    Events are written in batches and acknowledged after the commit. While the database is away
    nothing more is read. Chats whose customers are gone are closed, but only up to the time to
    which the queues have been read.
    """
    if ctx.invoked_subcommand is not None:
        return
    with broker_errors(options["broker"]):
        _work(ctx.ensure_object(Shell), **options)


def _work(  # noqa: PLR0913 - one for each option
    shell: Shell,
    *,
    broker: str,
    platform: str | None,
    policy: Policy | None,
    redact: Callable[[str], str] | None,
    max_ahead: float | None,
    http: int | None,
    log: str,
    **options: Any,
) -> None:
    from sermo_fsm.engine.aio import AsyncChatEngine
    from sermo_fsm.storage.database_url import for_asyncio
    from sermo_fsm.worker import monitor, service
    from sermo_fsm.worker.logs import logging_to
    from sermo_fsm.worker.loop import Settings, Worker

    retain_every: timedelta | None = options.pop("retain_every")
    if retain_every is not None and not (policy and policy.forgets):
        raise click.UsageError("--retain-every: say how long what is kept, by [retain] in --policy")
    settings = Settings(
        batch=options.pop("batch"),
        linger=options.pop("linger") / 1000,
        sweep_every=options.pop("sweep_every"),
        margin=timedelta(seconds=options.pop("margin")),
        drain=options.pop("drain"),
        retain_every=None if retain_every is None else retain_every.total_seconds(),
    )
    source, check = _source(broker, prefetch=2 * settings.batch, **options)
    engine = AsyncChatEngine(
        for_asyncio(shell.database),
        policy=effective_policy(policy, max_ahead),
        platform_id=platform,
        schema=shell.schema,
        redact=redact,
        **shell.hooks(),
    )

    def make(stack: ExitStack) -> "Worker":
        made = Worker(engine, source, settings, observe=check)
        source.now = made.clock.now
        if http is not None:
            stack.enter_context(monitor.monitored(http, made.tally, made.clock.now))
        return made

    with logging_to(sys.stderr, as_json=log == "json"):
        done = asyncio.run(service.serve(engine, make))
    shell.printer.print_line(f"{pluralized(done.tally.written, 'message')} written")


def effective_policy(given: Policy | None, max_ahead: float | None) -> Policy:
    """The policy, which may say by itself which receive times are believed."""
    if given is not None and max_ahead is None:
        return given
    return evolve(given or Policy(), max_ahead=timedelta(seconds=max_ahead or _MAX_AHEAD))


def _source(
    broker: str,
    *,
    queues: Mapping[Direction, str] | None,
    partitions: int | None,
    name: str,
    dead_letters: str | None,
    time_header: str | None,
    **options: Any,
) -> tuple[Any, Any]:
    """What to read, and what looks at each batch."""
    dead = dead_letters or f"{name}.dead"
    if (queues is None) is (partitions is None):
        raise click.UsageError("give either --queues or --partitions")
    given = {queue: direction for direction, queue in (queues or {}).items()}
    if is_kafka(broker):
        from sermo_fsm.worker.kafka import KafkaSource

        if partitions is not None:
            raise click.UsageError("Kafka has its own partitions: give --queues, with its topics")
        return KafkaSource(broker, given, dead, time_header), _look_at_nothing
    from sermo_fsm.worker.rabbitmq import RabbitSource, Reading

    common = {
        "dead_letters": dead,
        "time_header": time_header,
        "prefetch": options.pop("prefetch"),
    }
    if partitions is None:
        return RabbitSource(broker, Reading(given, **common)), _look_at_nothing
    what, check = _partitions(partitions, name, common, **options)
    return RabbitSource(broker, what), check


def _look_at_nothing(_: object) -> None:
    """Users may be in any queue."""


def _partitions(
    count: int,
    name: str,
    common: dict[str, Any],
    *,
    first: int | None,
    exchanges: Mapping[Direction, str],
    key_header: str | None,
) -> "tuple[Reading, Any]":
    """How partitions are read, and what sees to it that all of a user is in one."""
    from sermo_fsm.worker.decisions import Routing
    from sermo_fsm.worker.topology import Topology

    if first is not None and first >= count:
        raise click.UsageError(f"--first: there are only the partitions 0 to {count - 1}")
    return Topology(count, exchanges, name, key_header).reading(first, **common), Routing().check


@worker.command(
    epilog="""
    \b
    Examples
      sermo-fsm worker topology --partitions 4 > definitions.json
      sermo-fsm worker --broker amqp://admin@host topology --partitions 4 --apply
    """
)
@click.option("--partitions", metavar="N", type=click.IntRange(1, 1000), required=True)
@_exchanges_option
@_name_option
@key_header_option
@click.option(
    "--rabbitmq",
    "version",
    metavar="MAJOR",
    type=click.IntRange(3),
    default=4,
    show_default=True,
    help="The version of the broker that it is printed for.",
)
@click.option("--vhost", default="/", show_default=True, help="Virtual host that is printed.")
@click.option("--apply", "applied", is_flag=True, help="Make it, instead of printing it.")
@click.pass_context
def topology(
    ctx: click.Context,
    /,
    *,
    partitions: int,
    exchanges: Mapping[Direction, str],
    name: str,
    key_header: str | None,
    applied: bool,
    **printed: Any,
) -> None:
    """Print the exchanges, queues and bindings of partitions.

    They are printed as RabbitMQ's definitions, for rabbitmqctl import_definitions. The broker needs
    the plugin rabbitmq_sharding, or for a header rabbitmq_consistent_hash_exchange. Publishers have
    to set the same routing key, or the header, for all messages of a user.
    """
    with broker_errors():
        from sermo_fsm.worker.topology import Topology, apply

        wanted = Topology(partitions, exchanges, name, key_header)
        if not applied:
            print_json(wanted.definitions(**printed))
            return
        broker: str = ctx.parent.params["broker"] if ctx.parent else ""
        only_rabbitmq(broker)
        asyncio.run(apply(broker, wanted))
    shell = ctx.ensure_object(Shell)
    shell.printer.print_line(f"{pluralized(partitions, 'partition')} of {name}: ready")
