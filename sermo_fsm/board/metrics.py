"""What the board knows, as Prometheus reads it."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from attrs import asdict, frozen
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sermo_fsm.board.poller import Poller, Sight
from sermo_fsm.core.machine import State
from sermo_fsm.views.overview import Overview

__all__ = ["exposed"]

_PREFIX: Final = "sermo_board_"


def exposed(sight: Sight, poller: Poller) -> bytes:
    """Every metric as it stands now."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Metrics(sight, poller))
    return generate_latest(registry)


@frozen(eq=False)
class _Metrics(Collector):
    sight: Sight
    poller: Poller

    def collect(self) -> Iterable[Metric]:
        """What is known of the chats, and of the board itself."""
        poller, overview = self.poller, self.sight.overview
        yield _one("up", "1 while the database answers", 0.0 if self.sight.stale else 1.0)
        yield _one("viewers", "Browsers that watch a page", poller.viewers)
        for name, words, total in (
            ("polls", "Looks at the database", float(poller.polls)),
            ("poll_failures", "Looks that failed", float(poller.failures)),
            ("poll_seconds", "Seconds that all looks took", poller.seconds),
        ):
            yield CounterMetricFamily(_PREFIX + name, words, value=total)
        if overview is not None:
            yield from _of_the_chats(overview)


def _of_the_chats(overview: Overview) -> Iterator[Metric]:
    at = overview.at
    yield _one("as_of_seconds", "The moment that all of this is about", at.timestamp())
    if overview.lag is not None:
        words = "Age of the newest event of a live chat, while one is live"
        yield _one("lag_seconds", words, overview.lag.total_seconds())
    chats = _family("chats", "Live chats", "platform", "state")
    gauges = {
        name: _family(name, words, "platform")
        for name, words in (
            ("longest_wait_seconds", "How long the longest has waited in the queue"),
            ("waits_over_target", "Customers who have waited longer than the target"),
            ("unanswered", "Chats in which the customer waits for an answer of the bot"),
            ("overdue", "Chats past their deadline that are not swept"),
        )
    }
    for platform, now in overview.platforms.items():
        for state in State:
            if state is not State.CLOSED:
                chats.add_metric([platform, state], now.states.get(state, 0))
        since = now.waiting_since
        wait = 0.0 if since is None else (at - since).total_seconds()
        values = (wait, now.over_target, now.unanswered, now.overdue)
        for gauge, value in zip(gauges.values(), values, strict=True):
            gauge.add_metric([platform], value)
    yield from (chats, *gauges.values())
    if overview.hour is not None:
        hour = _family("last_hour", "What happened in the hour before", "platform", "what")
        for name, counts in overview.hour.platforms.items():
            for what, count in asdict(counts).items():
                hour.add_metric([name or "", what], count)
        yield hour


def _one(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(_PREFIX + name, words, value=value)


def _family(name: str, words: str, *labels: Any) -> GaugeMetricFamily:
    return GaugeMetricFamily(_PREFIX + name, words, labels=labels)
