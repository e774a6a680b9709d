"""The limits of the simulated Works: requests of the domain, mails and recipients of a mailbox."""

from collections import Counter, defaultdict, deque

from relay.sandbox.answers import Refusal
from relay.sandbox.settings import Clock, Settings

_MINUTE = 60
_DAY = 86400


class RequestLimit:
    """Requests per minute for one API, counted for the whole domain (Works API §3)."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._began = 0.0
        self._used = 0

    def take(self) -> dict[str, str]:
        """Count one request; the `rateLimit-*` fields of its answer.

        Raises:
            Refusal: 429, when the minute's requests are used up.
        """
        if not self._limit:
            return {}
        now = self._clock.now()
        # A clock that was moved back begins a new minute too.
        if not 0 <= now - self._began < _MINUTE:
            self._began, self._used = now, 0
        if self._used >= self._limit:
            raise Refusal(429, "TOO_MANY_REQUESTS", "API rate limit exceeded", self._headers(now))
        self._used += 1
        return self._headers(now)

    def _headers(self, now: float) -> dict[str, str]:
        return {
            "rateLimit-limit": str(self._limit),
            "rateLimit-remaining": str(self._limit - self._used),
            "rateLimit-reset": str(max(1, round(self._began + _MINUTE - now))),
            "rateLimit-ssed": str(self._used),  # sic
        }


class MailboxLimit:
    """Mails per minute and recipients in 24 hours, for each mailbox (Works API §3)."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._sent: defaultdict[str, deque[tuple[float, int]]] = defaultdict(deque)
        self._recipients: Counter[str] = Counter()

    def take(self, mailbox: str, recipients: int) -> None:
        """Count one mail.

        Raises:
            Refusal: 403 LIMIT_EXCEEDED, when one of the two quotas is used up.
        """
        now = self._clock.now()
        sent = self._sent[mailbox]
        while sent and sent[0][0] <= now - _DAY:
            self._recipients[mailbox] -= sent.popleft()[1]
        most = self._settings.mails_per_minute
        # A mail is over the quota when the one `most` places back is younger than a minute.
        if most and len(sent) >= most and sent[-most][0] > now - _MINUTE:
            raise Refusal(403, "LIMIT_EXCEEDED", "Too many mails in a minute for this mailbox")
        daily = self._settings.recipients_per_day
        if daily and self._recipients[mailbox] + recipients > daily:
            raise Refusal(403, "LIMIT_EXCEEDED", "Too many recipients in 24 hours for this mailbox")
        if most or daily:
            sent.append((now, recipients))
            self._recipients[mailbox] += recipients
