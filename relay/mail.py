"""What a message says, once its MIME is understood, and what of it the API cannot carry."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox of an originator or destination field (RFC 5322 §3.4)."""

    display_name: str  # decoded; "" when there is none
    addr_spec: str


@dataclass(frozen=True, slots=True)
class Leaf:
    """The octets of one part's body, where they lie in the content, and how they are encoded."""

    start: int  # offset of the first octet in the content
    end: int  # offset after the last one
    encoding: (
        str  # the content-transfer-encoding, lower case: base64, quoted-printable, 7bit, 8bit, binary, …
    )
    clean_end: int = 0  # up to here the Base64 is strictly valid: whole quanta, no padding; 0: none of it


@dataclass(frozen=True, slots=True)
class Rest:
    """What follows the beginning of a very long body, as a range of the content."""

    start: int  # offset of the first octet
    end: int  # offset after the last one
    length: int  # octets of it in JSON
    codec: str = "us-ascii"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes along, or an inline image."""

    filename: str  # decoded and safe: no path, no controls; 1 to 250 characters
    media_type: str  # type/subtype, lower case, parameters only where they matter (calendar's method)
    # A range of the content, or several one after the other, or octets that were made (TNEF, uuencode).
    source: Leaf | tuple[Leaf, ...] | bytes
    size: int  # decoded octets
    cid: str = ""  # the token that the html refers to; "" unless inline
    inline: bool = False


class Weight(StrEnum):
    """Whether a loss is worth an administrator's attention."""

    USUAL = "usual"  # lost with nearly every message; shown, not counted as trouble
    NOTABLE = "notable"


@dataclass(frozen=True, slots=True)
class Loss:
    """Something that the message said and the API cannot carry (RFC 3463 X.6.4)."""

    loss: str  # a name of the closed list
    detail: str  # one line for the operator; no content of the body
    weight: Weight = Weight.NOTABLE
    added: str = ""  # the text that was put into the body for it, exactly


# As the API spells them; "" is none. Restricted and Confidential mail cannot leave the company.
SecurityLevel = Literal["", "General", "Restricted", "Confidential", "Non-business"]


@dataclass(frozen=True, slots=True)
class Options:
    """What a message asks for by its own fields; None: it does not say."""

    security_level: SecurityLevel | None = None
    send_separately: bool | None = None
    save_sent: bool | None = None
    tracking: bool | None = None


@dataclass(frozen=True, slots=True)
class Mail:
    """A message understood: what a person at a mail program would see."""

    subject: str
    body: str
    content_type: str  # "text" or "html", as the API says it
    user_name: str = ""  # the sender's display name in the request
    originator: Address | None = None  # the first mailbox of From
    reply_to: tuple[Address, ...] = ()
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    losses: tuple[Loss, ...] = ()
    rest: Rest | None = None  # of a body that is too long to be held
    options: Options = Options()  # where the configuration lets the message choose


