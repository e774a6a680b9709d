"""What is said of a winmail.dat that is damaged, and what no mail can carry; older streams and their kin."""

import base64
import struct

import pytest

from tests.message.formats.test_tnef import (
    INNER,
    RTF,
    attachment,
    attribute,
    embedded,
    losses,
    message,
    padded,
    properties,
    rtf_property,
    run,
    stream,
    unicode_property,
)

FILE = attachment("a.pdf", b"%PDF-1")
TEXT = unicode_property(0x1000, "本文")


def files(content):
    return [one["filename"] for one in run(content).get("attachments", [])]


def read_within(content):
    """The message that the first file is."""
    return run(base64.b64decode(run(content)["attachments"][0]["data"]))


def flip(octets, what):
    """The stream with one bit of that changed."""
    changed = bytearray(octets)
    changed[changed.index(what)] ^= 1
    return bytes(changed)


BROKEN_PROPERTIES = (
    attribute(2, 0x9002, 6, b"\0" * 14)
    + attribute(2, 0x8010, 1, b"b.pdf\0")
    + attribute(2, 0x800F, 6, b"%PDF-2")
    + attribute(2, 0x9005, 6, b"\xff\xff\0\0\x1f\0\x07\x37\xff\xff")
)
WHOLE = stream(FILE, attachment("b.pdf", b"B" * 300))


@pytest.mark.parametrize(
    ("octets", "text", "names"),
    [
        pytest.param(WHOLE[:-250], b"x", ["a.pdf", "SHORT~1.PDF", "winmail.dat"], id="within a file"),
        pytest.param(WHOLE + b"\2\2", b"x", ["a.pdf", "b.pdf", "winmail.dat"], id="within a head"),
        pytest.param(
            stream(FILE, BROKEN_PROPERTIES, FILE), b"x", ["a.pdf", "b.pdf", "a (2).pdf"], id="props"
        ),
        pytest.param(flip(WHOLE, b"BBBB"), b"x", ["a.pdf", "b.pdf"], id="checksum of a file"),
        pytest.param(
            flip(stream(attribute(1, 0x9003, 6, properties(TEXT)), FILE), "文".encode("utf-16-le")),
            b"x",
            ["a.pdf"],
            id="checksum of the text",
        ),
        pytest.param(b"\0" + WHOLE[1:], b"x", ["winmail.dat"], id="signature"),
        pytest.param(stream(FILE, *[FILE] * 1000), b"x", ["winmail.dat"], id="too many files"),
        pytest.param(
            stream(attribute(1, 0x9003, 6, properties(rtf_property(RTF[:30])))),
            b"",
            ["winmail.dat"],
            id="RTF",
        ),
        pytest.param(
            stream(attribute(1, 0x9003, 6, properties(rtf_property(flip(RTF, b"hel"))))),
            b"",
            ["message.rtf"],
            id="checksum of RTF",
        ),
        pytest.param(
            stream(embedded("m", stream(*INNER, embedded("n", stream(*INNER, FILE)[:-9])))),
            b"x",
            ["m.eml", "winmail.dat"],
            id="message within a message",
        ),
        pytest.param(
            stream(embedded("m", stream(*INNER, embedded("n", b"")))),
            b"x",
            ["m.eml", "winmail.dat"],
            id="none",
        ),
        pytest.param(
            stream(attachment("winmail.dat", WHOLE[:-250])), b"x", ["winmail.dat"], id="winmail.dat within"
        ),
    ],
)
def test_damage_is_named_and_what_can_be_read_is_carried(octets, text, names):
    """A stream that was cut off gave none of its files, and checksums were never compared."""
    content = message(octets, text)
    assert files(content) == names
    assert "damaged" in losses(content)


@pytest.mark.parametrize("filling", [b"", b"\r\n", b"\0" * 40])
def test_what_fills_up_the_end_is_no_damage(filling):
    content = message(WHOLE + filling)
    assert files(content) == ["a.pdf", "b.pdf"]
    assert "damaged" not in losses(content)


