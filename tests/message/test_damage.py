"""Whatever of a transfer encoding was skipped, left over or cut is named; what can be read is carried."""

import base64
import binascii
import itertools
import json
import quopri
import time
import zlib

import pytest

from relay.mail import Conversion
from relay.message import convert
from relay.message.parse import parse
from tests.support.at_once import at_once

PDF = b"%PDF-1.4\n" + bytes(range(256)) * 3
SIZES = [777, 778, 779, 5000]
TEXT = "本日の会議は午後三時からです。資料は共有フォルダーにあります。"


def octets_of(size: int) -> bytes:
    return (PDF * 7)[:size]


def encode(octets: bytes, encoding: str) -> bytes:
    match encoding:
        case "base64":
            return base64.encodebytes(octets).replace(b"\n", b"\r\n")
        case "base64 unpadded":
            return base64.encodebytes(octets).replace(b"\n", b"\r\n").replace(b"=", b"")
        case "x-uuencode":
            lines = [binascii.b2a_uu(octets[at : at + 45]) for at in range(0, len(octets), 45)]
            return (b"begin 644 a.pdf\n" + b"".join(lines) + b"`\nend\n").replace(b"\n", b"\r\n")
        case _:
            lines = quopri.encodestring(octets).split(b"\n")
            return b"=\r\n".join(
                line.removesuffix(b"=") + b"=0A" * (not line.endswith(b"=")) for line in lines
            )


def send(
    body: bytes, encoding: str, media_type: str = "application/pdf"
) -> tuple[list[bytes], str, str, list[str]]:
    """Files, the name of the first, the body, and what is said of damage."""
    content = b"To: a@example.com\r\nContent-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n%s" % (
        media_type.encode(),
        encoding.split(maxsplit=1)[0].encode(),
        body,
    )
    converted = convert(content, ["a@example.com"], Conversion())
    octets = b"".join(converted.requests[0].payload.blocks(content))
    assert len(octets) == converted.requests[0].payload.length
    found = json.loads(octets)
    files = found.get("attachments", [])
    damages = [loss.detail for loss in converted.losses if loss.loss == "damaged"]
    name = files[0]["filename"] if files else ""
    return [base64.b64decode(one["data"], validate=True) for one in files], name, found["body"], damages


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("encoding", ["base64", "x-uuencode", "quoted-printable"])
def test_what_is_whole_is_no_damage(encoding, size):
    files, _, _, damages = send(encode(octets_of(size), encoding), encoding)
    assert damages == []
    assert files[0].removesuffix(b"\n") == octets_of(size).removesuffix(b"\n")


@at_once
@pytest.mark.parametrize("chunk", [57, 300, 999, 1000, 3000, 3072, 4096, 8190])
@pytest.mark.parametrize("width", [60, 64, 76, 128])
def test_base64_of_an_encoder_that_works_in_chunks(chunk, width):
    """Each ends with a short line of whole quanta: those were left out of the file as text."""
    octets = bytes(binascii.crc32(b"%d" % number) & 0xFF for number in range(20_000))
    pieces = [base64.b64encode(octets[at : at + chunk]) for at in range(0, len(octets), chunk)]
    lines = [piece[at : at + width] for piece in pieces for at in range(0, len(piece), width)]
    files, _, _, damages = send(b"\r\n".join(lines), "base64")
    assert (files == [octets], damages) == (True, [])


@at_once
@pytest.mark.parametrize("size", [777, 5000])
@pytest.mark.parametrize("width", [50, 61, 68, 70, 72, 75, (74, 75, 76), (76, 76, 76, 40, 36), (76, 5, 71)])
def test_base64_that_was_wrapped_anew(width, size):
    """Lines may end anywhere (RFC 2045 §6.8): every second one was taken for text, the file was spoilt."""
    lines = encode(octets_of(size), "base64").split(b"\r\n")
    if isinstance(width, int):
        lines = [line[at : at + width] for line in lines for at in range(0, len(line), width)]
    else:
        whole, lines = b"".join(lines), []
        for number in itertools.count():
            if not whole:
                break
            lines.append(whole[: width[number % len(width)]])
            whole = whole[len(lines[-1]) :]
    files, _, _, damages = send(b"\r\n".join(lines), "base64")
    assert (files == [octets_of(size)], damages) == (True, [])