class Unconvertible(Exception):  # noqa: N818 - a property of the message, not an error of ours
    """This message can never be sent: RFC 3463 status of class 5, and a sentence for a person."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason


class Policy(StrEnum):
    """What to do about a loss (`[losses]` in relay.toml)."""

    KEEP = "keep"  # note it in the body
    DROP = "drop"
    REJECT = "reject"  # 554 5.6.4: conversion with loss is not wanted
    ATTACH = "attach"  # the original message goes along as .eml


@dataclass(frozen=True, slots=True)
class Conversion:
    """How to convert: the account's and the configuration's part in it."""

    account_address: str = ""  # the mailbox that will be the sender; "" for `relay explain` without one
    user_name: str = ""  # the sender's display name; "": the From's
    save_sent: bool = True
    tracking: bool = False
    send_separately: bool = False
    security_level: SecurityLevel = ""
    recipients_per_mail: int = 500  # 0: no limit
    attachment_limit: int = 20 * 1024 * 1024  # decoded octets, all together; 0: no limit
    no_subject: str = "(no subject)"
    losses: Mapping[str, Policy] = field(default_factory=lambda: MappingProxyType({}))
    delivery_options: bool = False  # the envelope's: NOTIFY, RET, ENVID or ORCPT were given (RFC 3461)
    reverse_path: str = ""  # the envelope's; "" is the null one
    envelope: tuple[str, ...] = ()  # all its recipients, where an earlier attempt has served some of them
    options_by_field: bool = False  # the message may choose its options by X-Works fields
    redirected: bool = False  # it goes to others than `envelope` names
    own_name_only: bool = False  # the From's display name may hold no address but the From's own
    bcc_only_to_account: bool = False  # several Bcc and nobody else: `to` is the account's own address


_NOTED = frozenset({Policy.KEEP, Policy.DROP, Policy.REJECT, Policy.ATTACH})
_UNNOTED = frozenset({Policy.DROP, Policy.REJECT, Policy.ATTACH})
_FIXED = frozenset({Policy.DROP})
_WANTED = frozenset({Policy.KEEP, Policy.DROP, Policy.ATTACH})


@dataclass(frozen=True, slots=True)
class Kind:
    """One name of the list."""

    meaning: str
    status: str = "5.6.4"  # RFC 3463 status of the refusal under `reject`
    weight: Weight = Weight.NOTABLE
    default: Policy = Policy.DROP
    policies: frozenset[Policy] = _UNNOTED


USUAL, KEEP = Weight.USUAL, Policy.KEEP
KINDS: Mapping[str, Kind] = {
    "originator": Kind("From is not the account's address", default=KEEP, policies=_NOTED),
    "originator-name": Kind("a From's name with an address that its sender may not show", policies=_FIXED),
    "reply-to": Kind("Reply-To names somebody else", default=KEEP, policies=_NOTED),
    "redirected": Kind(
        "sent to redirect_all in place of its recipients", weight=USUAL, default=KEEP, policies=_WANTED
    ),
    "unreadable": Kind(
        "not understood: the message goes along as message.eml", status="5.6.0", policies=_UNNOTED
    ),
    "no-recipient": Kind("no address at all", status="5.1.3", policies=_FIXED),
    "recipient-address": Kind("an address that the API cannot be given", status="5.1.3", policies=_UNNOTED),
    "resent-fields": Kind("Resent fields", policies=_NOTED),
    "delivery-options": Kind("NOTIFY, RET, ENVID or ORCPT of the envelope", policies=_UNNOTED),
    "text-alternative": Kind("the other renderings of the body", weight=USUAL, policies=_UNNOTED),
    "other-fields": Kind("other header fields", weight=USUAL, policies=_UNNOTED),
    "other-recipients": Kind(
        "addresses of To and Cc that are not in the envelope", weight=USUAL, policies=_NOTED
    ),
    "cc-moved": Kind("Cc stands in To, where Works needs somebody", weight=USUAL, policies=_UNNOTED),
    "recipient-names": Kind("display names of recipients", weight=USUAL, policies=_NOTED),
    "subject-cut": Kind("the subject is longer than 180 characters", policies=_NOTED),
    "date": Kind("Date", weight=USUAL, policies=_NOTED),
    "message-id": Kind("Message-ID", weight=USUAL, policies=_NOTED),
    "threading": Kind("In-Reply-To and References", weight=USUAL, policies=_UNNOTED),
    "signature": Kind("a signature that no longer covers what it signed", default=KEEP, policies=_NOTED),
    "encryption": Kind("encrypted content, carried as files", default=KEEP, policies=_NOTED),
    "empty-attachment": Kind("a file without any octets", policies=_NOTED),
    "attachment-name": Kind("a file name that had to be changed", weight=USUAL, policies=_UNNOTED),
    "charset-guessed": Kind("the charset was not declared, or wrongly", policies=_UNNOTED),
    "damaged": Kind("MIME that was cut off or broken; what is readable is carried", policies=_UNNOTED),
    "external-body": Kind("a part that lies elsewhere", policies=_UNNOTED),
    "partial": Kind("a fragment of a larger message", policies=_UNNOTED),
    "resource-fork": Kind("the Macintosh half of a file", weight=USUAL, policies=_UNNOTED),
    "list-fields": Kind("fields of a mailing list", policies=_UNNOTED),
    "options": Kind("X-Works fields, where a message may not choose its options", policies=_UNNOTED),
    "priority": Kind("importance, priority or sensitivity", policies=_NOTED),
    "receipt-request": Kind("a request for a receipt", policies=_NOTED),
}


def policy_of(name: str, policies: Mapping[str, Policy]) -> Policy:
    """What is to be done about a loss; a name may be given with `-` or `_`."""
    chosen = policies.get(name.replace("-", "_"), policies.get(name))
    return KINDS[name].default if chosen is None else Policy(chosen)


def make_loss(name: str, detail: str, added: str = "") -> Loss:
    """A loss of the list."""
    return Loss(name, detail, KINDS[name].weight, added)


def refuse_loss(name: str, detail: str, *, by: str = "the configuration refuses such mail") -> Unconvertible:
    """The refusal of a message whose loss is not wanted, and who does not want it."""
    return Unconvertible(KINDS[name].status, f"{KINDS[name].meaning} ({detail}); {by}")
