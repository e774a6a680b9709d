"""Faults on demand: what is in force, and for how much longer."""

import contextlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from relay.host.texts import mark
from relay.sandbox.settings import Clock

# Each kind, and what it looks like to a relay.
KINDS: Mapping[str, str] = {
    "latency": mark("The answer comes late."),  # after `seconds`
    "400": mark("Works refuses the message: a parameter is not valid."),
    "403": mark("The app may not send for this mailbox."),
    "404": mark("There is no such mailbox."),
    "quota": mark("The mailbox is over its limit (403 LIMIT_EXCEEDED)."),
    "413": mark("The message is too large."),
    "429": mark("Too many requests; the answer says when to come again."),
    "500": mark("Works has an error of its own."),  # with "accepted": true the message was taken all the same
    "503": mark("Works is out of service."),  # likewise
    "cut-before": mark("The connection breaks before the body is read."),
    "cut-in": mark("The connection breaks in the middle of the body."),
    "cut-after": mark("Works takes the message, and the connection breaks without an answer."),
    "no-answer": mark("Works takes the message, and then is silent."),  # for `seconds`
    "wrong-content-type": mark("A page of HTML comes in place of an answer, as a proxy sends it."),
    "token-death": mark("The grant dies: somebody has to consent again."),  # the one that the request uses
}
# For these, `seconds` is how long the answer waits; for the others how long the fault is in force.
_WAITING = ("latency", "no-answer")


class Place(NamedTuple):
    """Which requests can meet a fault."""

    calls: tuple[str, ...]
    meaning: str


PLACES: Mapping[str, Place] = {
    "mail": Place(("send", "unread-count"), mark("the mail API")),
    "send": Place(("send",), mark("sending alone")),
    "unread-count": Place(("unread-count",), mark("asking for the unread count")),
    "token": Place(("token",), mark("the token endpoint")),
    "bot": Place(("bot",), mark("the Bot")),
    "any": Place(("send", "unread-count", "token"), mark("all but the Bot")),
}
_STATUSES = range(200, 600)
SILENCE = 60.0  # seconds of a "no-answer" that does not say how many


# A fault as it is wished for: the JSON object of POST /sandbox/faults.
FaultRequest = dict[str, Any]


@dataclass(slots=True)
class Fault:
    """One kind of trouble.

    It ends after `times` requests have met it, or after `seconds` where these mean a time in force,
    whichever comes first. `times` 0 means: until it is deleted or its time is over. When neither is
    given the next request alone meets it; with a time in force alone, every request of that time.
    """

    kind: str
    times: int = 1
    seconds: float = 0.0
    at: str = "mail"
    accepted: bool = False  # 500, 503, wrong-content-type: the message was taken all the same
    status: int = 500  # of wrong-content-type
    account: str = ""  # only requests with the token of this login ID; "": any
    access_only: bool = False  # token-death: the refresh token lives on
    until: float = math.inf  # epoch seconds
    met: int = 0

    def as_json(self) -> dict[str, Any]:
        """Its fields; no `until` where there is no end."""
        fields = asdict(self)
        if self.until == math.inf:
            del fields["until"]
        return fields


class Faults:
    """The faults in force; the oldest that fits a request is the one it meets."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._faults: list[Fault] = []

    def add(self, wish: Any) -> Fault:
        """Put a fault in force.

        Raises:
            ValueError: the wish is not one; the text says what was expected.
        """
        fault = _read(wish)
        if fault.kind not in _WAITING and fault.seconds:
            fault.until = self._clock.now() + fault.seconds
            if "times" not in wish:
                fault.times = 0
        if fault.kind == "token-death" and "at" not in wish:
            fault.at = "any"
        self._faults.append(fault)
        return fault

    def clear(self, kind: str = "") -> None:
        """Remove all faults, or all of a kind."""
        self._faults = [fault for fault in self._faults if kind and fault.kind != kind]

    def standing(self) -> list[Fault]:
        """The faults in force, oldest first."""
        now = self._clock.now()
        self._faults = [one for one in self._faults if now < one.until and not 0 < one.times <= one.met]
        return self._faults

    def meet(self, place: str, account: str = "", *kinds: str) -> Fault | None:
        """The fault that a request at `place` meets now; it is counted."""
        if not self._faults:
            return None
        for fault in self.standing():
            fits = place in PLACES[fault.at].calls and (not kinds or fault.kind in kinds)
            if fits and (not fault.account or fault.account.lower() == account.lower()):
                fault.met += 1
                return fault
        return None

    def seconds_left(self, fault: Fault) -> float:
        """How long a fault stays in force; a minute when only its count ends it."""
        return 60.0 if fault.until == math.inf else max(0.0, fault.until - self._clock.now())


def parse_fault(text: str) -> FaultRequest:
    """A wish as it is written on a command line: `503`, `429:seconds=30`, `cut-after:times=2,at=token`.

    Raises:
        ValueError: a property without a value. Whether the wish is one says `Faults.add`.
    """
    kind, _, rest = text.partition(":")
    wish: FaultRequest = {"kind": kind}
    for pair in filter(None, rest.split(",")):
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"expected name=value, found {pair!r}")
        wish[name.strip()] = _read_value(value.strip())
    return wish


def _read_value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for number in (int, float):
        with contextlib.suppress(ValueError):
            return number(text)
    return text


_EXPECTED: dict[str, tuple[type, ...]] = {
    "kind": (str,),
    "times": (int,),
    "seconds": (int, float),
    "at": (str,),
    "accepted": (bool,),
    "status": (int,),
    "account": (str,),
    "access_only": (bool,),
}


def _read(wish: Any) -> Fault:
    if not isinstance(wish, dict):
        raise ValueError("a fault is a JSON object")  # noqa: TRY004 - an answer to a client
    if isinstance(wish.get("kind"), int):
        wish["kind"] = str(wish["kind"])
    for name, value in wish.items():
        types = _EXPECTED.get(name)
        if types is None:
            raise ValueError(f"unknown property: {name}")
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise ValueError(f"{name} has the wrong type")
    if wish.get("kind") not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}")
    if wish.get("at", "mail") not in PLACES:
        raise ValueError(f"at must be one of {', '.join(PLACES)}")
    if wish.get("times", 0) < 0 or not 0 <= wish.get("seconds", 0) < math.inf:
        raise ValueError("times and seconds must not be negative")
    if wish.get("status", 500) not in _STATUSES:
        raise ValueError("status must be a status code from 200 to 599")
    return Fault(**wish)