@at_once
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("octets", [PDF, TEXT.encode() * 20], ids=["format", "other"])
@pytest.mark.parametrize("first", [*range(4, 40, 4), 50, 75])
def test_a_short_first_line_of_base64_is_data(first, octets, size):
    """What follows it is whole without it too, and it was taken for a line of text."""
    encoded = base64.b64encode((octets * 7)[:size])
    lines = [encoded[:first], *(encoded[at : at + 76] for at in range(first, len(encoded), 76))]
    files, _, _, damages = send(b"\r\n".join(lines), "base64")
    assert (files == [(octets * 7)[:size]], damages) == (True, [])


@at_once
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mark", [b">", b"> ", b"> > ", b"| ", b"\t: "])
def test_base64_that_was_quoted_is_read_without_the_marks(mark, size):
    """A decoder ignores what is not of the alphabet (RFC 2045 §6.8), and that is named."""
    lines = encode(octets_of(size), "base64").splitlines(keepends=True)
    files, _, _, damages = send(b"".join(mark + line for line in lines), "base64")
    assert (files == [octets_of(size)], len(damages)) == (True, 1)


LEADS = [
    b"This is a scan, pages=1",
    b"Scanned document",
    b"attachment",
    b"scan",
    b"SCAN",
    b"image001",
    b"page 1",
    b"x=1",
    b"charset=utf-8",
    b"boundary=x\r\nname=a",
    b"[EXTERNAL]",
    b"Scan20250901",
    b"er-Encoding: base64\r\n",
    b'Content-Disposition: attachment; filename="b.pdf"\r\n',
    b'Content-Disposition: attachment; filename="b.pdf"\r\nContent-Description: x\r\n',
]
TAILS = [
    b"-- \r\nThis message was checked for viruses by Example Gateway.",
    b"Regards",
    b"Bob",
    b"DISCLAIMER",
    b"CONFIDENTIAL",
    b"This will work",
    b"_____\r\nlist mailing list\r\nlist@example.com\r\nhttps://example.com/mailman/listinfo/list",
    b"https://example.com/unsubscribe/" + b"a" * 44,
    b"Confidential\r\nTop Secret",
    b".",
    "ウイルスチェック済み".encode(),
]


@at_once
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("lead", LEADS)
def test_lines_in_front_of_base64_are_none_of_it(lead, size):
    """They were decoded with it, or ended the file after a few octets when they held an equals sign."""
    files, name, _, damages = send(lead + b"\r\n" + encode(octets_of(size), "base64"), "base64")
    assert files == [octets_of(size)]
    assert damages
    if b"filename" in lead:
        assert name == "b.pdf"


@at_once
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("encoding", ["base64", "base64 unpadded"])
def test_lines_behind_base64_are_none_of_it(encoding, tail, size):
    files, _, _, damages = send(encode(octets_of(size), encoding) + b"\r\n" + tail, encoding)
    assert files == [octets_of(size)]
    assert damages


@at_once
@pytest.mark.parametrize("text", [TEXT, TEXT + "x", TEXT + "xx"])
@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("encoding", ["base64", "base64 unpadded"])
def test_text_behind_base64_is_shown(encoding, tail, text):
    """A gateway's footer was left out, or decoded to rubbish, and nothing was said of it."""
    body = encode(text.encode(), encoding) + b"\r\n" + tail + b"\r\n"
    _, _, shown, damages = send(body, encoding, "text/plain; charset=utf-8")
    assert shown == text + "\n" + tail.decode().replace("\r\n", "\n") + "\n"
    assert damages


def test_a_banner_before_base64_is_shown_and_fields_are_not():
    encoded = encode(TEXT.encode(), "base64")
    kind = "text/plain; charset=utf-8"
    assert (
        send(b"[EXTERNAL MAIL] be careful\r\n" + encoded, "base64", kind)[2]
        == "[EXTERNAL MAIL] be careful\n" + TEXT
    )
    assert send(b"CAUTION: from outside\r\n" + encoded, "base64", kind)[2] == "CAUTION: from outside\n" + TEXT
    assert send(b"Content-Disposition: inline\r\n\r\n" + encoded, "base64", kind)[2] == TEXT


@pytest.mark.parametrize("words", [b"[attachment removed by policy]", b"The file had a virus.", b"removed"])
def test_words_in_place_of_base64_are_carried_as_words(words):
    """ "[attachment removed]" became a file of 25 octets that no program reads."""
    files, _, _, damages = send(words, "base64")
    assert files == [words]
    assert damages


