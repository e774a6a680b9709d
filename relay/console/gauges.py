"""States as Prometheus gauges, read from the relay's state when somebody asks."""

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

from relay.operator.state import Account, RelayState

_DAY = 86400


def read_gauges(state: RelayState) -> CollectorRegistry:
    """A registry with the queue and the grants as they are now."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Gauges(state))
    return registry


class _Gauges(Collector):
    def __init__(self, state: RelayState) -> None:
        self._state = state

    def collect(self) -> Iterable[GaugeMetricFamily]:
        state, waiting = self._state, self._state.queue
        if waiting is not None:
            queue = GaugeMetricFamily(
                "relay_queue_messages", "Messages in the spool, by state", labels=["state"]
            )
            for name, count in waiting.states.items():
                queue.add_metric([name.value], count)
            yield queue
            age = 0.0 if waiting.oldest is None else max(0.0, state.now - waiting.oldest)
            yield GaugeMetricFamily(
                "relay_queue_oldest_seconds", "Age of the oldest message that still waits", value=age
            )
        yield from self._accounts(account for account in state.accounts if account.address)

    def _accounts(self, accounts: Iterable[Account]) -> Iterable[GaugeMetricFamily]:
        held = GaugeMetricFamily(
            "relay_account_held", "1 when an account's mail waits for a person", labels=["account"]
        )
        left = GaugeMetricFamily(
            "relay_grant_days_left",
            "Days until an account must consent again; 0 without a grant",
            labels=["account"],
        )
        for account in accounts:
            held.add_metric([account.name], 1 if account.hold and account.hold.person else 0)
            dies = account.grant.dies_at
            left.add_metric([account.name], 0 if dies is None else max(0.0, dies - self._state.now) / _DAY)
        yield held
        yield left