@pytest.mark.parametrize(
    "kind",
    [
        "IPM.Microsoft Schedule.MtgReq",
        "IPM.Schedule.Meeting.Canceled",
        "IPM.Appointment",
        "IPM.Contact",
        "IPM.TaskRequest",
    ],
)
@pytest.mark.parametrize("place", ["attribute", "property", "within"])
def test_what_is_more_than_a_mail_goes_along_as_it_is(kind, place):
    """The time of a meeting was lost, with only the usual loss of a second rendering."""
    by_attribute = attribute(1, 0x8008, 7, kind.encode() + b"\0")
    found = {
        "attribute": stream(by_attribute, attribute(1, 0x9003, 6, properties(TEXT))),
        "property": stream(attribute(1, 0x9003, 6, properties(TEXT, unicode_property(0x001A, kind)))),
        "within": stream(embedded("m", stream(by_attribute, *INNER))),
    }[place]
    content = message(found)
    assert files(content)[-1] == "winmail.dat"
    assert "damaged" in losses(content)


@pytest.mark.parametrize("kind", ["IPM.Note", "IPM.Microsoft Mail.Note", "REPORT.IPM.Note.NDR"])
def test_a_mail_is_no_more_than_its_text_and_files(kind):
    content = message(stream(attribute(1, 0x8008, 7, kind.encode() + b"\0"), FILE))
    assert files(content) == ["a.pdf"]
    assert "damaged" not in losses(content)


@pytest.mark.parametrize(
    ("name", "becomes"), [("a.eml", "a.eml"), ("a.msg", "a.eml"), ("a", "a.eml"), ("", "注文書の件.eml")]
)
def test_the_name_of_a_message_within(name, becomes):
    assert files(message(stream(embedded(name, stream(*INNER))))) == [becomes]


def test_who_wrote_a_message_within_and_to_whom():
    """Outlook puts the sender into an attribute, and the recipients, secret ones too, into a table."""
    name, spec = "山田\0".encode("cp932") + b"\0", b"SMTP:yamada@example.co.jp\0"
    sizes = struct.pack("<4H", 4, 0, len(name), len(spec))

    def row(kind, to, address):
        said = struct.pack("<HHI", 3, 0x0C15, kind)
        return properties(said, unicode_property(0x3001, to), unicode_property(0x39FE, address))

    table = [row(1, "花子", "h@example.jp"), row(2, "次郎", "j@example.jp"), row(3, "", "secret@example.jp")]
    inner = stream(
        attribute(1, 0x8000, 0, sizes + name + spec),
        attribute(1, 0x9004, 6, struct.pack("<I", len(table)) + b"".join(table)),
        attribute(1, 0x800C, 2, "本文\0".encode("cp932")),
    )
    content = message(stream(embedded("m", inner)))
    eml = base64.b64decode(run(content)["attachments"][0]["data"])
    fields = eml.partition(b"\r\n\r\n")[0]
    assert all(one in fields for one in (b"yamada@example.co.jp", b"h@example.jp", b"j@example.jp"))
    assert b"secret" not in eml
    assert (read_within(content)["userName"], read_within(content)["body"]) == ("山田", "本文\n")


@pytest.mark.parametrize("codepage", [1252, 0])
def test_a_text_that_is_not_of_its_code_page_is_a_guess(codepage):
    """A Japanese text from an English system was read right, and nothing said that it was guessed."""
    text = "お世話になっております。"
    strings = stream(
        attribute(1, 0x9007, 6, struct.pack("<II", codepage, 0)),
        attribute(1, 0x800C, 2, text.encode("cp932") + b"\0"),
    )
    content = message(strings, text=b"")
    assert run(content)["body"] == text
    assert "charset-guessed" in losses(content)


def test_an_extension_is_kept_where_there_is_no_name():
    octets = attribute(2, 0x9002, 6, b"\0" * 14) + attribute(2, 0x800F, 6, b"x")
    octets += attribute(2, 0x9005, 6, properties(unicode_property(0x3703, ".xdw")))
    assert files(message(stream(octets))) == ["attachment.xdw"]


def test_text_in_the_code_page_as_a_property():
    body = struct.pack("<HHI", 0x1E, 0x1000, 1) + padded("本文\0".encode("cp932"))
    assert run(message(stream(attribute(1, 0x9003, 6, properties(body))), text=b""))["body"] == "本文"
