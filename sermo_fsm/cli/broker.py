"""What the commands about a broker share: options, and what its errors become."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Final
from urllib.parse import urlsplit

import click

from sermo_fsm.cli.shell import USAGE, Failure
from sermo_fsm.protocol.events import QUEUES, Direction

__all__ = [
    "UNREACHABLE",
    "broker_errors",
    "broker_option",
    "by_direction",
    "is_kafka",
    "key_header_option",
]

UNREACHABLE: Final = 5
"""The broker can't be reached, or refused; what was not confirmed may not have been published."""


_SCHEMES: Final = ("amqp://", "amqps://", "kafka://")


def _broker_url(value: str) -> str:
    """The URL of a broker of a kind that is known: any other would be waited for in vain."""
    if not value.startswith(_SCHEMES):
        raise click.BadParameter(f"wanted a URL that begins with {' or '.join(_SCHEMES)}")
    if not is_kafka(value):
        try:
            _ = urlsplit(value).port
        except ValueError:
            raise click.BadParameter("wanted a URL such as amqp://user:password@host/") from None
    return value


broker_option = click.option(
    "--broker",
    metavar="URL",
    type=_broker_url,
    envvar="SERMO_BROKER",
    show_envvar=True,
    default="amqp://guest:guest@127.0.0.1/",
    help="Broker, such as amqp://user:password@host/vhost, or kafka://host:9092 for the worker; by "
    "default the RabbitMQ of this machine.",
)
key_header_option = click.option(
    "--partition-header",
    "key_header",
    metavar="NAME",
    help="Header that says whom a message is about, for --partitions; by default the routing key.",
)


def by_direction(value: str) -> Mapping[Direction, str]:
    """A list such as ``inbound=NAME,outbound=NAME``."""
    names: dict[Direction, str] = {}
    for part in value.split(","):
        direction, _, name = part.partition("=")
        if direction not in QUEUES or not name or Direction(direction) in names:
            raise click.BadParameter("wanted inbound=NAME,outbound=NAME[,internal=NAME]")
        names[Direction(direction)] = name
    if len(set(names.values())) < len(names):
        raise click.BadParameter("wanted another name for each direction")
    return names


def is_kafka(broker: str) -> bool:
    """Whether a broker's URL is that of a Kafka."""
    return broker.startswith("kafka:")


def only_rabbitmq(broker: str) -> None:
    """Refuse a Kafka where only RabbitMQ will do."""
    if is_kafka(broker):
        raise click.UsageError("this is for RabbitMQ alone: --broker wants amqp:// or amqps://")


@contextmanager
def broker_errors(broker: str = "") -> Iterator[None]:
    """End the command with a message and a status where the broker does not let us work."""
    module, extra = ("kafka", "kafka") if is_kafka(broker) else ("rabbitmq", "worker")
    try:
        import_module(f"sermo_fsm.worker.{module}")  # to see whether its client is there
        from sermo_fsm.worker.source import SourceLost, SourceRefused
    except ImportError as error:
        message = f"it needs: pip install 'sermo-fsm[{extra}]' ({error})"
        raise Failure(message, USAGE) from error
    try:
        yield
    except SourceRefused as error:
        raise Failure(str(error), USAGE) from error
    except SourceLost as error:
        raise Failure(f"{error}; is it the right broker? See --broker", UNREACHABLE) from error
