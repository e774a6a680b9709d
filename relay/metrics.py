"""What the relay counts, each series declared once, here.

Whoever does a thing counts it: `ATTEMPTS.labels(action).inc()`. Every series that has a closed set of
labels is born at zero, so that a first failure is a rise and not an appearance. What is a state and
not an event (the queue, the grants) is read when somebody asks; see `console.gauges`. No label ever
holds an address, a subject or an id.
"""

from collections.abc import Iterable
from itertools import product

import prometheus_client as prometheus
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from relay.outcome import Action, Blame

# A series for the moment of birth of each counter says nothing here and doubles the page.
prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()

_TEMPORARY = ("421", "450", "451", "452", "454")
_PERMANENT = ("500", "501", "502", "503", "504", "530", "535", "538", "550", "552", "553", "554", "555")


def _count(name: str, documentation: str, label: str = "", values: Iterable[str] = ()) -> Counter:
    """A counter; its series of these values of its label are born at zero."""
    made = Counter(name, documentation, [label] if label else [], registry=REGISTRY)
    for value in values:
        made.labels(value)
    return made


MESSAGES = _count(
    "relay_messages",
    "Messages whose content came to its end, by what the client was told",
    "reply",
    ("relayed", "queued", "refused", "deferred"),  # 5yz: refused, 4yz: deferred
)
REPLY_SECONDS = Histogram(
    "relay_reply_seconds",
    "From the end of the content to its reply",
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
    registry=REGISTRY,
)
OVER_LIMIT = _count(
    "relay_over_limit", "Messages deferred because their source had sent all that it may in an hour"
)
ACCEPTING = Gauge("relay_accepting", "1 while new mail is taken, 0 while it hears 452", registry=REGISTRY)
FREE_OCTETS = Gauge("relay_free_octets", "Octets that are free on the spool's disk", registry=REGISTRY)
REFUSALS = _count(
    "relay_refusals",
    "Refusals that sessions gave to any command, by reply code",
    "code",
    (*_TEMPORARY, *_PERMANENT),
)
ATTEMPTS = Counter(
    "relay_attempts",
    "Attempts to send that ended, by action and whose trouble it was; each unknown one may be a duplicate",
    ["action", "blame"],
    registry=REGISTRY,
)
for _action, _blame in product(Action, Blame):
    ATTEMPTS.labels(_action.value, _blame.value)
# Its values are the closed list of message.losses.
LOSSES = _count("relay_losses", "Losses of messages that were relayed, by name", "loss")
NOTICES = _count(
    "relay_notices",
    "Persons told of a failed message or of an account's trouble, by who was told",
    "told",
    ("sender", "operator", "nobody"),
)
ALERTS = _count(
    "relay_alerts",
    "Alerts by the ways of [alert], by whether somebody was told",
    "result",
    ("told", "failed"),
)
KEPT_TWICE = _count(
    "relay_kept_twice",
    "Messages of which another node kept an equal one at the same time; each may be a duplicate",
)
DAMAGED = _count(
    "relay_damaged",
    "Messages and files that the spool set aside because something is wrong with their row or content",
)
API_SECONDS = Histogram(
    "relay_api_seconds",
    "Calls of the send-mail API, by the class of their answer",
    ["answer"],
    buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300),
    registry=REGISTRY,
)
for _answer in ("2xx", "4xx", "429", "5xx", "none"):
    API_SECONDS.labels(_answer)
REFRESHES = _count(
    "relay_token_refreshes", "Refreshes of access tokens", "result", ("granted", "refused", "unavailable")
)
SESSIONS = Gauge("relay_sessions", "SMTP sessions that are open", registry=REGISTRY)
# Refused: by its network, or because there are too many sessions.
CONNECTIONS = _count("relay_connections", "Connections to the listeners", "result", ("accepted", "refused"))
LOGINS = _count("relay_logins", "Attempts to log in by SMTP AUTH", "result", ("accepted", "refused"))


def count_reply(code: int, *, relayed: bool, seconds: float) -> None:
    """A message's content came to its end, and this was the reply (RFC 5321 §4.2.1)."""
    by_class = {2: "relayed" if relayed else "queued", 5: "refused"}
    MESSAGES.labels(by_class.get(code // 100, "deferred")).inc()
    REPLY_SECONDS.observe(seconds)


def declare_losses(names: Iterable[str]) -> None:
    """Let the losses' counters be born at zero; their list belongs to a room above this one."""
    for name in names:
        LOSSES.labels(name)


def answer_class(http_status: int | None) -> str:
    """The label of API_SECONDS for a status; None: no status line was read."""
    if http_status is None:
        return "none"
    return "429" if http_status == 429 else f"{http_status // 100}xx"  # noqa: PLR2004 - RFC 6585 §4
