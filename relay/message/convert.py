"""A message → the requests that send it, and what was lost on the way."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from relay.envelope import Buffer
from relay.mail import Address, Attachment, Conversion, Leaf, Loss, Mail, Policy, Unconvertible
from relay.message import limits
from relay.message.addresses import read_addresses
from relay.message.fields import Fields, find_start, read_fields
from relay.message.header import Header
from relay.message.losses import make_loss, policy_of, refuse_loss
from relay.message.names import LONGEST_SUBJECT, count_units, cut_units, make_one_line
from relay.message.notes import find_language, put_first, say_reply_to, say_unreadable
from relay.message.parse import Understood, parse
from relay.message.payload import Payload, make_payload
from relay.message.recipients import assign, split_spec

_LONGEST_NAME = 200  # characters of a sender's display name; the API names no limit


@dataclass(frozen=True, slots=True)
class Request:
    """One call of the API."""

    recipients: tuple[str, ...]  # the envelope's recipients that it serves, as they were given
    payload: Payload


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
    understood = _understand(content)
    mail = _settle_losses(understood, content, conversion)
    mail = _fit_subject(mail, conversion)
    _check_size(mail, conversion)
    destinations = assign(mail.to, mail.cc, forward_paths, conversion)
    requests = tuple(Request(one.serves, make_payload(mail, one, conversion)) for one in destinations)
    losses = mail.losses
    if not forward_paths:
        losses += (_weigh("no-recipient", "neither envelope nor fields name anybody", conversion),)
    return Converted(requests, losses)


def originator(content: Buffer) -> Address | None:
    """The header From's first mailbox; never raises."""
    fields = _read_own_fields(content)
    return next(iter(_read_quietly(fields, "from")), None)


def originators(content: Buffer) -> tuple[Address, ...]:
    """All mailboxes of From, then Sender's; never raises."""
    fields = _read_own_fields(content)
    return (*_read_quietly(fields, "from"), *_read_quietly(fields, "sender"))


def destinations(content: Buffer) -> tuple[Address, ...]:
    """All mailboxes of To, Cc and Bcc, for who has no envelope; never raises."""
    fields = _read_own_fields(content)
    return tuple(address for name in ("to", "cc", "bcc") for address in _read_quietly(fields, name))


def _read_own_fields(content: Buffer) -> Fields:
    try:
        return read_fields(content, find_start(content), len(content))[0]
    except Unconvertible:
        return Fields()


def _read_quietly(fields: Fields, name: str) -> tuple[Address, ...]:
    try:
        return read_addresses(fields.every(name))
    except Unconvertible:
        return ()


def _understand(content: Buffer) -> Understood:
    try:
        return parse(content)
    except Unconvertible:
        raise
    except Exception as trouble:  # noqa: BLE001 - a fault of ours must not cost anybody a message
        return _wrap(content, type(trouble).__name__)


def _wrap(content: Buffer, detail: str) -> Understood:
    """The message as it is, attached to a note."""
    name = "message.eml"
    original = Attachment(name, "message/rfc822", Leaf(0, len(content), "binary"), len(content))
    loss = make_loss("unreadable", detail)
    mail = Mail("", say_unreadable("en"), "text", attachments=(original,), losses=(loss,))
    return Understood(Header("", (), (), (), (), (), (), ()), mail)


def _settle_losses(understood: Understood, content: Buffer, conversion: Conversion) -> Mail:
    """Do about each loss what the configuration says."""
    header, mail = understood.header, understood.mail
    found = [*_address_losses(header, conversion, find_language(mail))]
    found += [(loss.loss, loss.detail, "") for loss in mail.losses]
    found += header.lost
    if any(one.display_name for one in (*header.to, *header.cc)):
        found.append(("recipient-names", "the API takes bare addresses", ""))
    if conversion.delivery_options:
        found.append(("delivery-options", "asked for in the envelope", ""))
    policies = {name: policy_of(name, conversion.losses) for name, _, _ in found}
    for name, detail, _ in found:
        if policies[name] is Policy.REJECT:
            raise refuse_loss(name, detail)
    noted = [number for number, (name, _, line) in enumerate(found) if line and policies[name] is Policy.KEEP]
    body, added = put_first(mail.body, mail.content_type, [found[number][2] for number in noted])
    texts = dict(zip(noted, added, strict=True))
    losses = tuple(
        make_loss(name, detail, texts.get(number, "")) for number, (name, detail, _) in enumerate(found)
    )
    attachments = mail.attachments
    if Policy.ATTACH in policies.values():
        original = Attachment("message.eml", "message/rfc822", Leaf(0, len(content), "binary"), len(content))
        attachments += (original,)
    name = conversion.user_name or (mail.originator.display_name if mail.originator else "")
    user_name = cut_units(make_one_line(name), _LONGEST_NAME)
    return replace(mail, body=body, losses=losses, attachments=attachments, user_name=user_name)


def _address_losses(header: Header, conversion: Conversion, language: str) -> list[tuple[str, str, str]]:
    """Reply-To and From, where a reply would go to somebody else than they say."""
    found = []
    own = {split_spec(conversion.account_address)} if conversion.account_address else set()
    senders = {split_spec(one.addr_spec) for one in header.originators}
    reply_to = [one for one in header.reply_to if "@" in one.addr_spec]
    targets = {split_spec(one.addr_spec) for one in reply_to}
    if targets and targets not in (senders, own):
        found.append(("reply-to", _list(reply_to), say_reply_to(reply_to, language)))
    if own and senders and senders != own:
        line = say_reply_to(header.originators, language) if not found and targets != own else ""
        found.append(("originator", _list(header.originators), line))
    return found


def _list(addresses: Sequence[Address]) -> str:
    return ", ".join(make_one_line(one.addr_spec) for one in addresses)[:200]


def _weigh(name: str, detail: str, conversion: Conversion) -> Loss:
    """A loss that leaves nothing to note."""
    if policy_of(name, conversion.losses) is Policy.REJECT:
        raise refuse_loss(name, detail)
    return make_loss(name, detail)


def _fit_subject(mail: Mail, conversion: Conversion) -> Mail:
    if not mail.subject:
        return replace(mail, subject=conversion.no_subject)
    length = count_units(mail.subject)
    if length <= LONGEST_SUBJECT:
        return mail
    loss = _weigh("subject-cut", f"{length} characters, the API takes {LONGEST_SUBJECT}", conversion)
    return replace(mail, subject=cut_units(mail.subject, LONGEST_SUBJECT), losses=(*mail.losses, loss))


def _check_size(mail: Mail, conversion: Conversion) -> None:
    size = sum(one.size for one in mail.attachments)
    if conversion.attachment_limit and size > conversion.attachment_limit:
        has, most = (f"{octets / limits.MEGABYTE:.1f} MB" for octets in (size, conversion.attachment_limit))
        raise Unconvertible(
            "5.3.4", f"the attachments have {has}, Works takes {most}: scan with fewer pages or less dpi"
        )
