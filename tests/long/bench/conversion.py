"""Time and memory of the conversion, for a scan of 25 MB on the wire and for the worst inputs known.

Run: .venv/bin/python -m tests.long.bench.conversion [NAME...]

Each case runs in a process of its own, on a map of a file, as in the courier: `convert`, then all blocks of
the payload. Memory is RssAnon over what the process had before (the map itself is file-backed and is not
counted).
"""

import json
import mmap
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

MB = 1024 * 1024
FIELDS = b"From: Scan <scan@example.com>\r\nTo: a@example.com\r\nSubject: x\r\nMIME-Version: 1.0\r\n"


def multipart(*parts: bytes, boundary: bytes = b"b", fields: bytes = FIELDS) -> bytes:
    head = fields + b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n'
    return (
        head
        + b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
        + b"--"
        + boundary
        + b"--\r\n"
    )


def scan(size: int = 25 * MB, line: int = 76, end: bytes = b"\r\n") -> bytes:
    import base64

    octets = random.Random(1).randbytes(size * 3 // 4 * line // (line + len(end)))
    encoded = base64.b64encode(octets)
    if line < len(encoded):
        encoded = end.join(encoded[at : at + line] for at in range(0, len(encoded), line))
    part = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n"
    part += b'Content-Disposition: attachment; filename="scan.pdf"\r\n\r\n'
    return multipart(b"Content-Type: text/plain\r\n\r\nscan\r\n", part + encoded)


def text(body: bytes, kind: bytes = b"text/plain; charset=utf-8", encoding: bytes = b"8bit") -> bytes:
    return (
        FIELDS + b"Content-Type: " + kind + b"\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n" + body
    )


def base64_part(body: bytes) -> bytes:
    return multipart(b"Content-Type: image/tiff\r\nContent-Transfer-Encoding: base64\r\n\r\n" + body)


def nested(levels: int) -> bytes:
    message, end = b"", b""
    for level in range(levels):
        message += b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level)
        end = b"\r\n--b%d--" % level + end
    return FIELDS + message + b"\r\nx" * (24 * MB // 3) + end


def field(name: bytes, unit: bytes, size: int = 60 * 1024) -> bytes:
    return FIELDS + (name + b": " + unit * (size // len(unit)) + b"\r\n") * 4 + b"\r\nx"


CASES: dict[str, Callable[[], bytes]] = {
    "scan, 25 MB": scan,
    "base64 in lines of one": lambda: scan(25 * MB, 1),
    "base64 in one line": lambda: scan(25 * MB, 1 << 30),
    "base64 of padding": lambda: base64_part(b"QQ==\r\n" * (4 * MB)),
    "base64 with junk": lambda: base64_part(b"QUJD!?QU-JD\r\n" * (2 * MB)),
    "quoted-printable file": lambda: text(
        b"=00=FFabc=\r\n" * (2 * MB), b"application/pdf", b"quoted-printable"
    ),
    "text, 25 MB": lambda: text(b"the quick brown fox jumps over the lazy dog\r\n" * (25 * MB // 45)),
    "empty lines": lambda: text(b"\r\n" * (12 * MB)),
    "flowed text": lambda: text(b"word \r\n" * (3 * MB), b"text/plain; format=flowed; delsp=yes"),
    "html of brackets": lambda: text(b"<" * (25 * MB), b"text/html"),
    "html of <style": lambda: text(b"<style><!--" * (2 * MB), b"text/html"),
    "html of <body": lambda: text(b"<body " * (4 * MB), b"text/html"),
    "iso-2022-jp, 25 MB": lambda: text(
        b"\x1b$B$3$s$K$A$O\x1b(B\r\n" * MB, b"text/plain; charset=iso-2022-jp"
    ),
    "unlabelled cp932": lambda: text("会議の件\r\n".encode("cp932") * (2 * MB), b"text/plain"),
    "lines of hyphens": lambda: multipart(b"\r\n" + b"--\r\n" * (6 * MB)),
    "almost boundaries": lambda: multipart(b"\r\n" + b"--bb\r\n" * (4 * MB)),
    "a million boundaries": lambda: multipart(*[b"\r\nx"] * 1_000_000),
    "100 levels over 24 MB": lambda: nested(98),
    "QP of spaces": lambda: text(b" " * (25 * MB), b"text/plain", b"quoted-printable"),
    "QP of equals": lambda: text(b"=" * (25 * MB), b"text/plain", b"quoted-printable"),
    "uuencode begins": lambda: text(b"begin 644 a\r\nM\r\n" * (25 * MB // 16)),
    "yEnc begins": lambda: text(b"=ybegin name=a\r\n" * (25 * MB // 16)),
    "subject of encoded-words": lambda: field(b"Subject", b"=?utf-8?q?a?= "),
    "subject of half words": lambda: field(b"Subject", b"=?a?q?x"),
    "addresses, quadratic": lambda: field(b"To", b"a"),
    "addresses in quotes": lambda: field(b"To", b'"<('),
    "addresses of @": lambda: field(b"To", b"a@ "),
    "20,000 addresses": lambda: FIELDS + (b"Cc: " + b"a@b.c, " * 5000 + b"\r\n") * 3 + b"\r\nx",
    "40,000 parameters": lambda: FIELDS + b"Content-Type: text/plain" + b"; a" * 21_000 + b"\r\n\r\nx",
    "folds": lambda: FIELDS + (b"X-A: a\r\n" + b" \r\n" * 21_000) * 3 + b"\r\nx",
    "990 parts of 25 kB": lambda: multipart(
        *[b"Content-Type: text/html\r\n\r\n" + b"<b>\xe9\xe8</b>\r\n" * 1900] * 990
    ),
    "990 sections of folds": lambda: multipart(*[b"X: a\r\n" + b" b\r\n" * 6000 + b"\r\nx"] * 990),
    "winmail.dat of noise": lambda: text(
        b"eJ8+IgAA" + b"AgWQBgAE" * (3 * MB), b"application/ms-tnef", b"base64"
    ),
}


def anonymous() -> int:
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - read a hundred times a second
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))


def measure(path: str) -> None:
    from relay.mail import Conversion, Unconvertible
    from relay.message import convert

    with Path(path).open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    convert(b"From: a@b.c\r\n\r\nx", ["a@b.c"], Conversion())  # imports and tables are not the message's
    before = peak = anonymous()
    running = True

    def watch() -> None:
        nonlocal peak
        while running:
            peak = max(peak, anonymous())
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    sent, refused = 0, ""
    begin = time.perf_counter()
    try:
        converted = convert(content, ["a@example.com"], Conversion(attachment_limit=0))
        middle = time.perf_counter()
        sent = sum(map(len, converted.requests[0].payload.blocks(content)))
    except Unconvertible as unconvertible:
        middle = time.perf_counter()
        refused = unconvertible.reason
    end = time.perf_counter()
    running = False
    watcher.join()
    size = len(content)
    result = {"size": size, "convert": middle - begin, "stream": end - middle, "peak": peak - before}
    print(json.dumps({**result, "sent": sent, "refused": refused}))


def main(names: list[str]) -> None:
    print(f"{'case':26} {'MB':>6} {'convert':>9} {'stream':>9} {'ms/MB':>7} {'peak MB':>8}")
    for name in names or list(CASES):
        with tempfile.NamedTemporaryFile(suffix=".eml") as file:
            file.write(CASES[name]())
            file.flush()
            child = [sys.executable, __file__, "--child", file.name]
            done = subprocess.run(child, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode:
            print(f"{name:26} {done.stderr.strip().splitlines()[-1]}")
            continue
        result = json.loads(done.stdout)
        size = result["size"] / MB
        spent = result["convert"] + result["stream"]
        shown = f"{name:26} {size:6.1f} {result['convert'] * 1000:7.0f}ms {result['stream'] * 1000:7.0f}ms"
        print(
            f"{shown} {spent * 1000 / max(size, 0.1):7.1f} {result['peak'] / MB:8.1f}  {result['refused']}",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        measure(sys.argv[2])
    else:
        os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
        main(sys.argv[1:])
