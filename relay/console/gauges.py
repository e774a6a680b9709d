"""States as Prometheus gauges, read from the relay's state when somebody asks."""

import platform
from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

from relay.operator.state import Account, Certificate, GrantHealth, Queue, RelayState
from relay.operator.trouble import Health
from relay.outcome import TroubleKind

_DAY = 86400
# Of these nobody has to consent again in so many days, but now.
_GONE = (GrantHealth.DEAD, GrantHealth.MISSING, GrantHealth.UNREADABLE)


def read_gauges(state: RelayState) -> CollectorRegistry:
    """A registry with the relay as it is now."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Gauges(state))
    return registry


class _Gauges(Collector):
    def __init__(self, state: RelayState) -> None:
        self._state = state

    def collect(self) -> Iterable[GaugeMetricFamily]:
        state = self._state
        yield from _whole(state)
        if state.queue is not None:
            yield from _queue(state.queue, state.now)
        yield from _nodes(state)
        yield from _accounts([account for account in state.accounts if account.address], state.now)
        yield from _certificates(state.certificates, state.now)


def _by(label: str, name: str, documentation: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    """A gauge with one label; its values by what the label says."""
    family = GaugeMetricFamily(name, documentation, labels=[label])
    for said, value in values.items():
        family.add_metric([said], value)
    return family


def _whole(state: RelayState) -> Iterable[GaugeMetricFamily]:
    build = GaugeMetricFamily(
        "relay_build_info", "1, with what is running in its labels", labels=["version", "python"]
    )
    build.add_metric([state.version, platform.python_version()], 1)
    yield build
    yield GaugeMetricFamily(
        "relay_start_time_seconds",
        "When the relay was started, in seconds since the epoch",
        state.started or 0,
    )
    health = {one.value: state.health is one for one in Health}
    yield _by("health", "relay_health", "1 for how the relay is, 0 for what it is not", health)
    kinds = [concern.kind for concern in state.concerns]
    troubles = {kind.value: kinds.count(kind.value) for kind in TroubleKind}
    yield _by("kind", "relay_troubles", "What is wrong now, as relay status shows it, by kind", troubles)
    yield GaugeMetricFamily(
        "relay_works_down", "1 while Works is down and nothing is sent", state.outage is not None
    )
    if state.disk is not None:
        yield GaugeMetricFamily(
            "relay_keep_free_octets",
            "With less free on the spool's disk new mail is refused",
            state.disk.keep_free,
        )
    if state.requests is not None:
        yield GaugeMetricFamily("relay_requests_used", "Requests of this minute", state.requests.used)
        yield GaugeMetricFamily(
            "relay_requests_limit", "Requests that a minute may have; 0: no limit", state.requests.limit
        )


def _nodes(state: RelayState) -> Iterable[GaugeMetricFamily]:
    """Each node counts all of them; one that has its spool for itself is the only one."""
    alive = sum(node.alive for node in state.nodes)
    nodes = {"alive": alive or 1, "silent": len(state.nodes) - alive}
    yield _by(
        "state", "relay_nodes", "Nodes on the same database, by whether they were heard of lately", nodes
    )
    own = [node for node in state.nodes if node.this]
    sends = any(node.sends_since is not None for node in own) if own else state.sending
    yield GaugeMetricFamily("relay_sender", "1 on the node that sends, 0 on the others", sends)


def _queue(queue: Queue, now: float) -> Iterable[GaugeMetricFamily]:
    states = {state.value: count for state, count in queue.states.items()}
    yield _by("state", "relay_queue_messages", "Messages in the spool, by state", states)
    age = 0.0 if queue.oldest is None else max(0.0, now - queue.oldest)
    yield GaugeMetricFamily("relay_queue_oldest_seconds", "Age of the oldest message that still waits", age)


def _accounts(accounts: Sequence[Account], now: float) -> Iterable[GaugeMetricFamily]:
    held = {one.name: 1 if one.hold and one.hold.person else 0 for one in accounts}
    yield _by("account", "relay_account_held", "1 when an account's mail waits for a person", held)
    left = {one.name: _count_days(one, now) for one in accounts}
    meaning = "Days until an account must consent again; 0 with a dead grant or none"
    yield _by("account", "relay_grant_days_left", meaning, left)
    days = {one.name: one.day for one in accounts if one.day is not None}
    used = {name: day.used for name, day in days.items()}
    yield _by("account", "relay_recipients_used", "Recipients of an account in 24 hours", used)
    limits = {name: day.limit for name, day in days.items()}
    yield _by("account", "relay_recipients_limit", "Recipients that 24 hours may have; 0: no limit", limits)


def _count_days(account: Account, now: float) -> float:
    dies = None if account.grant.health in _GONE else account.grant.dies_at
    return 0 if dies is None else max(0.0, dies - now) / _DAY


def _certificates(certificates: Iterable[Certificate], now: float) -> Iterable[GaugeMetricFamily]:
    left = {one.place: -1 if one.expires is None else (one.expires - now) / _DAY for one in certificates}
    meaning = "Days until the certificate in use expires, below 0 when it has; -1 when it cannot be read"
    yield _by("listener", "relay_certificate_days_left", meaning, left)
