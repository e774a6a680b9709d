"""What the composers share: small files that are what they say, and parts put together by hand.

Written by hand and not by `email`, because most of these messages are ones that `email` would not write.
"""

import base64
import binascii
import quopri
import struct
import zlib

PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
PDF += b"trailer<</Root 1 0 R>>\n%%EOF\n"
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
JPEG = (
    b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x01\x00\x48\x00\x48\x00\x00" + bytes(range(200)) + b"\xff\xd9"
)
TIFF = (
    b"II*\x00\x08\x00\x00\x00"
    + struct.pack("<HHHII", 1, 0x100, 3, 1, 1728)
    + b"\0\0\0\0"
    + bytes(range(256)) * 2
)
CSV = "番号,品名,数量\r\n1,用紙 A4,500\r\n"


def png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixel = zlib.compress(b"\0\xff\0\0", 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")


PNG = png()


def b64(octets: bytes, width: int = 76) -> bytes:
    text = base64.b64encode(octets)
    return b"\n".join(text[at : at + width] for at in range(0, len(text), width))


def qp(octets: bytes) -> bytes:
    return quopri.encodestring(octets)


def uu(name: bytes, octets: bytes) -> bytes:
    lines = b"".join(binascii.b2a_uu(octets[at : at + 45]) for at in range(0, len(octets), 45))
    return b"begin 644 " + name + b"\n" + lines + b"`\nend\n"


def word(text: str, charset: str = "UTF-8", codec: str = "") -> bytes:
    """An encoded-word in B; `codec` where Python's name differs from the label."""
    return b"=?" + charset.encode() + b"?B?" + base64.b64encode(text.encode(codec or charset)) + b"?="


def jis(text: str) -> bytes:
    """ISO-2022-JP with the characters of code page 932, as Japanese programs write it."""
    out, double = bytearray(), False
    for character in text:
        octets = character.encode("cp932")
        if (len(octets) == 2) != double:
            double = len(octets) == 2
            out += b"\x1b$B" if double else b"\x1b(B"
        out += _to_jis(*octets) if double else octets
    return bytes(out + (b"\x1b(B" if double else b""))


def _to_jis(lead: int, trail: int) -> bytes:
    row = (lead - (0x81 if lead < 0xA0 else 0xC1)) * 2 + 0x21
    if trail >= 0x9F:
        return bytes((row + 1, trail - 0x7E))
    return bytes((row, trail - (0x20 if trail > 0x7F else 0x1F)))


def fields(*lines: str | bytes) -> bytes:
    return b"\n".join(line.encode() if isinstance(line, str) else line for line in lines) + b"\n"


def part(kind: str, body: bytes | str, *more: str | bytes, encoding: str = "7bit") -> bytes:
    octets = body.encode() if isinstance(body, str) else body
    coded = {"base64": b64, "quoted-printable": qp}.get(encoding, bytes)(octets)
    return fields(f"Content-Type: {kind}", f"Content-Transfer-Encoding: {encoding}", *more) + b"\n" + coded


def file(kind: str, name: str, octets: bytes, disposition: str = "attachment") -> bytes:
    line = f'Content-Disposition: {disposition}; filename="{name}"'
    return part(f'{kind}; name="{name}"', octets, line, encoding="base64")


def multi(subtype: str, *parts: bytes, boundary: str = "=_b1", more: str = "", closed: bool = True) -> bytes:
    mark = boundary.encode()
    body = b"".join(b"\n--" + mark + b"\n" + one for one in parts)
    end = b"\n--" + mark + b"--\n" if closed else b"\n"
    return fields(f'Content-Type: multipart/{subtype}; boundary="{boundary}"{more}') + body + end


def mail(*lines: str | bytes, body: bytes, to: str = "Kimura <kimura@example.com>") -> bytes:
    """A message: usual fields, those given, and a part or multipart as body."""
    usual = [
        "From: sender@example.com",
        f"To: {to}",
        "Date: Mon, 03 Jun 2024 09:15:00 +0900",
        "MIME-Version: 1.0",
    ]
    names = {line.split(":" if isinstance(line, str) else b":")[0] for line in lines}  # type: ignore[arg-type]
    names = {name.decode() if isinstance(name, bytes) else name for name in names}
    kept = [line for line in usual if line.split(":")[0] not in names]
    return fields(*kept, *lines) + body
