"""A message → the requests that send it, and what was lost on the way."""

import math
import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace

from relay.envelope import Buffer
from relay.mail import Address, Conversion, Loss, Mail, Options, Unconvertible, make_loss, refuse_loss
from relay.message import limits
from relay.message.addresses import read_addresses, read_originators
from relay.message.dumping import dump
from relay.message.fields import Fields, find_start, read_fields
from relay.message.header import Header, read_header
from relay.message.names import cut_units, make_one_line
from relay.message.notes import find_language, say_unreadable
from relay.message.options import find_options, read_options, read_unwanted_losses
from relay.message.parse import Understood, parse
from relay.message.payload import Payload, make_payload
from relay.message.recipients import Recipients
from relay.message.settle import attach_original, settle_losses
from relay.message.text import budget
from relay.message.text.effort import costs_little

# Controls of ISO 646 that are neither white space nor the escapes of ISO 2022.
_NO_TEXT = bytes(sorted(set(range(0x20)) - set(b"\t\n\v\f\r\x0e\x0f\x1a\x1b")))
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")
TOO_MUCH = "TooMuch"  # the detail of a message that took too much to understand
_SAMPLE = 64 * 1024
_PLAIN_FIELDS = 16 * 1024  # octets
# What stands between a display name's words; an address has none of it outside quotes (RFC 5322 §3.2.3).
_ENDS_OF_ADDRESSES = re.compile(r"[\s<>()\[\],;:\"']+")
_LONGEST_NAME = 200  # characters of a sender's display name; the API names no limit


@dataclass(frozen=True, slots=True)
class Request:
    """One call of the API."""

    recipients: tuple[str, ...]  # the envelope's recipients that it serves, as they were given
    payload: Payload
    mailboxes: int  # that Works is to send it to


@dataclass(frozen=True, slots=True)
class Converted:
    """What a message becomes."""

    requests: tuple[Request, ...]
    losses: tuple[Loss, ...]


def convert(content: Buffer, forward_paths: Sequence[str], conversion: Conversion) -> Converted:
    """Convert a message for its envelope's recipients.

    Any octets become requests: what is within the limits and is not understood goes along as `message.eml`.

    Raises:
        Unconvertible: a limit is passed (5.6.0), the files are too large (5.3.4), or the configuration
            refuses a loss (5.6.4).
    """
    return make_requests(make_mail(content, forward_paths, conversion), forward_paths, conversion)


@budget.bounded()
def make_mail(
    content: Buffer, forward_paths: Sequence[str], conversion: Conversion, *, unread: bool = False
) -> Mail:
    """What is the same in all the requests of a message: all that has to be read in it.

    Of To and Cc only those are in it who are recipients, each in the envelope's spelling.

    Args:
        content: the octets.
        forward_paths: the recipients.
        conversion: how it is converted.
        unread: it takes too much to be understood: its body goes along as a file, and is not read.

    Raises:
        Unconvertible: as `convert`.
    """
    understood = _wrap(content, TOO_MUCH) if unread else _understand(content)
    mail = settle_losses(understood, content, conversion, forward_paths)
    mail = _name_sender(mail, conversion)
    _check_size(mail, conversion)
    recipients = Recipients(forward_paths)
    options = Options()
    if conversion.options_by_field:
        options = read_options(understood.header.options)
        _check_losses(mail, read_unwanted_losses(understood.header.options))
    return replace(mail, to=recipients.find_own(mail.to), cc=recipients.find_own(mail.cc), options=options)


def _check_losses(mail: Mail, unwanted: Collection[str]) -> None:
    for loss in mail.losses:
        if loss.loss in unwanted:
            raise refuse_loss(loss.loss, loss.detail, by="its sender refuses that")


def make_requests(mail: Mail, forward_paths: Sequence[str], conversion: Conversion) -> Converted:
    """The requests that send a mail to its envelope's recipients, and to nobody else."""
    if conversion.options_by_field:
        conversion = _apply(mail.options, conversion)
    body = dump(mail.body)
    requests = tuple(
        Request(
            one.serves, make_payload(mail, one, conversion, body), len(one.to) + len(one.cc) + len(one.bcc)
        )
        for one in Recipients(forward_paths).assign(mail.to, mail.cc, conversion)
    )
    return Converted(requests, mail.losses)


def _apply(options: Options, conversion: Conversion) -> Conversion:
    chosen = {name: value for name, value in asdict(options).items() if value is not None}
    return replace(conversion, **chosen)


def check_options(content: Buffer) -> None:
    """Look at the fields by which a message chooses its options.

    Raises:
        Unconvertible: a value is wrong (5.6.0), or a limit is passed.
    """
    fields = read_fields(content, find_start(content), len(content))[0]
    found = find_options(fields)
    read_options(found)
    read_unwanted_losses(found)


def _name_sender(mail: Mail, conversion: Conversion) -> Mail:
    """Give it the display name that recipients see: the configuration's, else the From's."""
    name, losses = conversion.user_name, mail.losses
    if not name and mail.originator is not None:
        name = mail.originator.display_name
        if conversion.own_name_only and _names_another(name, mail.originator.addr_spec):
            name, losses = "", (*losses, make_loss("originator-name", "it holds another address"))
    return replace(mail, user_name=cut_units(make_one_line(name), _LONGEST_NAME), losses=losses)


