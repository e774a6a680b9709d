"""One table: what the API answered, or how the attempt broke, as an Outcome.

Only what is named here as permanent is permanent. A status that nobody has seen before is *delayed*:
the opposite default loses mail on the day the API grows a new one. What may have been taken is
*unknown*, because the API has no idempotency key (Works API §4).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum, auto

from relay.outcome import Action, Blame, Cause, Outcome, Scope

_CODE = re.compile(r"[A-Z_]{1,40}")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
# Bounded on both sides of the sign, so that no input makes it slow.
# U+FF20 is the full-width sign, as Japanese and Korean keyboards give it.
_ADDRESS = re.compile(r"[^\s<>()\[\]\",;:@\uff20]{1,64}[@\uff20][^\s<>()\[\]\",;:@\uff20]{1,255}")
_SECRET = re.compile(r"[A-Za-z0-9+/=_.~-]{40,}")  # tokens and Base64 have no spaces
_LONGEST_DIAGNOSTIC = 200
_LONGEST_WAIT = 3600.0  # seconds; a header may ask for more, but one probe an hour costs nothing
_SHORTEST_WAIT = 1.0  # seconds; "0" is a second that has not ended yet, and no wait at all is a storm
_RATE_WINDOW = 60.0  # seconds; Works API §3


class Failure(Enum):
    """How an attempt broke without a status line."""

    NAME_UNKNOWN = auto()  # the host name does not resolve
    NOT_REACHED = auto()  # refused, unreachable, or no connection in time
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


def _delayed(
    status: str, cause: Cause, reason: str, scope: Scope = Scope.MESSAGE, again: Scope | None = None
) -> Outcome:
    return Outcome(Action.DELAYED, status, Blame.REMOTE, reason, scope, if_repeated=again, cause=cause)


def _held(status: str, cause: Cause, reason: str) -> Outcome:
    return Outcome(Action.HELD, status, Blame.GATEWAY, reason, Scope.ACCOUNT, cause=cause)


def _failed(status: str, reason: str) -> Outcome:
    return Outcome(Action.FAILED, status, Blame.MESSAGE, reason, cause=Cause.REFUSED)


def _unknown(status: str, cause: Cause, reason: str) -> Outcome:
    return Outcome(Action.UNKNOWN, status, Blame.REMOTE, reason, if_repeated=Scope.API, cause=cause)


_RELAYED = Outcome(Action.RELAYED, "2.0.0", Blame.REMOTE, "Works took the message")
_QUOTA = _held(
    "4.7.0", Cause.QUOTA, "the mailbox is over a limit of Works; its mail waits until the limit allows more"
)

_BY_STATUS: Mapping[int, Outcome] = {
    202: _RELAYED,
    400: _failed("5.6.0", "Works refused the message as malformed"),
    # After a fresh token: see client.
    401: _held(
        "4.7.0",
        Cause.UNAUTHORIZED,
        "Works does not accept the account's grant; an administrator must log in again",
    ),
    403: replace(
        _delayed("4.7.1", Cause.FORBIDDEN, "Works did not permit this message", again=Scope.ACCOUNT),
        blame=Blame.GATEWAY,
    ),
    404: _held(
        "4.3.5",
        Cause.NO_MAILBOX,
        "Works does not know this mailbox or this address; check api_url and user_id",
    ),
    413: _failed("5.3.4", "the message is larger than Works takes"),
    429: _delayed("4.4.5", Cause.THROTTLED, "Works asks to send more slowly", Scope.API),
    503: _delayed("4.4.5", Cause.UNAVAILABLE, "Works is temporarily out of service", again=Scope.API),
    # The older API answered an oversized file so; it may also have sent (Works API §1, §4).
    500: _unknown(
        "4.3.0", Cause.UNAVAILABLE, "Works had an internal error; whether it took the message is not known"
    ),
    502: _unknown(
        "4.4.0", Cause.UNAVAILABLE, "a gateway of Works failed; whether it took the message is not known"
    ),
    504: _unknown(
        "4.4.0",
        Cause.UNAVAILABLE,
        "a gateway of Works got no answer; whether it took the message is not known",
    ),
}
_BY_CODE: Mapping[tuple[int, str], Outcome] = {
    (400, "LIMIT_EXCEEDED"): _QUOTA,
    (403, "LIMIT_EXCEEDED"): _QUOTA,
}
_REDIRECTED = _delayed(
    "4.4.4", Cause.UNAVAILABLE, "Works answered from another address than api_url", again=Scope.API
)
# 202 is the documented success (Works API §1). Another 2xx may be a success that is not documented,
# or a captive portal's page: to take it for sent loses mail, to send at once again doubles it.
_UNDOCUMENTED = _unknown(
    "4.3.0", Cause.UNAVAILABLE, "Works gave an answer that is not documented; whether it sent is not known"
)
_OTHERWISE = _delayed("4.3.0", Cause.UNAVAILABLE, "Works gave an answer that is not known", again=Scope.API)

_BY_FAILURE: Mapping[Failure, Outcome] = {
    Failure.NAME_UNKNOWN: _delayed(
        "4.4.3", Cause.UNREACHABLE, "the host name of Works cannot be resolved", again=Scope.API
    ),
    Failure.NOT_REACHED: _delayed("4.4.1", Cause.UNREACHABLE, "Works cannot be reached", again=Scope.API),
    Failure.TLS: _delayed(
        "4.7.5", Cause.UNREACHABLE, "no trusted TLS connection to Works can be made", again=Scope.API
    ),
    Failure.CUT_BEFORE: _delayed(
        "4.4.2", Cause.UNREACHABLE, "the connection broke before the message had left", again=Scope.API
    ),
    Failure.STUCK: _delayed(
        "4.4.2", Cause.UNREACHABLE, "Works stopped reading before the message had left", again=Scope.API
    ),
    Failure.CUT_AFTER: _unknown("4.4.2", Cause.UNREACHABLE, "the connection broke before Works answered"),
    Failure.NO_ANSWER: _unknown(
        "4.4.2", Cause.UNREACHABLE, "Works took the request and did not answer in time"
    ),
    Failure.NOT_HTTP: _unknown(
        "4.5.0", Cause.UNREACHABLE, "what answered in place of Works did not speak HTTP"
    ),
    Failure.INTERRUPTED: replace(
        _unknown("4.3.0", Cause.INTERRUPTED, "the relay was interrupted while it was sending"),
        blame=Blame.GATEWAY,
        if_repeated=None,
    ),
    Failure.NO_GRANT: _held(
        "4.7.0", Cause.NO_GRANT, "nobody has consented for this account yet; run: relay login ACCOUNT"
    ),
    Failure.TOKEN_REFUSED: _held(
        "4.7.0", Cause.GRANT_REFUSED, "the account's consent is no longer valid; run: relay login ACCOUNT"
    ),
    Failure.APP_REFUSED: _held(
        "4.7.0", Cause.APP_REFUSED, "Works refuses client_id or client_secret; correct them"
    ),
    Failure.TOKEN_UNAVAILABLE: _delayed(
        "4.4.1",
        Cause.AUTH_UNAVAILABLE,
        "the authorization server of Works cannot be used at the moment",
        Scope.ACCOUNT,
    ),
    # Some grants that are dead are answered like this for good (Works API §2: returnCode 99).
    Failure.TOKEN_OVERDUE: _held(
        "4.7.0",
        Cause.AUTH_UNAVAILABLE,
        "the account's grant could not be renewed for an hour, and is tried on; "
        "if the authorization server of Works is well, run: relay login ACCOUNT",
    ),
}


def diagnose(answer: Answer) -> Outcome:
    """What an answer of the send-mail call means for the message."""
    code, description = read_error(answer.body) if answer.status >= 300 else ("", "")  # noqa: PLR2004 - HTTP
    row = _BY_CODE.get((answer.status, code)) or _BY_STATUS.get(answer.status) or _by_class(answer.status)
    wait = retry_after(answer)
    if answer.status == 429 and wait is None:  # noqa: PLR2004 - HTTP
        wait = _RATE_WINDOW
    return replace(row, http_status=answer.status, code=code, diagnostic=description, retry_after=wait)


def diagnose_failure(failure: Failure, diagnostic: str = "", account: str = "ACCOUNT") -> Outcome:
    """What an attempt without an answer means for the message; the account's name is for the reason."""
    row = _BY_FAILURE[failure]
    reason = row.reason.replace("ACCOUNT", account)
    return replace(row, reason=reason, diagnostic=_clean(diagnostic))


def _by_class(status: int) -> Outcome:
    return {2: _UNDOCUMENTED, 3: _REDIRECTED}.get(status // 100, _OTHERWISE)


def read_error(body: bytes) -> tuple[str, str]:
    """The API's code, "" unless it has the form of one, and its description, made harmless."""
    try:
        error = json.loads(body)
    except (ValueError, RecursionError):  # empty and foreign bodies occur (Works API §4)
        return "", ""
    if not isinstance(error, dict):
        return "", ""
    code, description = error.get("code"), error.get("description")
    return (
        code if isinstance(code, str) and _CODE.fullmatch(code) else "",
        _clean(description) if isinstance(description, str) else "",
    )


def _clean(text: str) -> str:
    # An answer may echo what it was given: no address and nothing like a token goes on from here.
    plain = _CONTROLS.sub(" ", text[:2000])
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
    try:
        when = datetime.strptime(value, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError:
        return seconds(value)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