@pytest.mark.parametrize(
    "octets", [PDF, b"\x89PNG\r\n\x1a\n" + bytes(range(256)), b"PK\x03\x04" + bytes(range(200))]
)
def test_a_file_in_place_of_base64_is_carried_as_it_is(octets):
    """Some of its lines looked like Base64, and a few octets were left of it."""
    files, _, _, damages = send(octets, "base64")
    assert files == [octets]
    assert damages


def split(size: int) -> list[bytes]:
    return encode(octets_of(size), "base64").split(b"\r\n")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("line", [b"--- inserted by a gateway ---", b"inserted", b"From the gateway:", b"x"])
def test_a_line_amid_base64(line, size):
    lines = split(size)
    files, _, _, damages = send(b"\r\n".join([*lines[:3], line, *lines[3:]]), "base64")
    assert files == [octets_of(size)]
    assert damages


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stray", [b"!", b"\0", b"\xff\xfe", b"*&^%$#", b"!!!!\0***"])
def test_octets_that_base64_does_not_have(stray, size):
    lines = split(size)
    lines[3] = lines[3][:10] + stray + lines[3][10:]
    files, _, _, damages = send(b"\r\n".join(lines), "base64")
    assert files == [octets_of(size)]
    assert f"{len(stray)} octets that Base64 does not have" in damages[0]


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 77, 401])
def test_base64_that_is_cut_within_a_quantum(cut):
    encoded = encode(octets_of(779), "base64").rstrip()
    files, _, _, damages = send(encoded[:-cut], "base64")
    assert octets_of(779).startswith(files[0])
    is_whole = len(encoded[:-cut].replace(b"\r\n", b"")) % 4 == 0
    assert bool(damages) is not is_whole


def test_the_checksum_of_openpgps_armour():
    """Its line was decoded as three octets more."""
    encoded = encode(PDF, "base64")
    files, _, _, damages = send(encoded + b"=AAAA\r\n", "base64")
    assert files == [PDF]
    assert "checksum" in damages[0]
    files, _, _, damages = send(b"aGVsbG8=\r\n=R7RI\r\n", "base64")  # RFC 9580 §6.1
    assert files == [b"hello"]


def armor(octets: bytes, checksum: bytes, kind: bytes = b"MESSAGE") -> bytes:
    begin, end = (b"-----%s PGP %s-----\r\n" % (word, kind) for word in (b"BEGIN", b"END"))
    return begin + b"Version: x\r\n\r\n" + encode(octets, "base64") + checksum + b"\r\n" + end


WHOLE = armor(b"hello" * 20, b"=zKGt")


@at_once
@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream", "application/pgp-keys"])
@pytest.mark.parametrize("encoding", ["7bit", "base64"])
@pytest.mark.parametrize(
    ("octets", "is_damaged"),
    [
        (WHOLE, False),
        (WHOLE.replace(b"=zKGt\r\n", b""), False),  # RFC 9580 §6.1: it need not be there
        (b"-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\nhello\r\n" + WHOLE, False),
        (b"Write -----BEGIN PGP MESSAGE----- first.\r\n", False),
        (WHOLE.replace(b"=zKGt", b"=zKGu"), True),
        (WHOLE.replace(b"aGVs", b"aGVt", 1), True),
        (WHOLE.partition(b"-----END")[0], True),
        (WHOLE.partition(b"\r\n=zKGt")[0][:-1] + b"\r\n", True),
        (WHOLE.replace(b"\r\n=zKGt", b"\r\n[cut by a gateway]"), True),
    ],
)
def test_armour_is_held_to_what_it_says(octets, is_damaged, encoding, kind):
    """It goes along as it is; that it was damaged before it came is told."""
    body = encode(octets, "base64") if encoding == "base64" else octets
    files, _, shown, damages = send(body, encoding, kind)
    assert bool(damages) is is_damaged
    assert (files or [shown.replace("\n", "\r\n").encode()]) == [octets]


@pytest.mark.parametrize("octets", [b"=", b"=ZZ", b"a=b c=d", b"=E"])
@pytest.mark.parametrize("media_type", ["text/plain", "application/pdf"])
def test_quoted_printable_that_is_none(octets, media_type):
    _, _, _, damages = send(b"ab=E3=81=82 " + octets + b" c", "quoted-printable", media_type)
    assert "begin no escape" in damages[0]


