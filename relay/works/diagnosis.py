"""One table: what the API answered, or how the attempt broke, as an Outcome.

Three rules stand behind the rows:

- Only Works itself can refuse a message: a 400 or a 413 fails it only with Works' whole error object.
  Without it something on the way answered, and the message is delayed.
- Certainly not taken are 3xx, 4xx, 501, 505, and a 503 that Works itself gives or that says when to come
  again. The rest from 500 on is unknown, because the API has no idempotency key (Works API §4).
- A status that nobody has seen before is never permanent.
"""

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum, auto
from http import HTTPStatus

from relay.host.display import clean
from relay.outcome import Action, Blame, Cause, Outcome, Scope

_CODE = re.compile(r"[A-Z_]{1,40}")
# What `clean` leaves, and no log line or reply may hold.
_CONTROLS = re.compile(r"[\t\n\u2028\u2029\ud800-\udfff]+")
# Bounded on both sides of the sign, so that no input makes it slow.
# U+FF20 is the full-width sign, as Japanese and Korean keyboards give it.
_ADDRESS = re.compile(r"[^\s<>()\[\]\",;:@\uff20]{1,64}[@\uff20][^\s<>()\[\]\",;:@\uff20]{1,255}")
_SECRET = re.compile(r"[A-Za-z0-9+/=_.~-]{40,}")  # tokens and Base64 have no spaces
_LONGEST_DIAGNOSTIC = 200
_LONGEST_WAIT = 3600.0  # seconds; a header may ask for more, but one probe an hour costs nothing
_SHORTEST_WAIT = 1.0  # seconds; "0" is a second that has not ended yet, and no wait at all is a storm
_RATE_WINDOW = 60.0  # seconds; Works API §3
# The form of today, and the two older ones that whoever reads a date must take (RFC 9110 §5.6.7).
_DATES = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")


class Failure(Enum):
    """How an attempt broke without a status line."""

    NAME_UNKNOWN = auto()  # the host name does not resolve
    NOT_REACHED = auto()  # refused, unreachable, or no connection in time
    PROXY_NOT_REACHED = auto()  # likewise the proxy, or it says nothing that is HTTP
    PROXY_LOGIN = auto()  # the proxy wants a login, or does not take the one that it was given
    PROXY_REFUSED = auto()  # the proxy makes no connection to Works
    TLS = auto()  # no TLS, or a certificate that does not fit
    CUT_BEFORE = auto()  # the connection broke before the whole request had left this machine
    STUCK = auto()  # the peer stopped reading before the whole request had left
    CUT_AFTER = auto()  # it broke when the request had left
    NO_ANSWER = auto()  # the request had left, and nothing came in time
    NOT_HTTP = auto()  # what came back is not HTTP
    INTERRUPTED = auto()  # "attempt has started" found at the next start
    NO_GRANT = auto()  # nobody has consented yet
    TOKEN_REFUSED = auto()  # the authorization server refuses the grant
    APP_REFUSED = auto()  # it refuses the app's own secret
    TOKEN_UNAVAILABLE = auto()  # it cannot be reached, or is not well
    TOKEN_OVERDUE = auto()  # likewise for an hour, and no access token lives any more


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, as far as it was read."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes = b""  # bounded; may be cut short
    whole: bool = False  # whether the body was read to its end


@dataclass(frozen=True, slots=True)
class Error:
    """What the body of an error answer says."""

    code: str = ""  # the API's, if it has the form of one
    description: str = ""  # made harmless: it may go to the trace
    of_works: bool = False  # it is Works' whole error object, so Works itself answered


def _delayed(
    status: str,
    reason: str,
    scope: Scope = Scope.MESSAGE,
    again: Scope | None = None,
    cause: Cause = Cause.UNREACHABLE,
) -> Outcome:
    return Outcome(Action.DELAYED, status, Blame.REMOTE, reason, scope, if_repeated=again, cause=cause)


def _repeated(status: str, reason: str) -> Outcome:
    return _delayed(status, reason, cause=Cause.OTHER)


def _held(status: str, cause: Cause, reason: str) -> Outcome:
    return Outcome(Action.HELD, status, Blame.GATEWAY, reason, Scope.ACCOUNT, cause=cause)


