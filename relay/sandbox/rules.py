"""Every rule of the send-mail call, as strict as its documentation (Works API §1).

Where the documentation leaves a choice the stricter reading holds here: what passes the sandbox
should pass the real one.
"""

import re
from collections.abc import Mapping
from typing import Any

from relay.sandbox.answers import Refusal, invalid, missing
from relay.sandbox.structure import Range

FLAGS = ("isSaveSentMail", "isSaveTracking", "isSendSeparately")
# A property that the documentation does not know is a mistake of the caller.
PROPERTIES = frozenset(
    {"to", "cc", "bcc", "subject", "body", "contentType", "attachments", "userName", "securityLevel", *FLAGS}
)
ATTACHMENT_PROPERTIES = frozenset(("data", "filename", "fileType", "cid", "inline"))
SECURITY_LEVELS = ("General", "Restricted", "Confidential", "Non-business")

# Subjects are cut here without a word; a filename may not be longer. In UTF-16 code units.
SUBJECT_UNITS = 180
FILENAME_UNITS = 250

# One addr-spec, bare: no display-name, no brackets, nothing that splits a list.
_ADDRESS = re.compile(r"[^\s@;,:<>()\[\]\\\"\x00-\x1f\x7f]+@[^\s@;,:<>()\[\]\\\"\x00-\x1f\x7f]+\.?[^\s@;,]*")
_MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+(\s*;.*)?")
_CID = re.compile(r"[A-Za-z0-9@._+-]+")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\x80-\x9f\u2028\u2029]")


def utf16_units(text: str) -> int:
    """The length that the API counts in."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def shown_subject(subject: str) -> str:
    """What a recipient sees of a subject: at most 180 units, never half a character."""
    return subject.encode("utf-16-le", "surrogatepass")[: SUBJECT_UNITS * 2].decode("utf-16-le", "ignore")


def addresses(field: str) -> list[str]:
    """The addresses of `to`, `cc` or `bcc`: joined by semicolons."""
    return [part.strip() for part in field.split(";")] if field.strip() else []


def check_mail(mail: Any) -> Mapping[str, Any]:
    """Hold a body's structure against every rule but those about attachments' data.

    Raises:
        Refusal: the first rule that is broken.
    """
    if not isinstance(mail, dict):
        raise Refusal(400, "BAD_REQUEST", "The body must be a JSON object")
    if unknown := sorted(set(mail) - PROPERTIES):
        raise invalid(f"unknown property: {unknown[0][:40]}")
    for name in ("to", "subject"):
        if mail.get(name) is None:
            raise missing(name)
    for name in ("to", "cc", "bcc"):
        _check_addresses(name, mail)
    _check_text("subject", mail)
    _check_text("userName", mail)
    _check_body(mail)
    _check_choice("contentType", mail, ("html", "text"))
    _check_choice("securityLevel", mail, SECURITY_LEVELS)
    for name in FLAGS:
        _check_flag(name, mail)
    _check_attachments(mail.get("attachments", []))
    return mail


def _check_addresses(name: str, mail: Mapping[str, Any]) -> None:
    if name not in mail:
        return
    field = _string(name, mail[name])
    found = addresses(field)
    if name == "to" and not found:
        raise invalid("to must not be empty")
    for address in found:
        if not _ADDRESS.fullmatch(address) or "=?" in address:
            raise invalid(f"{name} holds something that is not an address")


def _check_text(name: str, holder: Mapping[str, Any], *, most: int = 0) -> None:
    if name not in holder:
        return
    text = _string(name, holder[name])
    units = utf16_units(text)
    if not units:
        raise invalid(f"{name} must not be empty")
    if most and units > most:
        raise Refusal(400, "OUT_OF_RANGE", f"{name} is longer than {most} characters")
    if _CONTROLS.search(text):
        raise invalid(f"{name} holds control characters")


def _check_body(mail: Mapping[str, Any]) -> None:
    # A long body is still a range here; it is read, and so checked, when the mail is kept.
    if "body" in mail and not isinstance(mail["body"], Range):
        _string("body", mail["body"])


def _string(name: str, value: Any) -> str:
    if isinstance(value, Range):
        raise Refusal(400, "OUT_OF_RANGE", f"{name} is too long")
    if not isinstance(value, str):
        raise invalid(f"{name} must be a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise invalid(f"{name} holds half a surrogate pair") from None
    return value


def _check_choice(name: str, mail: Mapping[str, Any], choices: tuple[str, ...]) -> None:
    if name in mail and mail[name] not in choices:
        raise invalid(f"{name} must be one of {', '.join(choices)}")


def _check_flag(name: str, holder: Mapping[str, Any]) -> None:
    if name in holder and not isinstance(holder[name], bool):
        raise invalid(f"{name} must be true or false")


def _check_attachments(attachments: Any) -> None:
    if not isinstance(attachments, list):
        raise invalid("attachments must be an array")
    for number, attachment in enumerate(attachments):
        _check_attachment(f"attachments[{number}]", attachment)


def _check_attachment(place: str, attachment: Any) -> None:
    if not isinstance(attachment, dict):
        raise invalid(f"{place} must be an object")
    if unknown := sorted(set(attachment) - ATTACHMENT_PROPERTIES):
        raise invalid(f"{place}: unknown property: {unknown[0][:40]}")
    for name in ("data", "filename", "fileType"):
        if attachment.get(name) is None:
            raise missing(f"{place}.{name}")
    if not isinstance(attachment["data"], str | Range):
        raise invalid(f"{place}.data must be a string")
    if attachment["data"] == "":
        raise invalid(f"{place}.data must not be empty")
    named = {f"{place}.{name}": value for name, value in attachment.items()}
    _check_text(f"{place}.filename", named, most=FILENAME_UNITS)
    if not _MEDIA_TYPE.fullmatch(_string(f"{place}.fileType", attachment["fileType"])):
        raise invalid(f"{place}.fileType must be a media type")
    _check_flag(f"{place}.inline", named)
    _check_cid(place, attachment)


def _check_cid(place: str, attachment: Mapping[str, Any]) -> None:
    cid = attachment.get("cid")
    if cid is None and "cid" not in attachment:
        if attachment.get("inline"):
            raise missing(f"{place}.cid")
        return
    text = _string(f"{place}.cid", cid)
    if text.lower().startswith("cid:"):
        raise invalid(f"{place}.cid must not begin with cid:")
    if not _CID.fullmatch(text):
        raise invalid(f"{place}.cid must be a token, without brackets")
