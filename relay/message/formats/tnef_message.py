"""A message that was attached within a winmail.dat, as the .eml that any mail program opens."""

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from relay.message.formats.rtf import decompress
from relay.message.formats.tnef import Tnef, TnefFile

_ENDS = (".eml", ".msg")


def make_eml_name(file: TnefFile, message: Tnef) -> str:
    """The name of the .eml that a message within becomes."""
    name = file.name or message.subject or "message"
    return (name[:-4] if name.lower().endswith(_ENDS) else name) + ".eml"


def make_eml(message: Tnef) -> bytes:
    """The message in the form of RFC 5322, with CRLF; what it holds of fields, its text and its files."""
    made = EmailMessage(policy=SMTP)
    if message.sender_name or message.sender:
        made["From"] = _make_address(message.sender_name, message.sender)
    for field, recipients in (("To", message.to), ("Cc", message.cc)):
        if recipients:
            made[field] = [_make_address(name, spec) for name, spec in recipients]
    made["Subject"] = _clean(message.subject)
    if message.sent is not None:
        made["Date"] = format_datetime(message.sent)
    _set_text(made, message)
    for file in message.files:
        _attach(made, file)
    return made.as_bytes()


def _make_address(name: str, spec: str) -> Address:
    local, at, domain = _clean(spec).rpartition("@")
    usable = bool(at) and spec.isascii() and not set(local + domain) & set(' <>()[],;:"\\')
    return Address(_clean(name), local if usable else "", domain if usable else "")


def _clean(text: str) -> str:
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _set_text(made: EmailMessage, message: Tnef) -> None:
    if message.html:
        charset = message.charset or message.codepage or "utf-8"
        made.add_attachment(message.html, "text", "html", disposition="inline", params={"charset": charset})
        return
    made.set_content(message.text.text, cte="base64")
    rtf = decompress(message.rtf) if message.rtf and not message.text.text else None
    if rtf:
        made.add_attachment(rtf, "application", "rtf", filename="message.rtf")


def _attach(made: EmailMessage, file: TnefFile) -> None:
    if file.message is not None:
        name = _clean(make_eml_name(file, file.message))
        made.add_attachment(make_eml(file.message), "application", "octet-stream", filename=name)
        return
    kind, slash, subtype = file.media_type.lower().partition("/")
    usable = (
        slash and (kind + subtype).isascii() and (kind + subtype).replace("-", "").replace(".", "").isalnum()
    )
    made.add_attachment(
        file.octets,
        kind if usable and kind not in {"text", "multipart", "message"} else "application",
        subtype if usable and kind not in {"text", "multipart", "message"} else "octet-stream",
        filename=_clean(file.name) or "attachment",
        cid=f"<{_clean(file.content_id)}>" if file.content_id and file.content_id.isascii() else None,
    )