def _failed(status: str, reason: str) -> Outcome:
    return Outcome(Action.FAILED, status, Blame.MESSAGE, reason, cause=Cause.REFUSED)


def _unknown(status: str, reason: str, cause: Cause = Cause.UNAVAILABLE) -> Outcome:
    return Outcome(Action.UNKNOWN, status, Blame.REMOTE, reason, if_repeated=Scope.API, cause=cause)


_QUOTA = _held(
    "4.7.0", Cause.QUOTA, "the mailbox is over a limit of Works; its mail waits until the limit allows more"
)
_BY_STATUS: Mapping[int, Outcome] = {
    202: Outcome(Action.RELAYED, "2.0.0", Blame.REMOTE, "Works took the message"),
    # After a fresh token: see client.
    401: _held(
        "4.7.0",
        Cause.UNAUTHORIZED,
        "Works does not accept the account's grant; an administrator must log in again",
    ),
    403: replace(
        _delayed("4.7.1", "Works did not permit this message", again=Scope.ACCOUNT, cause=Cause.FORBIDDEN),
        blame=Blame.GATEWAY,
    ),
    404: _held(
        "4.3.5",
        Cause.NO_MAILBOX,
        "Works does not know this mailbox or this address; check api_url and user_id",
    ),
    429: _delayed("4.4.5", "Works asks to send more slowly", Scope.API, cause=Cause.THROTTLED),
    # The older API answered an oversized file so; it may also have sent (Works API §1, §4).
    500: _unknown("4.3.0", "Works had an internal error; whether it took the message is not known"),
    502: _unknown("4.4.0", "a gateway of Works failed; whether it took the message is not known"),
    # Proxies say so, too, when a connection breaks after the request has gone on.
    503: _unknown(
        "4.4.5", "Works, or something before it, is out of service; whether it took the message is not known"
    ),
    504: _unknown("4.4.0", "a gateway of Works got no answer; whether it took the message is not known"),
}
_BY_CODE: Mapping[tuple[int, str], Outcome] = {
    (400, "LIMIT_EXCEEDED"): _QUOTA,
    (403, "LIMIT_EXCEEDED"): _QUOTA,
}
# What these statuses mean in Works' own words.
_OF_WORKS: Mapping[int, Outcome] = {
    400: _failed("5.6.0", "Works refused the message as malformed"),
    413: _failed("5.3.4", "the message is larger than Works takes"),
    503: _delayed("4.4.5", "Works is temporarily out of service", again=Scope.API, cause=Cause.UNAVAILABLE),
}
# A gateway's 413 for one scan is no outage: nothing else waits for it, and the courier judges the pattern.
_FOREIGN = _delayed(
    "4.4.0", "something on the way to Works refused the message; Works itself did not", cause=Cause.FOREIGN
)
_REDIRECTED = _delayed(
    "4.4.4", "Works answered from another address than api_url", again=Scope.API, cause=Cause.UNAVAILABLE
)
# 202 is the documented success (Works API §1). Another 2xx may be a success that is not documented,
# or a captive portal's page: to take it for sent loses mail, to send at once again doubles it.
_UNDOCUMENTED = _unknown("4.3.0", "Works gave an answer that is not documented; whether it sent is not known")
_NOT_TAKEN = _delayed(
    "4.3.0", "Works gave an answer that is not known", again=Scope.API, cause=Cause.UNAVAILABLE
)
_PERHAPS_TAKEN = _unknown(
    "4.3.0", "Works gave an answer that is not known; whether it took the message is not known either"
)
# Of 5xx, these alone say that the request was not understood (RFC 9110 §15.6.2, §15.6.6).
_NOT_UNDERSTOOD = frozenset({501, 505})

# Of the probe, which no message depends on.
_NOT_WELL = _delayed("4.3.0", "Works does not answer as it should", Scope.API, cause=Cause.UNAVAILABLE)
# The API is up and does not know the probe: whether it takes mail only a message can tell.
_UNKNOWN_CALL = frozenset({400, 404, 405})

