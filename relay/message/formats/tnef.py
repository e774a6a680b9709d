"""winmail.dat: Microsoft's TNEF (MS-OXTNEF), as far as its files go.

A stream of attributes, each with its length; those of an attachment may hold MAPI properties ([MS-OXTNEF]
§2.1.3.4) with the long file name. Whatever does not add up ends the reading; nothing is believed beyond the
octets there. Own code, because tnefparse 1.4 does not end on damaged input: of streams with three octets
changed or the end cut off, it soon meets one that keeps it busy for ever.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from relay.message.text import charsets

SIGNATURE = b"\x78\x9f\x3e\x22"
_ATTACH_TITLE, _ATTACH_DATA, _ATTACH_REND, _ATTACHMENT = 0x8010, 0x800F, 0x9002, 0x9005
_OF_FILES = {_ATTACH_TITLE, _ATTACH_DATA, _ATTACHMENT}
_MESSAGE_PROPS, _CODEPAGE, _MESSAGE_TEXT = 0x9003, 0x9007, 0x800C
_LONG_NAME, _SHORT_NAME, _MIME_TAG, _CONTENT_ID, _DATA = 0x3707, 0x3704, 0x370E, 0x3712, 0x3701
_BODY, _BODY_HTML, _BODY_RTF, _DISPLAY_NAME = 0x1000, 0x1013, 0x1009, 0x3001
_INTERNET_CPID = 0x3FDE  # the code page of the html ([MS-OXPROPS] PidTagInternetCodepage)
_SUBJECT, _DATE_SENT = 0x8004, 0x8005
# The names of [MS-OXPROPS]: PidTagSubject, PidTagSenderName, …
_TEXTS = {
    "subject": (0x0037,),
    "sender_name": (0x0C1A, 0x0042),
    "sender": (0x5D01, 0x5D02, 0x0C1F, 0x0065),
    "to": (0x0E04,),
    "cc": (0x0E03,),
}
_NOT_SUPPORTED = b"This attachment is a MAPI 1.0 embedded message"
_FIXED = {0x02: 4, 0x03: 4, 0x04: 4, 0x05: 8, 0x06: 8, 0x07: 8, 0x0A: 4, 0x0B: 4, 0x14: 8, 0x40: 8, 0x48: 16}
_LONG, _OBJECT, _STRING8, _UNICODE, _BINARY = 0x03, 0x0D, 0x1E, 0x1F, 0x102
_VARIABLE = {_OBJECT, _STRING8, _UNICODE, _BINARY}
_MOST_FILES = 1000
_MOST_PROPERTIES = 10_000


@dataclass(slots=True)
class TnefFile:
    """A file of the stream."""

    name: str = ""
    media_type: str = ""
    content_id: str = ""
    octets: bytes = b""
    is_message: bool = False  # whether it is a message, as a stream of its own
    is_lost: bool = False  # whether it is a message or an object that cannot be read


@dataclass(slots=True)
class Tnef:
    """What a stream holds that can be carried."""

    files: list[TnefFile]
    text: str = ""
    html: bytes = b""
    charset: str = ""  # of the html, as the stream declares it
    codepage: str = ""  # of the system that made it; its strings are in that
    rtf: bytes = b""  # compressed
    subject: str = ""
    sender_name: str = ""
    sender: str = ""  # an address, as a rule
    to: str = ""  # display names, with semicolons
    cc: str = ""
    sent: datetime | None = None  # without a zone


def read_tnef(octets: bytes) -> Tnef | None:
    """Read a stream; None when it is none, or is cut off."""
    if not octets.startswith(SIGNATURE):
        return None
    found = Tnef([])
    try:
        for identity, data in _read_attributes(octets):
            if identity == _ATTACH_REND:
                if len(found.files) >= _MOST_FILES:
                    return None
                found.files.append(TnefFile())
            elif found.files and identity in _OF_FILES:
                _take(found.files[-1], identity, data, found.codepage or "cp1252")
            else:
                _take_attribute(found, identity, data)
    except (struct.error, IndexError, ValueError):
        return None
    return found


def _take_attribute(found: Tnef, identity: int, data: bytes) -> None:
    codepage = found.codepage or "cp1252"
    if identity == _CODEPAGE and len(data) >= 4:
        found.codepage = f"cp{struct.unpack_from('<I', data)[0]}"
    elif identity == _SUBJECT:
        found.subject = found.subject or _read_string(data, codepage)
    elif identity == _DATE_SENT:
        found.sent = _read_date(data)
    elif identity == _MESSAGE_TEXT:
        found.text = found.text or _read_string(data, codepage)
    elif identity == _MESSAGE_PROPS:
        _take_message(found, data, codepage)


def _read_attributes(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """Identity and data of each attribute.

    Raises:
        ValueError: the stream is cut off.
    """
    at = 6  # signature and key
    while at + 9 <= len(octets):
        identity, length = struct.unpack_from("<HxxI", octets, at + 1)
        at += 9
        if at + length > len(octets):
            raise ValueError("cut off")
        yield identity, octets[at : at + length]
        at += length + 2  # the checksum


def _take(file: TnefFile, identity: int, data: bytes, codepage: str) -> None:
    if identity == _ATTACH_DATA:
        file.octets = data
    elif identity == _ATTACH_TITLE and not file.name:
        file.name = _read_string(data, codepage)
    elif identity == _ATTACHMENT:
        properties = dict(_read_properties(data, codepage))
        for tag in (_LONG_NAME, _DISPLAY_NAME, _SHORT_NAME):
            if isinstance(name := properties.get(tag), str) and name:
                file.name = name
                break
        file.media_type = _string(properties.get(_MIME_TAG)) or file.media_type
        file.content_id = _string(properties.get(_CONTENT_ID)) or file.content_id
        whole = properties.get(_DATA)
        # What stands in the other place is then a sentence for programs that cannot read it.
        if isinstance(whole, bytes) and (not file.octets or whole.startswith(SIGNATURE)):
            file.octets, file.is_message = whole, whole.startswith(SIGNATURE)
        file.is_lost = not file.is_message and file.octets.startswith(_NOT_SUPPORTED)


def _take_message(found: Tnef, data: bytes, codepage: str) -> None:
    properties = dict(_read_properties(data, codepage))
    for name, tags in _TEXTS.items():
        text = next(filter(None, (_string(properties.get(tag)) for tag in tags)), "")
        setattr(found, name, text or getattr(found, name))
    found.text = _string(properties.get(_BODY)) or found.text
    if isinstance(compressed := properties.get(_BODY_RTF), bytes):
        found.rtf = compressed
    value = properties.get(_BODY_HTML, b"")
    cpid = properties.get(_INTERNET_CPID)
    if isinstance(value, str):
        found.html, found.charset = b"\xef\xbb\xbf" + value.encode(), "utf-8"
    else:
        found.html = value
        found.charset = f"cp{struct.unpack('<I', cpid)[0]}" if isinstance(cpid, bytes) else ""


def _read_date(data: bytes) -> datetime | None:
    try:
        year, month, day, hour, minute, second = struct.unpack_from("<6H", data)
        return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - none is given
    except (struct.error, ValueError):
        return None


def _string(value: str | bytes | None) -> str:
    return value if isinstance(value, str) else ""


def _read_string(data: bytes, codepage: str) -> str:
    return charsets.decode(data.split(b"\0")[0], codepage).text


def _read_properties(data: bytes, codepage: str) -> Iterator[tuple[int, str | bytes]]:
    """Tag and value of each property that has octets of its own, and of the code page."""
    count = struct.unpack_from("<I", data)[0]
    at = 4
    for _ in range(min(count, _MOST_PROPERTIES)):
        kind, tag = struct.unpack_from("<HH", data, at)
        at += 4
        if tag >= 0x8000:
            at = _skip_name(data, at)
        several, kind = kind & 0x1000, kind & 0x0FFF
        if kind in _VARIABLE:
            values, at = _read_variable(data, at)
            if values and not several:
                yield tag, _convert(values[0], kind, codepage)
        else:
            number = 1
            if several:
                number = struct.unpack_from("<I", data, at)[0]
                at += 4
            elif (kind, tag) == (_LONG, _INTERNET_CPID):
                yield tag, data[at : at + 4]
            at += number * _FIXED[kind] if kind in _FIXED else len(data)
        if at > len(data):
            return


def _skip_name(data: bytes, at: int) -> int:
    """Past the name of a named property: a GUID, then a number or a string."""
    kind, length = struct.unpack_from("<II", data, at + 16)
    at += 24
    return at + (length + 3) // 4 * 4 if kind == 1 else at


def _read_variable(data: bytes, at: int) -> tuple[list[bytes], int]:
    count = struct.unpack_from("<I", data, at)[0]
    at += 4
    values = []
    for _ in range(min(count, _MOST_PROPERTIES)):
        length = struct.unpack_from("<I", data, at)[0]
        at += 4
        values.append(data[at : at + length])
        at += (length + 3) // 4 * 4
    return values, at


def _convert(value: bytes, kind: int, codepage: str) -> str | bytes:
    if kind == _UNICODE:
        return value.decode("utf-16-le", "replace").split("\0")[0]
    if kind == _STRING8:
        return _read_string(value, codepage)
    return (
        value[16:] if kind == _OBJECT else value
    )  # an object's octets stand behind its interface's identity
