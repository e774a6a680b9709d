"""The messages that the bench sends: made from a seed, written as they go over the wire after DATA."""

import base64
import quopri
import random
from dataclasses import dataclass
from pathlib import Path

KB, MB = 1024, 1024 * 1024
_FIELDS = (
    b"From: Scanner <scanner@example.com>\r\nTo: Office <office@example.com>\r\nSubject: %s\r\n"
    b"Date: Mon, 06 Jan 2025 09:00:00 +0900\r\nMessage-ID: <%d.1@scanner.example.com>\r\n"
    b"MIME-Version: 1.0\r\n"
)
_BOUNDARY = b"----=_Part_0_1736121600"
_PAGE_BEGIN = (
    '<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>Order</title></head>\n'
    '<body><img src="cid:logo@example.com" alt="Example"><table>\n'
)
_PAGE_ROW = (
    '<tr style="border-bottom:1px solid #dddddd"><td style="padding:4px 8px">注文番号 %05d</td>'
    '<td style="padding:4px 8px;text-align:right">Product name, 2 pieces</td>'
    '<td><a href="https://shop.example.com/orders?id=%05d&amp;lang=ja">12,800円</a></td></tr>\n'
)
_LINE = 57  # octets that make a Base64 line of 76 columns (RFC 2045 §6.8)


@dataclass(frozen=True)
class Message:
    """One file: content, dots stuffed, with the CRLF.CRLF behind it."""

    name: str
    path: Path
    size: int  # octets of the content, without the end mark
    limit: bool = False  # whether it is larger than the relay takes


def _fields(number: int) -> bytes:
    return _FIELDS % (b"Scanned document", number)


def small(size: int) -> bytes:
    """What cron and monitoring send: plain text."""
    head = _fields(size) + b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
    line = b"2025-01-06 09:00:00 backup of /srv finished, 1,204 files, no errors\r\n"
    return (head + line * (size // len(line) + 1))[: size - 2] + b"\r\n"


def scan(size: int) -> bytes:
    """What a multifunction printer sends: a short text and a PDF in Base64 lines of 76 columns."""
    head = (
        _fields(size)
        + b'Content-Type: multipart/mixed; boundary="'
        + _BOUNDARY
        + b'"\r\n\r\n--'
        + _BOUNDARY
        + b"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nOne document was scanned.\r\n--"
        + _BOUNDARY
        + b'\r\nContent-Type: application/pdf; name="scan.pdf"\r\nContent-Transfer-Encoding: base64\r\n'
        b'Content-Disposition: attachment; filename="scan.pdf"\r\n\r\n'
    )
    tail = b"\r\n--" + _BOUNDARY + b"--\r\n"
    lines = (size - len(head) - len(tail)) // 78
    return head + _encode(b"%PDF-1.7\n" + random.Random(size).randbytes(lines * _LINE - 9)) + tail


def page(size: int) -> bytes:
    """What shops and applications send: html in quoted-printable, and its logo beside it."""
    delimiter = b"--" + _BOUNDARY
    head = b"\r\n".join(
        (
            _fields(size) + b'Content-Type: multipart/related; boundary="' + _BOUNDARY + b'"\r\n',
            delimiter,
            b"Content-Type: text/html; charset=utf-8",
            b"Content-Transfer-Encoding: quoted-printable\r\n\r\n",
        )
    )
    tail = b"\r\n".join(
        (
            delimiter,
            b"Content-Type: image/png; name=logo.png",
            b"Content-Transfer-Encoding: base64",
            b"Content-ID: <logo@example.com>\r\n",
            _encode(b"\x89PNG\r\n\x1a\n" + random.Random(size).randbytes(8 * KB)),
            delimiter + b"--\r\n",
        )
    )
    text, left = _PAGE_BEGIN, size - len(head) - len(tail)
    number, body = 0, b""
    while len(body) < left:
        number += left // 50
        text += "".join(_PAGE_ROW % (row, row) for row in range(number - left // 50, number))
        body = quopri.encodestring(text.encode()).replace(b"\n", b"\r\n")
    end = body.rindex(b"\r\n<tr", 0, left) + 2
    return head + body[:end] + b"</table></body></html>\r\n" + tail


def _encode(octets: bytes) -> bytes:
    """Base64 in lines of 76 columns."""
    data = base64.b64encode(octets)
    return b"\r\n".join(data[at : at + 76] for at in range(0, len(data), 76))


def empty_lines(size: int) -> bytes:
    head = _fields(size) + b"Content-Type: text/plain\r\n\r\n"
    return head + b"\r\n" * ((size - len(head)) // 2)


def one_line(size: int) -> bytes:
    head = _fields(size) + b"Content-Type: text/plain\r\n\r\n"
    return head + b"x" * (size - len(head))


def write(folder: Path, name: str, content: bytes) -> Message:
    """Keep a message as it goes over the wire."""
    path = folder / name.replace(" ", "-")
    with path.open("wb") as file:
        file.write(content.replace(b"\r\n.", b"\r\n.."))
        file.write(b".\r\n" if content.endswith(b"\r\n") else b"\r\n.\r\n")
    return Message(name, path, len(content))


def name_size(size: int) -> str:
    return f"{size // MB} MB" if size >= MB else f"{size // KB} KB"


def of_size(folder: Path, size: int) -> Message:
    """A message of the bench's usual shape for this size."""
    content = small(size) if size < 16 * KB else scan(size)
    return write(folder, name_size(size), content)


def page_of_size(folder: Path, size: int) -> Message:
    """An html page of this size."""
    return write(folder, f"{name_size(size)} html", page(size))
