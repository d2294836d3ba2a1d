"""HTTP on the loopback interface: whether it is alive and ready, and what it has counted."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from threading import Thread
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, make_server

from attrs import frozen
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import Collector

from sermo_fsm.worker.tally import Tally

__all__ = ["Metrics", "monitored"]

_PREFIX: Final = "sermo_worker_"
_STUCK_AFTER: Final = 120.0
"""Seconds without a round of the loop; longer than any single try of the engine takes."""


@frozen(eq=False)
class Metrics(Collector):
    """The counts as Prometheus reads them.

    Attributes:
        tally: The counts.
        now: The time, for the lag.
    """

    tally: Tally
    now: Callable[[], datetime]

    def collect(self) -> Iterable[Metric]:
        """Every metric as it stands now."""
        tally = self.tally
        yield _counter("events", "Messages written, by outcome", "outcome", tally.outcomes)
        yield _counter("clocks", "Messages read, by who stamped them", "clock", tally.clocks)
        for name, words, value in (
            ("without_id", "Messages read that had no message id", tally.without_id),
            ("dead_letters", "Messages that went to the dead letters", tally.dead_letters),
            ("swept", "Chats closed at their deadline by the sweeper", tally.swept),
            ("sweeps", "Sweeps", tally.sweeps),
            ("retries", "Batches tried again because of the database", tally.retries),
            ("reconnects", "Times that the broker was lost", tally.reconnects),
        ):
            yield CounterMetricFamily(_PREFIX + name, words, value=value)
        for name, words, total in (
            ("batch_messages", "Messages in a batch", float(tally.read)),
            ("batch_seconds", "Seconds that a batch took to write", tally.batch_seconds),
        ):
            yield SummaryMetricFamily(_PREFIX + name, words, tally.batches, total)
        now = self.now()
        lags = {queue: (now - at).total_seconds() for queue, at in list(tally.read_up_to.items())}
        yield _gauge("lag_seconds", "How far reading is behind, by receive time", lags)
        yield _gauge("unread_messages", "Messages that wait in the queue", tally.unread)
        if tally.swept_to is not None:
            words = "The time to which chats have been judged"
            yield GaugeMetricFamily(
                f"{_PREFIX}swept_to_seconds", words, value=tally.swept_to.timestamp()
            )
        ready = float(tally.reading and tally.storing)
        yield GaugeMetricFamily(f"{_PREFIX}ready", "1 while it reads and the database takes", ready)


def _counter(name: str, words: str, label: str, values: dict[Any, int]) -> Metric:
    metric = CounterMetricFamily(_PREFIX + name, words, labels=[label])
    for key, value in list(values.items()):
        metric.add_metric([str(key)], value)
    return metric


def _gauge(name: str, words: str, values: dict[str, Any]) -> Metric:
    metric = GaugeMetricFamily(_PREFIX + name, words, labels=["queue"])
    for queue, value in list(values.items()):
        metric.add_metric([queue], value)
    return metric


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing of requests."""


@contextmanager
def monitored(port: int, tally: Tally, now: Callable[[], datetime]) -> Iterator[int]:
    """Answer requests on this port of 127.0.0.1 while the block runs; gives the port.

    ``/healthz`` is 200 while the loop comes round, ``/readyz`` while messages are read and the
    database takes them, ``/metrics`` is for Prometheus.

    Raises:
        OSError: The port is in use.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Metrics(tally, now))
    metrics: Any = make_wsgi_app(registry)

    def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        checks = {
            "/healthz": lambda: time.monotonic() - tally.alive_at < _STUCK_AFTER,
            "/readyz": lambda: tally.reading and tally.storing,
        }
        path = environ["PATH_INFO"]
        if path == "/metrics":
            shown: Iterable[bytes] = metrics(environ, start)
            return shown
        status = "404 Not Found"
        if path in checks:
            status = "200 OK" if checks[path]() else "503 Service Unavailable"
        start(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{status}\n".encode()]

    classes = ThreadingWSGIServer, _Quiet  # so that who asks and goes to sleep is alone
    with make_server("127.0.0.1", port, answer, *classes) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
