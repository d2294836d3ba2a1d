"""Partitions: which queues, exchanges and bindings let a broker keep each user's order.

The exchanges are bound to one exchange that hashes, and that to a number of queues with a single
active consumer. All messages of a user come to one queue, whichever exchange they were put on, in
one order; each still says which exchange that was.

The exchange takes the hash modulo the number of queues, in the order of their names. RabbitMQ's
consistent-hash exchange would not do: a node that starts again binds the queues in another order,
and its users change their queues. It is used only for the hash of a header, which the other lacks.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from sermo_fsm.protocol.events import Direction
from sermo_fsm.worker.rabbitmq import Reading
from sermo_fsm.worker.rabbitmq_client import connected, connection_to, is_there
from sermo_fsm.worker.source import SourceRefused

__all__ = ["Topology", "apply"]

_LONGEST: Final = 300.0
"""Seconds in which a broker makes all of it, or does not answer."""
_UNLIMITED_SINCE: Final = 4  # before, quorum queues have no limit of deliveries unless told


@frozen
class Topology:
    """Partitions of one name.

    Attributes:
        partitions: How many queues there are.
        exchanges: The exchange of each direction; one that is not there is made, as a topic.
        name: What the names of queues and of our own exchanges begin with.
        key_header: The header that says whom a message is about; None for the routing key.
    """

    partitions: int
    exchanges: Mapping[Direction, str]
    name: str = "sermo"
    key_header: str | None = None

    @property
    def queues(self) -> list[str]:
        """The partitions."""
        return [f"{self.name}.{number}" for number in range(self.partitions)]

    @property
    def hash_exchange(self) -> str:
        """The exchange that spreads the users over the partitions."""
        return f"{self.name}.users"

    @property
    def positions(self) -> str:
        """The exchange by which workers tell each other how far they have read."""
        return f"{self.name}.positions"

    def reading(self, first: int | None, **options: Any) -> Reading:
        """How a worker reads the partitions: the one numbered *first* at once."""
        queues = self.queues
        return Reading(
            dict.fromkeys(queues),
            {exchange: direction for direction, exchange in self.exchanges.items()},
            exclusive=False,
            key_header=self.key_header,
            positions=self.positions,
            first=None if first is None else queues[first],
            **options,
        )

    def definitions(self, *, vhost: str = "/", version: int = _UNLIMITED_SINCE) -> dict[str, Any]:
        """What RabbitMQ imports, for a broker of this major version."""
        kind, header = "x-modulus-hash", {}
        if self.key_header is not None:
            kind, header = "x-consistent-hash", {"hash-header": self.key_header}
        limit = {"x-delivery-limit": -1} if version >= _UNLIMITED_SINCE else {}
        arguments = {"x-queue-type": "quorum", "x-single-active-consumer": True, **limit}
        exchanges = [
            *((name, "topic", {}) for name in self.exchanges.values()),
            (self.hash_exchange, kind, header),
            (self.positions, "fanout", {}),
        ]
        everything: dict[str, str] = {"vhost": vhost}
        return {
            "exchanges": [
                {"name": name, **everything, "type": one, **_LASTING, "arguments": given}
                for name, one, given in exchanges
            ],
            "queues": [
                {"name": name, **everything, **_LASTING, "arguments": arguments}
                for name in self.queues
            ],
            "bindings": [
                *(
                    _binding(name, self.hash_exchange, "exchange", "#", vhost)
                    for name in self.exchanges.values()
                ),
                # The key is the weight where the exchange is a consistent-hash one.
                *(_binding(self.hash_exchange, name, "queue", "1", vhost) for name in self.queues),
            ],
        }


_LASTING: Final = {"durable": True, "auto_delete": False}


def _binding(source: str, to: str, kind: str, key: str, vhost: str) -> dict[str, Any]:
    ends = {"source": source, "vhost": vhost, "destination": to, "destination_type": kind}
    return {**ends, "routing_key": key, "arguments": {}}


async def apply(url: str, topology: Topology) -> None:
    """Make what is missing.

    Raises:
        SourceLost: The broker can't be reached, or refuses.
        SourceRefused: There are more partitions already.
    """
    with connected("the topology can't be made"):
        async with connection_to(url) as connection, asyncio.timeout(_LONGEST):
            following = f"{topology.name}.{topology.partitions}"
            channel = await connection.channel()
            if await is_there(connection, following):
                raise SourceRefused(
                    f"there is a queue {following!r} already: fewer partitions would leave users "
                    "in it; let it be read to its end, unbind and delete it first"
                )
            version = int(str(_properties(connection).get("version", "0")).split(".")[0])
            wanted = topology.definitions(version=version)
            for one in wanted["exchanges"]:
                if not await is_there(connection, one["name"], exchange=True):
                    await channel.declare_exchange(
                        one["name"], one["type"], durable=True, arguments=one["arguments"]
                    )
            for one in wanted["queues"]:
                await channel.declare_queue(one["name"], durable=True, arguments=one["arguments"])
            for one in wanted["bindings"]:
                get = channel.get_queue if one["destination_type"] == "queue" else None
                to: Any = await (get or channel.get_exchange)(one["destination"], ensure=False)
                await to.bind(one["source"], routing_key=one["routing_key"])


def _properties(connection: Any) -> Mapping[str, Any]:
    """What the broker says about itself."""
    found: Mapping[str, Any] = connection.transport.connection.server_properties
    return found