_BY_FAILURE: Mapping[Failure, Outcome] = {
    Failure.NAME_UNKNOWN: _delayed("4.4.3", "the host name of Works cannot be resolved", again=Scope.API),
    Failure.NOT_REACHED: _delayed("4.4.1", "Works cannot be reached", again=Scope.API),
    Failure.PROXY_NOT_REACHED: _delayed("4.4.1", "the proxy cannot be reached", again=Scope.API),
    Failure.PROXY_LOGIN: replace(
        _delayed("4.7.0", "the proxy does not take the login in [works] proxy", again=Scope.API),
        blame=Blame.GATEWAY,
    ),
    Failure.PROXY_REFUSED: _delayed("4.4.1", "the proxy makes no connection to Works", again=Scope.API),
    Failure.TLS: _delayed("4.7.5", "no trusted TLS connection to Works can be made", again=Scope.API),
    Failure.CUT_BEFORE: _delayed(
        "4.4.2", "the connection broke before the message had left", again=Scope.API
    ),
    Failure.STUCK: _delayed("4.4.2", "Works stopped reading before the message had left", again=Scope.API),
    Failure.CUT_AFTER: _unknown("4.4.2", "the connection broke before Works answered", Cause.UNREACHABLE),
    Failure.NO_ANSWER: _unknown(
        "4.4.2", "Works took the request and did not answer in time", Cause.UNREACHABLE
    ),
    Failure.NOT_HTTP: _unknown(
        "4.5.0", "what answered in place of Works did not speak HTTP", Cause.UNREACHABLE
    ),
    Failure.INTERRUPTED: replace(
        _unknown("4.3.0", "the relay was interrupted while it was sending", Cause.INTERRUPTED),
        blame=Blame.GATEWAY,
        if_repeated=None,
    ),
    Failure.NO_GRANT: _held(
        "4.7.0", Cause.NO_GRANT, "nobody has consented for this account yet; run: sudo relay login ACCOUNT"
    ),
    Failure.TOKEN_REFUSED: _held(
        "4.7.0",
        Cause.GRANT_REFUSED,
        "the account's consent is no longer valid; run: sudo relay login ACCOUNT",
    ),
    Failure.APP_REFUSED: _held(
        "4.7.0", Cause.APP_REFUSED, "Works refuses client_id or client_secret; correct them"
    ),
    Failure.TOKEN_UNAVAILABLE: _delayed(
        "4.4.1",
        "the authorization server of Works cannot be used at the moment",
        Scope.ACCOUNT,
        cause=Cause.AUTH_UNAVAILABLE,
    ),
    # Some grants that are dead are answered like this for good (Works API §2: returnCode 99).
    Failure.TOKEN_OVERDUE: _held(
        "4.7.0",
        Cause.AUTH_UNAVAILABLE,
        "the account's grant could not be renewed for an hour, and is tried on; "
        "if the authorization server of Works is well, run: sudo relay login ACCOUNT",
    ),
}


def diagnose(answer: Answer) -> Outcome:
    """What an answer of the send-mail call means for the message."""
    error = read_error(answer)
    wait = retry_after(answer)
    row = _find_row(answer.status, error, says_when=wait is not None)
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS and wait is None:
        wait = _RATE_WINDOW
    return replace(
        row,
        http_status=answer.status,
        code=error.code,
        diagnostic=error.description,
        retry_after=wait,
    )


def _find_row(status: int, error: Error, *, says_when: bool) -> Outcome:
    if (status, error.code) in _BY_CODE:
        return _BY_CODE[status, error.code]
    if status in _OF_WORKS and (error.of_works or (says_when and status == HTTPStatus.SERVICE_UNAVAILABLE)):
        return _OF_WORKS[status]
    return _BY_STATUS.get(status) or _by_class(status)


