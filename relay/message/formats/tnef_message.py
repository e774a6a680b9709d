"""A message that was attached within a winmail.dat, as the .eml that any mail program opens."""

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from relay.message.formats.rtf import decompress
from relay.message.formats.tnef import Tnef, TnefFile, read_tnef

_DEEPEST = 5


def make_eml(message: Tnef, depth: int = 0) -> bytes:
    """The message in the form of RFC 5322, with CRLF; what it holds of fields, its text and its files."""
    made = EmailMessage(policy=SMTP)
    if message.sender_name or message.sender:
        made["From"] = _make_address(message.sender_name, message.sender)
    for field, value in (("To", message.to), ("Cc", message.cc)):
        if value:
            # Names, as a rule: what can be read of them is all that is there.
            made[field] = [_make_address(name.strip(), "") for name in value.split(";") if name.strip()]
    made["Subject"] = _clean(message.subject)
    if message.sent is not None:
        made["Date"] = format_datetime(message.sent)
    _set_text(made, message)
    for file in message.files:
        _attach(made, file, depth)
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
    made.set_content(message.text or "", cte="base64")
    rtf = decompress(message.rtf) if message.rtf and not message.text else None
    if rtf:
        made.add_attachment(rtf, "application", "rtf", filename="message.rtf")


def _attach(made: EmailMessage, file: TnefFile, depth: int) -> None:
    name = _clean(file.name)
    inner = read_tnef(file.octets) if file.is_message and depth < _DEEPEST else None
    if inner is not None:
        eml = make_eml(inner, depth + 1)
        made.add_attachment(eml, "application", "octet-stream", filename=f"{name or 'message'}.eml")
        return
    kind, slash, subtype = file.media_type.lower().partition("/")
    usable = (
        slash and (kind + subtype).isascii() and (kind + subtype).replace("-", "").replace(".", "").isalnum()
    )
    made.add_attachment(
        file.octets,
        kind if usable and kind not in {"text", "multipart", "message"} else "application",
        subtype if usable and kind not in {"text", "multipart", "message"} else "octet-stream",
        filename=name or "attachment",
        cid=f"<{_clean(file.content_id)}>" if file.content_id and file.content_id.isascii() else None,
    )
