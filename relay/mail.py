"""What a message says, once its MIME is understood, and what of it the API cannot carry."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


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
    security_level: str = ""
    recipients_per_mail: int = 500  # 0: no limit
    attachment_limit: int = 20 * 1024 * 1024  # decoded octets, all together; 0: no limit
    no_subject: str = "(no subject)"
    losses: Mapping[str, Policy] = field(default_factory=lambda: MappingProxyType({}))
    delivery_options: bool = False  # the envelope's: NOTIFY, RET, ENVID or ORCPT were given (RFC 3461)
    envelope: tuple[str, ...] = ()  # all its recipients, where an earlier attempt has served some of them
    bcc_only_to_account: bool = False  # several Bcc and nobody else: `to` is the account's own address
