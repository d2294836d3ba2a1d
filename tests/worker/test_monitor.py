"""What is seen of the worker from outside: HTTP on loopback, and its log."""

import io
import json
import logging
import time
from datetime import datetime
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sermo_fsm import Outcome
from sermo_fsm.worker.logs import logging_to
from sermo_fsm.worker.monitor import monitored
from sermo_fsm.worker.source import Clock
from sermo_fsm.worker.tally import Tally
from tests.support import at

LOG = logging.getLogger("sermo_fsm.worker")


def now() -> datetime:
    return at(100)


def asked(port: int, path: str) -> tuple[int, str]:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_it_is_alive_while_the_loop_comes_round_and_ready_while_both_sides_are_there() -> None:
    tally = Tally(alive_at=time.monotonic())
    with monitored(0, tally, now) as port:
        assert asked(port, "/healthz") == (200, "200 OK\n")
        assert asked(port, "/readyz")[0] == 503
        tally.reading = True
        assert asked(port, "/readyz")[0] == 503
        tally.storing = True
        assert asked(port, "/readyz")[0] == 200
        tally.alive_at = time.monotonic() - 10**6
        assert asked(port, "/healthz")[0] == 503
        assert asked(port, "/else")[0] == 404


def test_prometheus_reads_everything_that_is_counted() -> None:
    tally = Tally(without_id=1, dead_letters=2, batches=4, batch_seconds=0.5, swept=3, sweeps=5)
    tally.outcomes.update({Outcome.MOVED: 7, Outcome.STRAY: 1})
    tally.clocks.update({Clock.BROKER: 8})
    tally.retries, tally.reconnects = 9, 10
    tally.read_up_to["chat.in"] = at(40)
    tally.unread["chat.in"] = 12
    with monitored(0, tally, now) as port:
        before = asked(port, "/metrics")[1]
        tally.swept_to = at(30)
        tally.reading = tally.storing = True
        found = {
            (one.name, *one.labels.values()): one.value
            for family in text_string_to_metric_families(asked(port, "/metrics")[1])
            for one in family.samples
        }
    assert "swept_to_seconds" not in before
    assert found == {
        ("sermo_worker_events_total", "moved"): 7,
        ("sermo_worker_events_total", "stray"): 1,
        ("sermo_worker_clocks_total", "broker"): 8,
        ("sermo_worker_without_id_total",): 1,
        ("sermo_worker_dead_letters_total",): 2,
        ("sermo_worker_swept_total",): 3,
        ("sermo_worker_sweeps_total",): 5,
        ("sermo_worker_retries_total",): 9,
        ("sermo_worker_reconnects_total",): 10,
        ("sermo_worker_batch_messages_count",): 4,
        ("sermo_worker_batch_messages_sum",): 8,
        ("sermo_worker_batch_seconds_count",): 4,
        ("sermo_worker_batch_seconds_sum",): 0.5,
        ("sermo_worker_lag_seconds", "chat.in"): 60,
        ("sermo_worker_unread_messages", "chat.in"): 12,
        ("sermo_worker_swept_to_seconds",): at(30).timestamp(),
        ("sermo_worker_ready",): 1,
    }


def test_people_read_a_line_and_programs_an_object() -> None:
    text, lines = io.StringIO(), io.StringIO()
    for stream, as_json in ((text, False), (lines, True)):
        with logging_to(stream, as_json=as_json):
            LOG.warning("the broker is lost", extra={"reason": "no å\nnswer", "queues": ["a"]})
    assert text.getvalue()[23:] == (
        'Z WARNING the broker is lost reason="no å\\nnswer" queues=["a"]\n'
    )
    one = json.loads(lines.getvalue())
    assert datetime.fromisoformat(one.pop("time")).tzinfo is not None
    assert one == {
        "level": "warning",
        "message": "the broker is lost",
        "reason": "no å\nnswer",
        "queues": ["a"],
    }


def test_afterwards_the_log_is_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    stream = io.StringIO()
    before = (LOG.level, LOG.propagate, list(LOG.handlers))
    with logging_to(stream, as_json=False):
        LOG.info("reading")
    assert (LOG.level, LOG.propagate, list(LOG.handlers)) == before
    LOG.warning("nobody hears it there")
    assert "nobody" not in stream.getvalue()
    assert "nobody" in caplog.text
