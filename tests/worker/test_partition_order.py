"""Partitions take the disorder away: what two queues leave open, one queue decides.

The streams are those that ``make explore`` reads in every order. Read from two queues, some of them
end in several states, by the declared exceptions. In the order of one queue each ends in one, also
where any of its messages are delivered again before the next.
"""

import heapq
import json
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from operator import attrgetter

import pytest

from sermo_fsm import ChatEngine, Envelope
from tests.support import also_proved
from tools.explore.streams import Delivery, Stream, short_streams


class Reader:
    """The real engine; each reading is of a user of its own."""

    def __init__(self, chats: ChatEngine) -> None:
        self.chats = chats
        self.readings = 0

    def end(self, deliveries: Iterable[Delivery]) -> str | None:
        """The state in which the user's current chat ends."""
        self.readings += 1
        user = f"u-{self.readings}"
        self.chats.handle_many(
            Envelope(
                one.direction,
                {**json.loads(one.envelope)["event"], "userId": user},
                message_id=f"{user}-{one.message_id}",
                received_at=one.received_at,
            )
            for one in deliveries
        )
        chat = self.chats.status("web", user)
        return None if chat is None else str(chat.state)


def again(messages: Sequence[Delivery]) -> Iterable[Sequence[Delivery]]:
    """The messages of one queue, where its last ones are delivered again at some place."""
    for read in range(1, len(messages) + 1):
        for settled in range(read):
            yield [*messages[:read], *messages[settled:]]


def in_order(stream: Stream) -> list[Delivery]:
    return list(heapq.merge(*stream.queues, key=attrgetter("received_at")))


@pytest.mark.parametrize("every", [101, *also_proved(31)])
def test_in_the_order_of_one_queue_a_stream_has_one_end_also_where_it_is_read_again(
    every: int,
) -> None:
    undecided = 0
    with ChatEngine("sqlite://") as chats:
        chats.migrate()
        reader = Reader(chats)
        for stream in islice(short_streams(), 0, None, every):
            wanted = reader.end(in_order(stream))
            others = {reader.end(chain(*stream.queues)), reader.end(chain(*stream.queues[::-1]))}
            undecided += others != {wanted}
            for readings in again(in_order(stream)):
                assert reader.end(readings) == wanted, stream
    assert undecided
    print(f"{undecided} undecided, {reader.readings} readings")  # noqa: T201 - for the docs