def _by_class(status: int) -> Outcome:
    if status in _OF_WORKS:
        return _FOREIGN
    by_class = {2: _UNDOCUMENTED, 3: _REDIRECTED, 4: _NOT_TAKEN}
    return _NOT_TAKEN if status in _NOT_UNDERSTOOD else by_class.get(status // 100, _PERHAPS_TAKEN)


_REPEATED: Mapping[int | Failure, Outcome] = {
    401: _repeated("4.7.0", "Works did not accept the access token; asked again with a fresh one"),
    307: _repeated("4.4.4", "Works named another instance; asked there"),
    Failure.CUT_BEFORE: _repeated("4.4.2", "the connection broke before the message had left; asked again"),
}


def diagnose_repeat(end: Answer | Failure) -> Outcome:
    """How a request ended that came to nothing and is made again at once."""
    if isinstance(end, Failure):
        return _REPEATED[end]
    return replace(_REPEATED[end.status], http_status=end.status)


def diagnose_probe(end: Answer | Failure, account: str) -> Outcome | None:
    """What is wrong, by the end of the unread-count call; None: the API works for this account.

    No message depends on the call, so nothing of it is unknown or failed, and what is wrong is the account's
    trouble or the API's.
    """
    if isinstance(end, Answer) and _works_well(end):
        return None
    outcome = diagnose(end) if isinstance(end, Answer) else diagnose_failure(end, account=account)
    if outcome.http_status is not None and outcome.action not in (Action.HELD, Action.DELAYED):
        outcome = replace(_NOT_WELL, http_status=outcome.http_status, code=outcome.code)
    action = Action.HELD if outcome.action is Action.HELD else Action.DELAYED
    scope = Scope.ACCOUNT if Scope.ACCOUNT in (outcome.scope, outcome.if_repeated) else Scope.API
    return replace(outcome, action=action, scope=scope, if_repeated=None)


def _works_well(answer: Answer) -> bool:
    if answer.status in _UNKNOWN_CALL:
        return read_error(answer).of_works
    value = read_object(answer.body) if answer.whole else {}
    return answer.status == HTTPStatus.OK and isinstance(value.get("count"), int)


def diagnose_failure(failure: Failure, diagnostic: str = "", account: str = "ACCOUNT") -> Outcome:
    """What an attempt without an answer means for the message; the account's name is for the reason."""
    row = _BY_FAILURE[failure]
    reason = row.reason.replace("ACCOUNT", account)
    return replace(row, reason=reason, diagnostic=_clean(diagnostic))


def read_error(answer: Answer) -> Error:
    """What the body of an error answer says; empty and foreign bodies occur (Works API §4)."""
    if answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return Error()
    value = read_object(answer.body)
    said, description = value.get("code"), value.get("description")
    code = said if isinstance(said, str) and _CODE.fullmatch(said) else ""
    if not isinstance(description, str):
        return Error(code)
    return Error(code, _clean(description), of_works=bool(code) and answer.whole)


def read_object(body: bytes) -> dict[str, object]:
    """The JSON object that a body is; empty if it is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _clean(text: str) -> str:
    # An answer may echo what it was given: no address and nothing like a token goes on from here.
    plain = _CONTROLS.sub(" ", clean(text[:2000], " "))
    return _SECRET.sub("…", _ADDRESS.sub("<address>", plain))[:_LONGEST_DIAGNOSTIC].strip()


def retry_after(answer: Answer) -> float | None:
    """Seconds that a 429 or a 503 asks to wait; None when it does not say."""
    if answer.status not in (429, 503):
        return None
    waits = [seconds(answer.headers.get("ratelimit-reset")), _delay(answer.headers.get("retry-after"))]
    said = [wait for wait in waits if wait is not None]
    return min(max(_SHORTEST_WAIT, *said), _LONGEST_WAIT) if said else None


def seconds(value: str | None) -> float | None:
    """A header's number of seconds or calls; None when there is none. Never negative."""
    # isdecimal and a length: int() of a million digits is a denial of service.
    if value is None or not value.strip().isdecimal() or len(value) > 20:  # noqa: PLR2004 - digits enough
        return None
    return float(value)


def _delay(value: str | None) -> float | None:
    # Retry-After is a number of seconds or a date (RFC 9110 §10.2.3).
    if value is None:
        return None
    for form in _DATES:
        with contextlib.suppress(ValueError):
            when = datetime.strptime(value, form).replace(tzinfo=UTC)
            return max(0.0, (when - datetime.now(UTC)).total_seconds())
    return seconds(value)
