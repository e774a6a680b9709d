"""The message's own fields: who, to whom, about what, and what of it cannot be carried."""

from collections.abc import Iterable
from dataclasses import dataclass

from relay.mail import Address, Leaf
from relay.message import limits, options
from relay.message.addresses import read_addresses, read_originators, read_words
from relay.message.fields import Field, Fields
from relay.message.names import make_one_line
from relay.message.text.encoded_words import decode_unstructured, is_cut, is_guessed

_MOST_LINES = 5  # fields of one loss that can be kept in the body
_LONGEST_LINE = 500  # characters
# Never shown to anybody: blind recipients (RFC 5322 §3.6.3, §3.6.6), and what the message says to us alone.
HIDDEN = frozenset({"bcc", "resent-bcc"}) | options.NAMES
_CARRIED = {"from", "to", "cc", "bcc", "subject", "reply-to", "mime-version"}
_DESTINATIONS = {"to", "cc", "bcc"}
_RESENT = {
    "resent-date",
    "resent-from",
    "resent-sender",
    "resent-to",
    "resent-cc",
    "resent-bcc",
    "resent-message-id",
}
_RECEIPT = {
    "disposition-notification-to",
    "return-receipt-to",
    "x-confirm-reading-to",
    "generate-delivery-report",
}
_RECEIPT |= {"disposition-notification-options", "x-pmrqc"}
_PRIORITY = {"x-priority", "importance", "priority", "x-msmail-priority", "sensitivity"}
_NORMAL = {"3", "normal", "non-urgent", "", "personal-no", "company-none", "none"}
_NAMED = {"date": "date", "message-id": "message-id", "in-reply-to": "threading", "references": "threading"}


@dataclass(frozen=True, slots=True)
class Header:
    """What the fields say, decoded."""

    subject: str
    originators: tuple[Address, ...]
    sender: tuple[Address, ...]
    reply_to: tuple[Address, ...]
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    options: tuple[tuple[str, bytes], ...]  # the fields by which it chooses them: name and value
    lost: tuple[tuple[str, str, tuple[Field, ...]], ...]  # name of the loss, detail, the first fields to show


def find_visible(fields: Fields, end: int, start: int = -1) -> Leaf | tuple[Leaf, ...]:
    """The ranges of a message or part from its first field on, or from `start`, without its hidden fields."""
    first = start if start >= 0 else min((field.start for field in fields), default=end)
    hidden = [field for field in fields if field.name in HIDDEN]
    starts = [first, *(field.end for field in hidden)]
    ends = [*(field.start for field in hidden), end]
    leaves = tuple(Leaf(start, end, "binary") for start, end in zip(starts, ends, strict=True))
    return leaves[0] if len(leaves) == 1 else leaves


def read_header(fields: Fields) -> Header:
    """Read the fields.

    Raises:
        Unconvertible: there are more addresses than a message may have (5.6.0).
    """
    names = ("from", "sender", "reply-to", "to", "cc", "bcc")
    found = {name: _read_mailboxes(fields, name) for name in names}
    if sum(map(len, found.values())) > limits.ADDRESSES:
        raise limits.refuse("addresses", limits.ADDRESSES)
    subject = make_one_line(decode_unstructured(fields.first("subject") or b""))
    return Header(
        subject=subject,
        originators=found["from"],
        sender=found["sender"],
        reply_to=found["reply-to"],
        to=found["to"],
        cc=found["cc"],
        bcc=found["bcc"],
        options=options.find_options(fields),
        lost=tuple(_find_losses(fields, is_sender_lost=_specs(found["sender"]) != _specs(found["from"]))),
    )


def _read_mailboxes(fields: Fields, name: str) -> tuple[Address, ...]:
    raw = fields.every(name)
    if not raw:
        return ()
    found = read_addresses(raw) if name in _DESTINATIONS else read_originators(raw)
    # A word alone can be a recipient of this host; as an originator it is what a device calls itself.
    if name in _DESTINATIONS:
        is_understood = bool(found)
    else:
        is_understood = any(one.display_name or "@" in one.addr_spec for one in found)
    return found if is_understood else (read_words(raw) or found)


def _specs(addresses: Iterable[Address]) -> set[str]:
    return {(address.addr_spec or address.display_name).lower() for address in addresses}


def _find_losses(fields: Fields, *, is_sender_lost: bool) -> Iterable[tuple[str, str, tuple[Field, ...]]]:
    subject = fields.first("subject") or b""
    if is_guessed(subject) or any(field.recoded and field.name == "subject" for field in fields):
        yield "charset-guessed", "the subject's charset is not declared, unknown, or wrong", ()
    if is_cut(subject.decode("latin-1").strip()):
        yield "damaged", "the subject ends within an encoded-word", ()
    found: dict[str, list[Field]] = {}
    for field in fields:
        if field.name == "sender" and not is_sender_lost:
            continue  # it says what From does
        if name := _classify(field.name, field.value):
            found.setdefault(name, []).append(field)
    for name, lost in found.items():
        shown = [field for field in lost if field.name not in HIDDEN]
        yield name, ", ".join(dict.fromkeys(field.name for field in lost))[:200], tuple(shown[:_MOST_LINES])


def format_field(field: Field) -> str:
    """A field as a line for people to read."""
    return f"{field.name.title()}: {make_one_line(decode_unstructured(field.value))[:_LONGEST_LINE]}"


def _classify(name: str, value: bytes) -> str:
    if name in _CARRIED or name in options.NAMES or name.startswith("content-"):
        return ""
    if name in _NAMED:
        return _NAMED[name]
    if name in _RESENT:
        return "resent-fields"
    if name in _RECEIPT:
        return "receipt-request"
    if name in _PRIORITY:
        words = value.decode("latin-1").lower().split()
        return "" if (words[0] if words else "") in _NORMAL else "priority"
    return "list-fields" if name.startswith("list-") else "other-fields"
