"""winmail.dat, composed here attribute by attribute."""

import base64
import json
import struct

import pytest

from relay.mail import Conversion
from relay.message import convert
from relay.message.formats.rtf import decompress
from relay.message.formats.tnef import SIGNATURE, read_tnef
from tests.support.at_once import at_once


def attribute(level: int, identity: int, kind: int, data: bytes) -> bytes:
    head = struct.pack("<BHHI", level, identity, kind, len(data))
    return head + data + struct.pack("<H", sum(data) & 0xFFFF)


def padded(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data + b"\0" * (-len(data) % 4)


def unicode_property(tag: int, text: str) -> bytes:
    return struct.pack("<HHI", 0x1F, tag, 1) + padded((text + "\0").encode("utf-16-le"))


def properties(*encoded: bytes) -> bytes:
    return struct.pack("<I", len(encoded)) + b"".join(encoded)


def attachment(name: str, octets: bytes, cid: str = "") -> bytes:
    encoded = [struct.pack("<HHI", 0x03, 0x3705, 1), unicode_property(0x3707, name)]
    encoded.append(struct.pack("<HH", 0x0B, 0x7FFE) + b"\0\0\0\0")
    named = struct.pack("<HH", 0x1F, 0x8001) + b"\0" * 16 + struct.pack("<II", 1, 6) + b"a\0b\0\0\0\0\0"
    encoded.append(named + struct.pack("<I", 1) + padded("x\0".encode("utf-16-le")))
    if cid:
        encoded.append(unicode_property(0x3712, cid))
    return (
        attribute(2, 0x9002, 6, b"\0" * 14)
        + attribute(2, 0x8010, 1, b"SHORT~1.PDF\0")
        + attribute(2, 0x800F, 6, octets)
        + attribute(2, 0x9005, 6, properties(*encoded))
    )


def stream(*attributes: bytes) -> bytes:
    version = attribute(1, 0x9006, 8, b"\0\0\1\0")
    codepage = attribute(1, 0x9007, 6, struct.pack("<II", 932, 0))
    return SIGNATURE + b"\1\0" + version + codepage + b"".join(attributes)


WINMAIL = stream(attachment("見積書.pdf", b"%PDF-1"), attachment("b.txt", b"hello"))


def message(octets: bytes, text: bytes = b"see files\r\n") -> bytes:
    body = base64.encodebytes(octets).replace(b"\n", b"\r\n")
    head = b"From: a@example.com\r\nTo: b@example.com\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    part = b"Content-Type: application/ms-tnef; name=winmail.dat\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    plain = b"--b\r\nContent-Type: text/plain\r\n\r\n" + text
    return head + plain + b"\r\n--b\r\n" + part + body + b"\r\n--b--\r\n"


def run(content: bytes) -> dict:
    converted = convert(content, ["b@example.com"], Conversion())
    return json.loads(b"".join(converted.requests[0].payload.blocks(content)))


def losses(content: bytes) -> list[str]:
    return [one.loss for one in convert(content, ["b@example.com"], Conversion()).losses]


def test_files_are_taken_out():
    body = run(message(WINMAIL))
    found = [(one["filename"], one["fileType"], base64.b64decode(one["data"])) for one in body["attachments"]]
    assert found == [("見積書.pdf", "application/pdf", b"%PDF-1"), ("b.txt", "text/plain", b"hello")]


def test_the_body_within_is_used_when_there_is_no_other():
    props = properties(unicode_property(0x1000, "本文\r\n"))
    assert run(message(stream(attribute(1, 0x9003, 6, props)), text=b""))["body"] == "本文\n"


def test_a_body_in_the_code_page_is_used():
    """Older programs put the text into an attribute of its own ([MS-OXTNEF] §2.1.3.3, attBody), not into a
    property.
    """
    octets = stream(attribute(1, 0x800C, 2, "本文\r\n".encode("cp932") + b"\0"))
    assert run(message(octets, text=b""))["body"] == "本文\n"


def html_stream(octets: bytes, codepage: int = 0, cpid: int = 0) -> bytes:
    """PR_HTML in the charset that it says itself, that PR_INTERNET_CPID says, or that nothing says."""
    encoded = [struct.pack("<HHI", 0x102, 0x1013, 1) + padded(octets)]
    if cpid:
        encoded.insert(0, struct.pack("<HHI", 0x03, 0x3FDE, cpid))
    page = attribute(1, 0x9007, 6, struct.pack("<II", codepage, 0)) if codepage else b""
    return SIGNATURE + b"\1\0" + page + attribute(1, 0x9003, 6, properties(*encoded))


META = '<meta http-equiv="Content-Type" content="text/html; charset={}">'


@pytest.mark.parametrize(
    ("head", "text", "codec", "codepage", "cpid"),
    [
        pytest.param(META.format("gb2312"), "报价", "gb18030", 936, 936, id="all three"),
        pytest.param(META.format("big5"), "報價單", "big5", 1252, 0, id="the html against the code page"),
        pytest.param(META.format("windows-1254"), "şifre değiş", "cp1254", 1252, 1252, id="and against both"),
        pytest.param("", "Příloha č. 5", "iso8859-2", 1250, 28592, id="the property"),
        pytest.param("", "견적", "cp949", 0, 51949, id="a number that is no codec's"),
        pytest.param(META.format("x-none"), "报价", "gb18030", 1252, 936, id="a charset that there is not"),
    ],
)
def test_html_is_read_by_the_charset_that_is_declared(head, text, codec, codepage, cpid):
    """Two words are too few to guess by, and the html has said it, or [MS-OXPROPS] PidTagInternetCodepage."""
    content = message(html_stream((head + text).encode(codec), codepage, cpid), text=b"")
    assert run(content)["body"] == head + text
    assert "charset-guessed" not in losses(content)


@pytest.mark.parametrize(("codec", "codepage"), [("gb18030", 936), ("utf-8", 1252), ("cp1252", 0)])
def test_html_without_a_charset_is_a_guess_and_says_so(codec, codepage):
    """The code page is that of the system's strings, a good guess at the html's, unless that is UTF-8."""
    text = "Größe" if codec == "cp1252" else "报价"
    content = message(html_stream(text.encode(codec), codepage), text=b"")
    assert run(content)["body"] == text
    assert "charset-guessed" in losses(content)


def test_html_that_is_a_unicode_property_is_no_longer_what_it_says():
    """It was text when it was stored, whatever charset the page had before (PidTagBodyHtml)."""
    html = META.format("windows-1254") + "şifre"
    content = message(stream(attribute(1, 0x9003, 6, properties(unicode_property(0x1013, html)))), text=b"")
    assert run(content)["body"] == html


# The two examples of [MS-OXRTFCP] §4.
RTF = bytes.fromhex(
    "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
)
REPEATING = bytes.fromhex("1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0")


def rtf_property(octets: bytes) -> bytes:
    return struct.pack("<HHI", 0x102, 0x1009, 1) + padded(octets)


def test_compressed_rtf():
    """A reference into the dictionary may read what it has itself just written."""
    assert decompress(RTF) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
    assert decompress(REPEATING) == b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"
    assert decompress(struct.pack("<II4sI", 0, 3, b"MELA", 0) + b"{}\n") == b"{}\n"
    assert all(decompress(RTF[:end]) is None for end in range(len(RTF) - 8))


def test_a_text_that_is_rtf_alone_goes_along():
    """Nobody gets an empty mail for one whose only text is in winmail.dat; beside a text it says nothing
    new.
    """
    octets = stream(attribute(1, 0x9003, 6, properties(rtf_property(RTF))))
    (file,) = run(message(octets, text=b""))["attachments"]
    assert (file["filename"], file["fileType"]) == ("message.rtf", "application/rtf")
    assert b"hello world" in base64.b64decode(file["data"])
    assert "attachments" not in run(message(octets))


@pytest.mark.parametrize("props", [properties(), properties(rtf_property(RTF[:30]))], ids=["none", "damaged"])
def test_a_stream_that_says_nothing_readable_goes_along_as_it_is(props):
    """An appointment, or RTF that is cut off: without any other text it must not vanish."""
    (file,) = run(message(stream(attribute(1, 0x9003, 6, props)), text=b""))["attachments"]
    assert file["filename"] == "winmail.dat"


def test_a_message_within():
    inner = stream(attachment("inner.txt", b"deep"))
    body = run(message(stream(attachment("Forwarded", inner))))
    assert [one["filename"] for one in body["attachments"]] == ["inner.txt"]


@pytest.mark.parametrize("cut", range(len(WINMAIL) - 20, len(WINMAIL) - 2, 3))
def test_cut_off_it_is_carried_as_it_is(cut):
    """Beside what can be read of it: it cost the files that were whole."""
    first, *_, last = run(message(WINMAIL[:cut]))["attachments"]
    assert (first["filename"], base64.b64decode(first["data"])) == ("見積書.pdf", b"%PDF-1")
    assert last["filename"] == "winmail.dat"
    assert base64.b64decode(last["data"]) == WINMAIL[:cut]
    assert "damaged" in losses(message(WINMAIL[:cut]))


def test_an_attached_message_that_is_cut_off_is_named():
    inner = stream(*INNER, attachment("a.pdf", b"%PDF" * 20))[:-90]
    content = message(stream(embedded("Order", inner)))
    assert "damaged" in losses(content)
    assert run(content)["attachments"]


@at_once
@pytest.mark.parametrize("at", range(0, len(WINMAIL), 7))
def test_damage_never_raises(at):
    damaged = bytearray(WINMAIL)
    damaged[at] ^= 0xFF
    read_tnef(bytes(damaged))
    assert run(message(bytes(damaged)))["to"] == "b@example.com"


PLACEHOLDER = b"This attachment is a MAPI 1.0 embedded message and is not supported by this mail system.\0"


def embedded(name: str, octets: bytes) -> bytes:
    """An attached message: its stream stands in PidTagAttachDataObject behind the interface's identity."""
    data = struct.pack("<HHI", 0x0D, 0x3701, 1) + padded(b"\x07\x03\x02\0" + b"\0" * 12 + octets)
    return (
        attribute(2, 0x9002, 6, b"\0" * 14)
        + attribute(2, 0x800F, 6, PLACEHOLDER)
        + attribute(2, 0x9005, 6, properties(unicode_property(0x3001, name), data))
    )


INNER = (
    attribute(1, 0x8005, 3, struct.pack("<7H", 2025, 9, 1, 10, 30, 0, 1)),
    attribute(
        1,
        0x9003,
        6,
        properties(
            unicode_property(0x0037, "注文書の件"),
            unicode_property(0x0C1A, "山田"),
            unicode_property(0x5D01, "yamada@example.co.jp"),
            unicode_property(0x0E04, "Hanako; Taro"),
            unicode_property(0x1000, "お世話になっております。\r\n"),
        ),
    ),
)


def test_an_attached_message_becomes_an_eml():
    """It came as 89 octets that say that it is not supported, and its content was lost."""
    inner = stream(*INNER, attachment("a.pdf", b"%PDF-1"))
    (file,) = run(message(stream(embedded("Order", inner))))["attachments"]
    assert (file["filename"], file["fileType"]) == ("Order.eml", "message/rfc822")
    octets = base64.b64decode(file["data"])
    assert octets.count(b"\n") == octets.count(b"\r\n")
    again = run(octets)
    assert (again["subject"], again["userName"]) == ("注文書の件", "山田")
    assert again["body"] == "お世話になっております。\n"
    assert [(one["filename"], base64.b64decode(one["data"])) for one in again["attachments"]] == [
        ("a.pdf", b"%PDF-1")
    ]


def test_a_message_within_an_attached_message():
    inner = stream(*INNER)
    for _ in range(8):
        inner = stream(embedded("deeper", inner))
    (file,) = run(message(inner))["attachments"]
    assert file["filename"] == "deeper.eml"


def test_an_attached_message_without_anything():
    (file,) = run(message(stream(embedded("", stream()))))["attachments"]
    assert file["filename"] == "message.eml"


@pytest.mark.parametrize("name", ["a<b", '"', "山田\r\nBcc: x@example.com", "x@y", ","])
def test_names_of_an_attached_message_cannot_be_fields(name):
    texts = properties(
        unicode_property(0x0C1A, name), unicode_property(0x5D01, name), unicode_property(0x0037, name)
    )
    (file,) = run(message(stream(embedded("m", stream(attribute(1, 0x9003, 6, texts))))))["attachments"]
    assert b"\nBcc" not in base64.b64decode(file["data"])


@pytest.mark.parametrize("object_", [b"", b"\x01 some storage"])
def test_a_message_that_cannot_be_read_goes_along_within_its_winmail(object_):
    content = message(stream(attachment("a.pdf", b"%PDF"), embedded("Order", object_)))
    names = [one["filename"] for one in run(content)["attachments"]]
    assert names[0] == "a.pdf"
    assert names[-1] == "winmail.dat"
    assert "damaged" in losses(content)