@pytest.mark.parametrize("number", [1, 2, 5])
@pytest.mark.parametrize("where", ["part", "text"])
def test_a_broken_line_of_uuencode(where, number):
    """It ended the file: 180 of 2,064 octets were sent."""
    lines = encode(octets_of(5000), "x-uuencode").split(b"\r\n")
    for at in range(number):
        lines[5 + 7 * at] = lines[5 + 7 * at][:20] + b"~~~" + lines[5 + 7 * at][23:]
    encoding, kind = ("x-uuencode", "application/pdf") if where == "part" else ("7bit", "text/plain")
    before = b"" if where == "part" else b"see below\r\n"
    files, _, _, damages = send(before + b"\r\n".join(lines), encoding, kind)
    assert len(files[0]) == 5000
    assert files[0][:180] == octets_of(180)
    assert files[0][-180:] == octets_of(5000)[-180:]
    assert f"{number} lines are no uuencode" in damages[0]


@at_once
@pytest.mark.parametrize("at", [1, 2, 9, -6])
@pytest.mark.parametrize("line", [b"-- put in by a gateway --", b"[\xff\xfe]", "検査済み".encode()])
@pytest.mark.parametrize("encoding", ["x-uuencode", "7bit"])
def test_a_line_amid_uuencode(encoding, line, at):
    """It was decoded as a line of the file, and in front of the first one it made a text of all of it."""
    lines = encode(octets_of(5000), "x-uuencode").split(b"\r\n")
    lines[at:at] = [line]
    kind = "application/pdf" if encoding == "x-uuencode" else "text/plain; charset=utf-8"
    files, _, _, damages = send(b"\r\n".join(lines), encoding, kind)
    assert files == [octets_of(5000)]
    assert "1 lines are no uuencode" in damages[0]


@pytest.mark.parametrize("at", [1, 2, 9])
def test_a_line_of_uuencode_that_is_cut(at):
    lines = encode(octets_of(5000), "x-uuencode").split(b"\r\n")
    lines[1:-3] = [line.replace(b" ", b"`") for line in lines[1:-3]]
    lines[at] = lines[at][:30]
    files, _, _, damages = send(b"\r\n".join(lines), "x-uuencode")
    assert (len(files[0]), "1 lines are no uuencode" in damages[0]) == (5000, True)


def test_blanks_that_uuencode_lost_are_no_damage():
    """They are zeros, and some programs take them from the ends of lines (POSIX has ` in their place)."""
    octets = (b"%PDF" + bytes(41)) * 5 + b"end"
    lines = [line.rstrip(b" ") for line in encode(octets, "x-uuencode").split(b"\r\n")]
    assert send(b"\r\n".join(lines), "x-uuencode")[::3] == ([octets], [])


@pytest.mark.parametrize("encoding", ["x-uuencode", "x-yenc"])
@pytest.mark.parametrize(("before", "behind"), [(b"scanned\r\n", b""), (b"", b"-- \r\nscanned\r\n")])
def test_text_beside_a_file_of_a_part_is_named(before, behind, encoding):
    octets = octets_of(400)
    body = (
        encode(octets, encoding)
        if encoding == "x-uuencode"
        else yenc(octets, "line=128 size=400", "size=400")
    )
    files, _, _, damages = send(before + body + behind, encoding)
    assert (files, "text beside it" in damages[0]) == ([octets], True)


@pytest.mark.parametrize("size", SIZES)
def test_begin_base64_without_its_end(size):
    encoded = b"see\r\nbegin-base64 644 a.pdf\r\n" + encode(octets_of(size), "base64")
    files, name, body, damages = send(encoded, "7bit", "text/plain")
    assert (files, name, body) == ([octets_of(size)], "a.pdf", "see\n")
    assert "end is missing" in damages[0]


@at_once
@pytest.mark.parametrize("kind", ["text/plain; charset=utf-8", "text/html; charset=utf-8"])
@pytest.mark.parametrize(
    ("body", "is_named"),
    [
        (base64.encodebytes(TEXT.encode() * 2), True),
        (quopri.encodestring(TEXT.encode()), True),
        (base64.encodebytes(b"a licence key that stands in a text, and nothing else does " * 2), False),
        (base64.encodebytes(TEXT.encode() * 2) + b"is what I got", False),
        (base64.encodebytes(TEXT.encode() * 2)[:-3], False),
        (b"the letter =E3=81=82 is one, and x=1", False),
    ],
)
def test_an_encoding_that_no_field_says_is_named(body, is_named, kind):
    """The field is gone: people got letters that they cannot read. They may be meant, and stay."""
    _, _, shown, damages = send(body.replace(b"\n", b"\r\n"), "7bit", kind)
    assert (shown, bool(damages)) == (body.decode(), is_named)


