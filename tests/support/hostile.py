"""Messages that cost as much as their octets can: one unit, repeated where it hurts.

`tests.long.fuzz.effort` looks for units; the worst that it found are `WORST`, which tests hold to a bound.
"""

from dataclasses import dataclass

FIELDS = b"From: a@example.com\r\nTo: b@example.com\r\nMIME-Version: 1.0\r\n"
MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
RELATED = (
    b"Content-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n",
    b"\r\n--b\r\nContent-Type: image/png\r\nContent-ID: <x@y>\r\nContent-Location: z/z\r\n\r\nx\r\n--b--\r\n",
)
# Where a unit can stand: what comes before all, what comes behind.
PLACES = {
    "subject": (FIELDS + b"Subject: ", b"\r\n\r\nx"),
    "from": (b"To: b@example.com\r\nFrom: ", b"\r\n\r\nx"),
    "to": (b"From: a@example.com\r\nTo: ", b"\r\n\r\nx"),
    "domain": (b"From: a@example.com\r\nTo: x@", b"\r\n\r\nx"),
    "reply-to": (FIELDS + b"Reply-To: ", b"\r\n\r\nx"),
    "fields": (FIELDS, b"\r\nx"),
    "parameters": (FIELDS + b"Content-Type: a/b; a=b", b"\r\n\r\nx"),
    "disposition": (FIELDS + b"Content-Type: a/b\r\nContent-Disposition: attachment", b"\r\n\r\nx"),
    "parts": (FIELDS + MIXED, b"\r\n--b--\r\n"),
    "part-fields": (FIELDS + MIXED + b"--b\r\n", b"\r\n\r\nx\r\n--b--\r\n"),
    "text": (FIELDS + b"\r\n", b""),
    "text-8bit": (FIELDS + b"Content-Type: text/plain; charset=shift_jis\r\n\r\n", b""),
    "text-2022": (FIELDS + b"Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n", b""),
    "quoted": (FIELDS + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n", b""),
    "base64": (FIELDS + b"Content-Transfer-Encoding: base64\r\n\r\n", b""),
    "base64-file": (FIELDS + b"Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n", b""),
    "flowed": (FIELDS + b"Content-Type: text/plain; format=flowed; delsp=yes\r\n\r\n> x\r\n", b""),
    "enriched": (FIELDS + b"Content-Type: text/enriched\r\n\r\n", b""),
    "html": (FIELDS + b"Content-Type: text/html\r\n\r\n", b""),
    "html-references": (FIELDS + RELATED[0], RELATED[1]),
    "uuencode": (FIELDS + b"\r\nbegin 644 a\r\n", b"\r\n`\r\nend\r\n"),
    "tnef": (FIELDS + b"Content-Type: application/ms-tnef\r\n\r\n\x78\x9f\x3e\x22\x01\x00", b""),
}


@dataclass(frozen=True)
class Hostile:
    """A message of one unit; %d in it is a number that goes up, %c one character after the other."""

    place: str
    unit: bytes

    def make(self, size: int) -> bytes:
        """A message of at most so many octets."""
        before, behind = PLACES[self.place]
        left = size - len(before) - len(behind)
        pieces: list[bytes] = []
        number = 0
        while True:
            character = chr(0x4E00 + number % 20_000).encode()
            piece = self.unit.replace(b"%d", b"%d" % number).replace(b"%c", character)
            left -= len(piece)
            if left < 0 or number > size:
                return before + b"".join(pieces) + behind
            pieces.append(piece)
            number += 1


# The worst that was found, those with a remark before it was mended.
WORST = (
    Hostile(
        "parts", b"--b\r\nContent-Type: a/b; name=\xc1%d\xe9\r\n\r\nx\r\n"
    ),  # 1,390 guesses: 0.5 s for 32 KB
    Hostile("domain", b"%c"),  # a domain of Python's codec for them, in quadratic time: 23 s for 30 KB
    Hostile("to", b"a@b:"),  # words joined again and again: 2 s for 30 KB
    Hostile("to", b"\x82\xa0<< src=a"),
    Hostile("disposition", b"=?euc-kr?b?sKE=?=\x82\xa0%c"),
    Hostile("part-fields", b"\t>\r\nTo: a@ba@b\r\n--b\r\n\r\n"),
    Hostile("from", b"<b"),
    Hostile("reply-to", b",\xe9\x80"),
    Hostile("subject", b"=?none-%d?q?=E9%d?==E9\xa4\xa2\0=?utf-8?q?=41?="),
    Hostile("parameters", b"--><param>=?utf-8?q?=41?=; name=\xc1%d"),
    Hostile("html", b"<a><a>"),
    Hostile("base64", b"=yend"),
    Hostile("to", b"?%c src=a;%c>"),  # domains that Python folds, in the event loop: 25 ms for 4 KB
    Hostile("text-8bit", b"[*Content-Type: x\r\n\xe3\x81\x82"),  # line by line, in the event loop: 10 ms
)