def name_again(mail: Mail, content: Buffer, conversion: Conversion) -> Mail:
    """A mail that another process has made, with the display name that the configuration allows it.

    Args:
        mail: what it made; its `user_name` may be anything.
        content: the message. Its fields are read, if an address in the name has to be judged by them.
        conversion: how it is converted.
    """
    looks = conversion.own_name_only and _names_another(mail.user_name, "")
    own = originator_address(content) if looks else ""
    return _name_sender(replace(mail, originator=Address(mail.user_name, own)), conversion)


def _names_another(name: str, own: str) -> bool:
    """Whether a display name holds an address beside the mailbox's own, which the door has checked."""
    # Full-width and small @ are @ to whoever folds compatibility characters.
    folded, own = (unicodedata.normalize("NFKC", text).casefold() for text in (name, own))
    words = _ENDS_OF_ADDRESSES.split(folded)
    return any("@" in word and word != own for word in words)


def are_fields_plain(content: bytes) -> bool:
    """Whether the message's own fields are so few and plain that it takes little to read them."""
    start = find_start(content)
    end = content.find(b"\r\n\r\n", start, start + _PLAIN_FIELDS)
    return end >= 0 and costs_little(content[start:end])


def originator(content: Buffer) -> Address | None:
    """The header From's first mailbox; never raises."""
    return next(iter(_read_own(content, read_originators, "from")), None)


def originator_address(content: Buffer) -> str:
    """The address of the header From's first mailbox; "" if there is none. Never raises."""
    author = originator(content)
    return author.addr_spec if author else ""


def originators(content: Buffer) -> tuple[Address, ...]:
    """All mailboxes of From, then Sender's; never raises."""
    return _read_own(content, read_originators, "from", "sender")


def destinations(content: Buffer) -> tuple[Address, ...]:
    """All mailboxes of To, Cc and Bcc, for a message that comes without an envelope; never raises."""
    return _read_own(content, read_addresses, "to", "cc", "bcc")


@budget.bounded()
def _read_own(
    content: Buffer, read: Callable[[list[bytes]], tuple[Address, ...]], *names: str
) -> tuple[Address, ...]:
    """The mailboxes of the message's own fields of those names; nothing of the body is read."""
    try:
        fields: Fields = read_fields(content, find_start(content), len(content))[0]
        return tuple(address for name in names for address in read(fields.every(name)))
    except Unconvertible:
        return ()


def _understand(content: Buffer) -> Understood:
    try:
        understood = parse(content)
        return _wrap(content, "neither fields nor text") if _is_no_message(content) else understood
    except (Unconvertible, budget.TooDearError):
        raise
    except Exception as trouble:  # noqa: BLE001 - a fault of ours must not cost anybody a message
        return _wrap(content, type(trouble).__name__)


def _is_no_message(content: Buffer) -> bool:
    """Whether there is no field at all, and what there is holds octets that no text has: a file, perhaps."""
    sample = bytes(content[:_SAMPLE])
    if sample.startswith(_BYTE_ORDER_MARKS) or len(sample.translate(None, _NO_TEXT)) == len(sample):
        return False
    return not read_fields(content, find_start(content), len(content))[0].fields


def _wrap(content: Buffer, detail: str) -> Understood:
    """The message as it is, attached to a note; its header says what it can all the same."""
    original = attach_original(content)
    header = _read_header(content)
    mail = Mail(
        subject=header.subject,
        body=say_unreadable(find_language(Mail(header.subject, "", "text"), ())),
        content_type="text",
        originator=next(iter(header.originators), None),
        to=header.to,
        cc=header.cc,
        attachments=(original,) if original.size else (),
        losses=(make_loss("unreadable", detail),),
    )
    return Understood(header, mail)


def _read_header(content: Buffer) -> Header:
    """What the message's own fields say; nothing, if they are what cannot be understood."""
    try:
        return read_header(read_fields(content, find_start(content), len(content))[0])
    except (Unconvertible, budget.TooDearError):
        raise
    except Exception:  # noqa: BLE001 - a fault of ours must not cost anybody a message
        return Header("", (), (), (), (), (), (), (), ())


def _check_size(mail: Mail, conversion: Conversion) -> None:
    size = sum(one.size for one in mail.attachments)
    if conversion.attachment_limit and size > conversion.attachment_limit:
        # What is too much is rounded up, what is allowed down: they never read alike.
        has, most = _say_size(size, math.ceil), _say_size(conversion.attachment_limit, math.floor)
        raise Unconvertible(
            "5.3.4", f"the attachments have {has}, Works takes {most}: scan with fewer pages or less dpi"
        )


def _say_size(octets: int, whole: Callable[[float], int]) -> str:
    if octets < limits.MEGABYTE:
        return f"{whole(octets / 1024)} KB"
    return f"{whole(10 * octets / limits.MEGABYTE) / 10:.1f} MB"
