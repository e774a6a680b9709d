"""What became of a message, read from the relay's reply."""

import re
import smtplib
from enum import StrEnum
from typing import Any

_STATUS = re.compile(r"([245]\.\d{1,3}\.\d{1,3}) +")  # RFC 3463 §2
# The end of a reply about a whole message: `relayed, id=…` where it was taken, `… (id=…)` where it was not.
_TAKEN = re.compile(r"(?P<verdict>relayed|queued|held)\b.*\bid=(?P<queue_id>\w+)$")
_QUEUE_ID = re.compile(r"\bid=(\w+)\)?$")
_NO_ANSWER = "4.4.1"  # RFC 3463 §3.5: no answer from host
_BROKEN = "4.4.2"  # bad connection
_NOT_SUPPORTED = "5.3.3"  # §3.4: system not capable of selected features
_PERMANENT = 500  # reply codes from here on, RFC 5321 §4.2.1


class Verdict(StrEnum):
    """What became of a message: `message.relay_verdict`."""

    RELAYED = "relayed"  # Works has taken it
    QUEUED = "queued"  # the relay keeps it on stable storage and tries until Works takes it
    HELD = "held"  # the same, until a person has done something
    REFUSED = "refused"  # nothing was sent and nothing will be
    NOT_TAKEN = "not-taken"  # nothing was kept: send it again
    UNKNOWN = "unknown"  # the connection broke after the content: it may have been taken


class RelayError(smtplib.SMTPException):
    """A message, or the whole connection, was not taken.

    It is an `smtplib.SMTPException` and an `OSError`, which is what Django's own SMTP backend
    raises and programs catch already.

    Attributes:
        verdict: REFUSED, NOT_TAKEN or UNKNOWN.
        status: the enhanced status code (RFC 3463), such as "5.7.1"; "4.4.1" where nobody answered.
        reason: a sentence for people.
        temporary: whether the same message may be taken later.
        code: the SMTP reply code; 0 where there was no reply.
        queue_id: for `relay trace`; "" where the relay gave none.
    """

    def __init__(self, verdict: Verdict, status: str, reason: str, code: int = 0, queue_id: str = "") -> None:
        super().__init__(f"{code or ''} {status} {reason}".lstrip())
        self.verdict, self.status, self.reason = verdict, status, reason
        self.code, self.queue_id = code, queue_id

    @property
    def temporary(self) -> bool:
        """Whether the same message may be taken later."""
        return self.verdict is not Verdict.REFUSED

    def __reduce__(self) -> tuple[Any, ...]:
        # An error has to reach whoever waits for a task in another process.
        return type(self), (self.verdict, self.status, self.reason, self.code, self.queue_id)


def read_taken(text: bytes | str) -> tuple[Verdict, str]:
    """The verdict and the queue id in a 250 after the content.

    A server that is not a relay says it in words of its own: QUEUED, and no queue id.
    """
    found = _TAKEN.search(_to_text(text))
    return (Verdict(found["verdict"]), found["queue_id"]) if found else (Verdict.QUEUED, "")


def read_failure(error: OSError, where: str, *, content_sent: bool = False) -> RelayError:
    """What smtplib raised, as one kind of error.

    Args:
        error: what was raised.
        where: the relay's host and port, for the sentence.
        content_sent: whether the content had been sent, and the reply to it is what is missing.
    """
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        recipient, (code, text) = next(iter(error.recipients.items()))
        return _read_reply(code, text, f"{recipient}: ")
    if isinstance(error, smtplib.SMTPResponseException):
        return _read_reply(error.smtp_code, error.smtp_error)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return RelayError(Verdict.REFUSED, _NOT_SUPPORTED, f"{where}: {error}")
    why = error.strerror or str(error) or type(error).__name__
    if content_sent:
        reason = f"the connection to {where} broke before the reply ({why}); the message may have been taken"
        return RelayError(Verdict.UNKNOWN, _BROKEN, reason)
    return RelayError(Verdict.NOT_TAKEN, _NO_ANSWER, f"{where}: {why}; is the relay running?")


def _read_reply(code: int, text: bytes | str, before: str = "") -> RelayError:
    said = _to_text(text)
    found = _STATUS.match(said)
    permanent = code >= _PERMANENT
    status = found[1] if found else "5.0.0" if permanent else "4.0.0"
    queue_id = _QUEUE_ID.search(said)
    reason = before + (said[found.end() :] if found else said)
    verdict = Verdict.REFUSED if permanent else Verdict.NOT_TAKEN
    return RelayError(verdict, status, reason, max(code, 0), queue_id[1] if queue_id else "")


def _to_text(text: bytes | str) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text
