"""winmail.dat: Microsoft's TNEF (MS-OXTNEF), as far as its texts and files go.

A stream of attributes, each with its length and checksum; those of an attachment may hold MAPI properties
with the long file name, or a message as a stream of its own. What is there is read, as far as it goes; what
does not add up is named. Own code, because tnefparse 1.4 does not end on damaged input: of streams with three
octets changed or the end cut off, it soon meets one that keeps it busy for ever.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from relay.message.formats.tnef_properties import read_properties, read_string, read_table
from relay.message.text.charsets import Decoded

SIGNATURE = b"\x78\x9f\x3e\x22"
_LEVELS = {1, 2}  # of the message, of an attachment
_HEAD = struct.Struct("<BHHI")  # level, identity, type, length
_FROM, _SUBJECT, _DATE_SENT, _CLASS, _MESSAGE_TEXT = 0x8000, 0x8004, 0x8005, 0x8008, 0x800C
_MESSAGE_PROPS, _RECIPIENTS, _CODEPAGE = 0x9003, 0x9004, 0x9007
_ATTACH_TITLE, _ATTACH_DATA, _ATTACH_REND, _ATTACHMENT = 0x8010, 0x800F, 0x9002, 0x9005
_OF_FILES = {_ATTACH_TITLE, _ATTACH_DATA, _ATTACHMENT}
# Properties, by the names of [MS-OXPROPS].
_LONG_NAME, _SHORT_NAME, _EXTENSION, _MIME_TAG = 0x3707, 0x3704, 0x3703, 0x370E
_CONTENT_ID, _DATA, _DISPLAY_NAME = 0x3712, 0x3701, 0x3001
_BODY, _BODY_HTML, _BODY_RTF = 0x1000, 0x1013, 0x1009
_INTERNET_CPID = 0x3FDE  # the code page of the html
_MESSAGE_CLASS, _RECIPIENT_TYPE, _SMTP_ADDRESS, _EMAIL_ADDRESS = 0x001A, 0x0C15, 0x39FE, 0x3003
_NAMES = {"subject": (0x0037,), "sender_name": (0x0C1A, 0x0042), "sender": (0x5D01, 0x5D02, 0x0C1F, 0x0065)}
_TO, _CC = 0x0E04, 0x0E03
_NOT_SUPPORTED = b"This attachment is a MAPI 1.0 embedded message"
# Classes of messages whose sense lies in properties that no mail has.
_ITEMS = (
    "ipm.appointment",
    "ipm.contact",
    "ipm.distlist",
    "ipm.microsoft schedule",
    "ipm.schedule",
    "ipm.task",
)
_MOST_FILES = 1000
_DEEPEST = 5  # messages within messages
_SENDER = struct.Struct("<4H")  # type, size of all, of the name, of the address
_FILLING = b"\0\r\n"


class Fault(StrEnum):
    """What is wrong with a stream, or a file of it."""

    NONE = ""
    CUT = "it is cut off or broken"
    CHECKSUM = "its checksum is that of other octets"
    PROPERTIES = "its properties are broken"
    TOO_DEEP = "it is a message too deep within others, or of too many files"


@dataclass(slots=True)
class TnefFile:
    """A file of the stream."""

    name: str = ""
    media_type: str = ""
    content_id: str = ""
    octets: bytes = b""
    message: "Tnef | None" = None  # what it holds, if it is a message
    is_lost: bool = False  # whether it is a message or an object that cannot be read
    damage: Fault = Fault.NONE


@dataclass(slots=True)
class Tnef:
    """What a stream holds that can be carried."""

    files: list[TnefFile] = field(default_factory=list)
    text: Decoded = field(default_factory=lambda: Decoded("", "us-ascii"))
    html: bytes = b""
    charset: str = ""  # of the html, as the stream declares it
    codepage: str = ""  # of the system that made it; its strings are in that
    rtf: bytes = b""  # compressed
    subject: str = ""
    sender_name: str = ""
    sender: str = ""  # an address, as a rule
    to: list[tuple[str, str]] = field(default_factory=list)  # display names and addresses; either may be ""
    cc: list[tuple[str, str]] = field(default_factory=list)
    sent: datetime | None = None  # without a zone
    is_item: bool = False  # whether it is an appointment, a contact or a task
    damage: Fault = Fault.NONE

    def walk(self) -> Iterator["Tnef"]:
        """This one and the messages within it."""
        yield self
        for file in self.files:
            if file.message is not None:
                yield from file.message.walk()


def read_tnef(octets: bytes, depth: int = 0) -> Tnef | None:
    """Read a stream as far as it goes; None when it is none, or holds too many files."""
    if not octets.startswith(SIGNATURE):
        return None
    found = Tnef()
    for identity, data, fault in _read_attributes(octets):
        if identity == _ATTACH_REND:
            if len(found.files) >= _MOST_FILES:
                return None
            found.files.append(TnefFile())
        if found.files and identity in _OF_FILES:
            _take(found.files[-1], identity, data, found.codepage or "cp1252", depth)
            found.files[-1].damage = found.files[-1].damage or fault
        else:
            _take_attribute(found, identity, data)
            found.damage = found.damage or fault
        if fault is Fault.CUT:
            found.damage = fault
    return found


def _read_attributes(octets: bytes) -> Iterator[tuple[int, bytes, Fault]]:
    """Identity and data of each attribute, and what is wrong with it."""
    end = len(octets.rstrip(_FILLING))  # behind the last attribute there may be some
    at = 6  # signature and key
    while at < end:
        level, identity, _, length = _HEAD.unpack_from(octets[at : at + _HEAD.size].ljust(_HEAD.size, b"\0"))
        if level not in _LEVELS or at + _HEAD.size > len(octets):
            yield 0, b"", Fault.CUT
            return
        at += _HEAD.size
        data, checksum = octets[at : at + length], octets[at + length : at + length + 2]
        at += length + 2
        if len(data) < length:
            yield identity, data, Fault.CUT
        else:
            is_wrong = len(checksum) == 2 and struct.unpack("<H", checksum)[0] != sum(data) & 0xFFFF
            yield identity, data, Fault.CHECKSUM if is_wrong else Fault.NONE


def _take(file: TnefFile, identity: int, data: bytes, codepage: str, depth: int) -> None:
    if identity == _ATTACH_DATA:
        file.octets = data
    elif identity == _ATTACH_TITLE:
        file.name = file.name or read_string(data, codepage).text
    else:
        _take_properties(file, data, codepage, depth)


def _take_properties(file: TnefFile, data: bytes, codepage: str, depth: int) -> None:
    properties = read_properties(data, codepage)
    if properties.is_broken:
        file.damage = Fault.PROPERTIES
    file.name = properties.find_text(_LONG_NAME, _DISPLAY_NAME, _SHORT_NAME).text or file.name
    if not file.name and (extension := properties.find_text(_EXTENSION).text):
        file.name = f"attachment{extension}"
    file.media_type = properties.find_text(_MIME_TAG).text.lower() or file.media_type
    file.content_id = properties.find_text(_CONTENT_ID).text.strip("<>") or file.content_id
    whole = properties.octets.get(_DATA, b"")
    # What stands in the other place is then a sentence for programs that cannot read it.
    if whole.startswith(SIGNATURE):
        file.octets = whole
        file.message = read_tnef(whole, depth + 1) if depth < _DEEPEST else None
        file.damage = file.damage or (Fault.NONE if file.message else Fault.TOO_DEEP)
    else:
        file.octets = file.octets or whole
        file.is_lost = file.octets.startswith(_NOT_SUPPORTED)


def _take_attribute(found: Tnef, identity: int, data: bytes) -> None:
    codepage = found.codepage or "cp1252"
    if identity == _CODEPAGE and len(data) >= 4:
        found.codepage = f"cp{struct.unpack_from('<I', data)[0]}"
    elif identity == _SUBJECT:
        found.subject = found.subject or read_string(data, codepage).text
    elif identity == _FROM:
        _take_sender(found, data, codepage)
    elif identity == _DATE_SENT:
        found.sent = _read_date(data)
    elif identity == _CLASS:
        found.is_item = _is_item(read_string(data, codepage).text)
    elif identity == _MESSAGE_TEXT:
        found.text = found.text if found.text.text else read_string(data, codepage)
    elif identity == _RECIPIENTS:
        _take_recipients(found, data, codepage)
    elif identity == _MESSAGE_PROPS:
        _take_message(found, data, codepage)


def _take_message(found: Tnef, data: bytes, codepage: str) -> None:
    properties = read_properties(data, codepage)
    found.damage = Fault.PROPERTIES if properties.is_broken else found.damage
    for name, tags in _NAMES.items():
        setattr(found, name, properties.find_text(*tags).text or getattr(found, name))
    for recipients, tag in ((found.to, _TO), (found.cc, _CC)):
        if not recipients:  # display names, as a rule: what can be read of them is all that is there
            names = properties.find_text(tag).text.split(";")
            recipients += [(name.strip(), "") for name in names if name.strip()]
    found.is_item |= _is_item(properties.find_text(_MESSAGE_CLASS).text)
    text = properties.find_text(_BODY)
    found.text = text if text.text else found.text
    found.rtf = properties.octets.get(_BODY_RTF, b"")
    if html := properties.find_text(_BODY_HTML).text:
        found.html, found.charset = b"\xef\xbb\xbf" + html.encode(), "utf-8"
        return
    found.html = properties.octets.get(_BODY_HTML, b"")
    cpid = properties.numbers.get(_INTERNET_CPID)
    found.charset = f"cp{cpid}" if cpid is not None else ""


def _is_item(message_class: str) -> bool:
    return message_class.lower().startswith(_ITEMS)


def _take_sender(found: Tnef, data: bytes, codepage: str) -> None:
    """The sender by attFrom ([MS-OXTNEF] §2.1.3.3): a display name, and an address behind its type."""
    if len(data) < _SENDER.size:
        return
    _, _, name, address = _SENDER.unpack_from(data)
    texts = data[_SENDER.size :]
    found.sender_name = found.sender_name or read_string(texts[:name], codepage).text
    spec = read_string(texts[name : name + address], codepage).text
    found.sender = found.sender or spec.removeprefix("SMTP:")


def _take_recipients(found: Tnef, data: bytes, codepage: str) -> None:
    """Those of the table of recipients who are no secret."""
    for row in read_table(data, codepage):
        recipients = {1: found.to, 2: found.cc}.get(row.numbers.get(_RECIPIENT_TYPE, 0))
        if recipients is not None:
            spec = row.find_text(_SMTP_ADDRESS, _EMAIL_ADDRESS).text
            recipients.append((row.find_text(_DISPLAY_NAME).text, spec))


def _read_date(data: bytes) -> datetime | None:
    try:
        year, month, day, hour, minute, second = struct.unpack_from("<6H", data)
        return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - none is given
    except (struct.error, ValueError):
        return None
