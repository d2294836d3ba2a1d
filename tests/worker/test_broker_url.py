"""A URL that can be no broker's is refused: nobody waits for it, and no traceback tells of it."""

import pytest

from tests.command.test_cli_support import sermo

KAFKA = "kafka://one:9092,two:9092"
READING = ("--queues", "inbound=in,outbound=out")
ONLY_RABBITMQ = "this is for RabbitMQ alone"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        *(
            (("worker", "--broker", url, *READING), "wanted a URL that begins with amqp://")
            for url in ("http://host", "localhost:5672", "rabbit", "")
        ),
        (("worker", "--broker", "amqp://me:secret@host:port/", *READING), "wanted a URL such as"),
        (("publish", "-", "--broker", "amqp:/host"), "wanted a URL that begins with amqp://"),
        (("publish", "-", "--broker", KAFKA), ONLY_RABBITMQ),
        (("publish", "--dead-letters", "dead", "--broker", KAFKA), ONLY_RABBITMQ),
        (("worker", "--broker", KAFKA, "topology", "--partitions", "2", "--apply"), ONLY_RABBITMQ),
    ],
)
def test_a_url_of_no_broker_that_is_known_is_refused(
    arguments: tuple[str, ...], words: str
) -> None:
    done = sermo(*arguments)
    assert done.exit_code == 2
    assert words in done.output
    assert "secret" not in done.output
