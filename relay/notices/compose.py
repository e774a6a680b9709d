"""The messages: facts of RFC 3464 in plain words, and the original attached.

Made by hand around the original's octets, because those are hostile: they are never parsed for it.
"""

import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from relay.envelope import Buffer
from relay.host.clock import to_local
from relay.notices.texts import LANGUAGES, Words, kind
from relay.outcome import Outcome
from relay.spool import Entry

_MOST_LISTED = 50  # recipients, or messages
_MOST_FIELDS = 64 * 1024  # octets of a header section that is attached in place of the message
_LONGEST_SUBJECT = 120  # characters of the original's


@dataclass(frozen=True, slots=True)
class Letterhead:
    """Who writes to whom."""

    hostname: str
    sender: str  # the sending account's address
    to: str
    language: str
    now: float  # seconds since the epoch

    @property
    def words(self) -> Words:
        """The language's words."""
        return LANGUAGES[self.language]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is to be said about a failure."""

    entry: Entry
    outcome: Outcome
    refused: tuple[str, ...]
    unknown: bool
    subject: str  # the original's, decoded
    keep_days: int
    most_original: int  # octets
    bare: bool = False  # nothing of the original is attached


def write_failure(head: Letterhead, facts: Facts, content: Buffer) -> bytes:
    """A notice to a sender: whom the message did not reach, and why."""
    words = head.words
    subject = words.not_sent.format(subject=facts.subject[:_LONGEST_SUBJECT])
    small = len(content) <= facts.most_original
    paragraphs = [
        words.greeting.format(hostname=head.hostname) + "\n\n" + list_some(facts.refused, words),
        kind(words, facts.outcome.status),
        _tell_facts(head, facts),
        *([words.unknown] if facts.unknown else []),
        words.kept.format(days=facts.keep_days, queue_id=facts.entry.queue_id),
    ]
    if facts.bare:
        return bytes(_letter(head, subject, paragraphs))
    paragraphs.append(words.attached if small else words.fields_attached)
    part = (
        _part("message/rfc822", "original.eml", bytes(content[:]))
        if small
        else _part("text/rfc822-headers", "original-headers.txt", _fields(content))
    )
    return _enclose(_letter(head, subject, paragraphs), part)


def write_plain(head: Letterhead, subject: str, text: str) -> bytes:
    """A message to the operator."""
    return bytes(_letter(head, subject, [text]))


def _letter(head: Letterhead, subject: str, paragraphs: list[str]) -> EmailMessage:
    letter = EmailMessage(policy=SMTP)
    for field, name, address in (("From", head.words.relay, head.sender), ("To", "", head.to)):
        # Dots in a row, or before the @, are no address to `email`; the envelope names it all the same.
        with contextlib.suppress(ValueError, MessageError):
            letter[field] = Address(name, addr_spec=address)
    letter["Subject"] = " ".join(subject.split())
    letter["Date"] = format_datetime(datetime.fromtimestamp(head.now, UTC))
    letter["Message-ID"] = f"<{secrets.token_hex(12)}@{head.hostname or 'relay'}>"
    # RFC 3834 §5: no vacation program may answer this.
    letter["Auto-Submitted"] = "auto-replied"
    letter.set_content("\n\n".join(paragraphs) + "\n", cte="base64")
    return letter


def list_some(lines: Sequence[str], words: Words) -> str:
    """The first of them, one a line, and how many more there are."""
    listed = [f"    {one}" for one in lines[:_MOST_LISTED]]
    if len(lines) > _MOST_LISTED:
        listed.append("    " + words.more.format(more=len(lines) - _MOST_LISTED))
    return "\n".join(listed)


def _tell_facts(head: Letterhead, facts: Facts) -> str:
    entry, outcome = facts.entry, facts.outcome
    answer = f"HTTP {outcome.http_status} {outcome.code}".rstrip() if outcome.http_status else ""
    values = {
        "reason": outcome.reason,
        "status": outcome.status,
        "answer": answer,
        "arrival": _moment(entry.arrival),
        "last": _moment(head.now),
        "attempts": str(entry.attempts + 1),
        "queue_id": entry.queue_id,
    }
    return "\n".join(f"{head.words.facts[name]}: {value}" for name, value in values.items() if value)


def _moment(seconds: float) -> str:
    return to_local(seconds, "seconds", dated=True)


def _fields(content: Buffer) -> bytes:
    head = bytes(content[:_MOST_FIELDS])
    return head.partition(b"\r\n\r\n")[0] + b"\r\n"


def _part(media_type: str, name: str, octets: bytes) -> bytes:
    fields = (
        f'Content-Type: {media_type}\r\nContent-Disposition: attachment; filename="{name}"\r\n'
        "Content-Transfer-Encoding: 8bit\r\n\r\n"
    )
    return fields.encode("ascii") + octets


def _enclose(letter: EmailMessage, part: bytes) -> bytes:
    """The letter with a part after it; a random boundary is in no original."""
    boundary = f"notice-{secrets.token_hex(16)}"
    moved = ("content-type", "content-transfer-encoding", "mime-version")
    fields = [f"{name}: {letter[name]}" for name in letter if name.lower() in moved[:2]]
    body = letter.get_payload()
    for name in moved:
        del letter[name]
    letter.set_payload("")
    letter["MIME-Version"] = "1.0"
    letter["Content-Type"] = f'multipart/mixed; boundary="{boundary}"'
    mark = f"--{boundary}\r\n".encode()
    text = "\r\n".join([*fields, "", *str(body).splitlines(), ""]).encode("ascii")
    return bytes(letter) + mark + text + mark + part + f"\r\n--{boundary}--\r\n".encode()
