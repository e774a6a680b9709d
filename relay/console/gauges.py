"""States as Prometheus gauges, read from an Overview when somebody asks."""

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

from relay.console.status import AccountStatus, Overview

_DAY = 86400


def read_gauges(overview: Overview) -> CollectorRegistry:
    """A registry with the queue and the grants as they are now."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Gauges(overview))
    return registry


class _Gauges(Collector):
    def __init__(self, overview: Overview) -> None:
        self._overview = overview

    def collect(self) -> Iterable[GaugeMetricFamily]:
        overview = self._overview
        queue = GaugeMetricFamily("relay_queue_messages", "Messages in the spool, by state", labels=["state"])
        for state, count in overview.queue.items():
            queue.add_metric([state], count)
        yield queue
        age = 0.0 if overview.oldest is None else max(0.0, overview.now - overview.oldest)
        yield GaugeMetricFamily(
            "relay_queue_oldest_seconds", "Age of the oldest message that still waits", value=age
        )
        yield from self._accounts(overview.accounts)

    def _accounts(self, accounts: tuple[AccountStatus, ...]) -> Iterable[GaugeMetricFamily]:
        held = GaugeMetricFamily(
            "relay_account_held", "1 when an account's mail waits for a person", labels=["account"]
        )
        left = GaugeMetricFamily(
            "relay_grant_days_left",
            "Days until an account must consent again; 0 without a grant",
            labels=["account"],
        )
        for account in accounts:
            held.add_metric([account.name], 1 if account.held else 0)
            if account.granted is None:
                left.add_metric([account.name], 0)
            elif account.expires is not None:
                left.add_metric([account.name], max(0.0, account.expires - self._overview.now) / _DAY)
        yield held
        yield left