@pytest.mark.parametrize(
    "text", ["begin-base64 644 times a day\r\nand end", "begin 644 times\r\nthe day\r\nend"]
)
def test_words_that_begin_like_a_file(text):
    assert send(text.encode(), "7bit", "text/plain")[::2] == ([], text.replace("\r\n", "\n"))


def test_uuencode_without_its_end():
    encoded = encode(octets_of(5000), "x-uuencode").partition(b"`\r\nend")[0]
    for before, encoding, kind in ((b"", "x-uuencode", "a/b"), (b"see\r\n", "7bit", "text/plain")):
        files, _, _, damages = send(before + encoded, encoding, kind)
        assert files == [octets_of(5000)]
        assert "end is missing" in damages[0]


def yenc(octets: bytes, head: str, tail: str) -> bytes:
    data = b"".join(
        b"=" + bytes([(octet + 106) % 256])
        if (octet + 42) % 256 in b"\0\r\n="
        else bytes([(octet + 42) % 256])
        for octet in octets
    )
    return f"=ybegin {head} name=a.pdf\r\n".encode() + data + f"\r\n=yend {tail}\r\n".encode()


@pytest.mark.parametrize(
    ("head", "tail", "said"),
    [
        ("line=128 size=100", "size=100 crc32={crc}", ""),
        ("line=128 size=100", "size=100", ""),
        ("line=128 size=101", "size=101", "101 were announced"),
        ("line=128 size=101", "size=100 crc32={crc}", "101 were announced"),
        ("line=128 size=100", "size=99 crc32={crc}", "99 were announced"),
        ("line=128 size=100", "size=100 crc32=deadbeef", "CRC"),
        ("line=128 size=100", "size=100 crc32=00000000", "CRC"),
        ("line=128 size=100", "size=100 crc32=ffffffff{crc}", ""),
    ],
)
def test_yenc_says_its_size_and_its_checksum(head, tail, said):
    octets = octets_of(100)
    body = yenc(octets, head, tail.format(crc=f"{zlib.crc32(octets):08x}"))
    files, _, _, damages = send(b"see\r\n" + body, "8bit", "text/plain")
    assert files == [octets]
    assert said in "".join(damages)
    assert bool(said) == bool(damages)


@pytest.mark.parametrize("encoding", ["8bit", "x-yenc"])
def test_one_part_of_a_yenc_file_is_a_fragment(encoding):
    body = yenc(octets_of(100), "part=2 total=3 line=128 size=300", "size=100 part=2")
    kind = b"text/plain" if encoding == "8bit" else b"application/pdf"
    fields = b"Content-Type: %s\r\nContent-Transfer-Encoding: %s" % (kind, encoding.encode())
    losses = parse(fields + b"\r\n\r\nsee\r\n" + body).mail.losses
    assert ("partial", "part 2 of 3 of a file") in [(loss.loss, loss.detail) for loss in losses]


def test_yenc_without_its_end():
    """It was rubbish in the body."""
    body = yenc(octets_of(600), "line=128 size=600", "").partition(b"\r\n=yend")[0]
    files, name, text, damages = send(b"see\r\n" + body[:400], "8bit", "text/plain")
    assert (name, text, octets_of(600).startswith(files[0])) == ("a.pdf", "see\n", True)
    assert "end is missing" in damages[0]
    about = "=ybegin line=128 size=600 name=a.pdf\r\nis what I see"
    assert send(about.encode(), "8bit", "text/plain")[::2] == ([], about.replace("\r\n", "\n"))


@pytest.mark.parametrize(
    "line", [b"\r\n", b"a\r\n", b"aGVsbG8=\r\n", b"words and words\r\n", b"QUJD", b"=\r\n"]
)
def test_time_is_linear(line):
    begin = time.perf_counter()
    send(line * (2_000_000 // len(line)), "base64")
    assert time.perf_counter() - begin < 30
