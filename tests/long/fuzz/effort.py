"""Looks for the message that costs the most CPU for its octets.

    python -m tests.long.fuzz.effort [--seconds 300] [--size 32000] [--seed 1] [--inline]

In each place of a message (`tests/support/hostile.py`) a unit of a few fragments is repeated and mutated;
what costs more is kept. Prints the worst of each place: milliseconds, how it grows when the message is four
times as large (more than 4 is more than linear), its size and the unit. With --inline only such messages are
tried as the event loop converts itself. `tests/message/text/test_effort.py` holds the worst of all.
"""

import argparse
import contextlib
import random
import sys
import time

from relay.mail import Conversion, Unconvertible
from relay.message import convert
from relay.message.text import budget
from relay.message.text.effort import costs_little
from tests.support.hostile import PLACES, Hostile

FRAGMENTS = [
    *(
        b"\r\n",
        b" ",
        b"\t",
        b"\r\n ",
        b";",
        b",",
        b":",
        b"=",
        b"*",
        b"'",
        b'"',
        b"\\",
        b"<",
        b">",
        b"(",
        b")",
    ),
    *(
        b"@",
        b"%d",
        b"%c",
        b"%",
        b"-",
        b"--",
        b"?",
        b"=?",
        b"?=",
        b"&",
        b"/",
        b"[",
        b"]",
        b"#",
        b"\0",
        b"a",
        b"A",
        b"1",
    ),
    *(
        b"\x80",
        b"\xe9",
        b"\xe3\x81\x82",
        b"\x82\xa0",
        b"\xa4\xa2",
        b"\xff",
        b"\x1b$B",
        b"\x1b(B",
        b"\x1b(J",
        b"\x0e",
    ),
    *(b"a@b", b"<a@b>", b"a@b,", b'"a" <a@b>,', b"a:b;", b"(a)", b"=?utf-8?q?=41?=", b"=?none-%d?q?=E9%d?="),
    *(
        b"=?euc-kr?b?sKE=?=",
        b"=?iso-2022-jp?b?GyRCJCI=?=",
        b"=?x?b??=",
        b"\r\nTo: a@b",
        b"\r\nX: y",
        b"\r\na:",
    ),
    *(
        b"; name=\xc1%d",
        b"; name*%d*=a",
        b"; a*%d=%%E9",
        b"; a%d*=x''%%E9",
        b"; a%d=b",
        b'; a="\\"',
        b";name=a",
    ),
    *(
        b"\r\n--b\r\n",
        b"\r\n--b--\r\n",
        b"\r\n--b\r\n\r\n",
        b"Content-Type: text/plain\r\n",
        b"Content-Type: a/b",
    ),
    *(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", b"Content-ID: <%d>\r\n", b"\r\n\r\n"),
    *(b"Content-Disposition: attachment; filename=\xe9%d\r\n", b"Content-Location: \xe9%d\r\n", b"x\r\n"),
    *(
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Transfer-Encoding: x-uuencode\r\n",
        b"Content-Type: text/html\r\n",
    ),
    *(
        b"<a>",
        b"</a>",
        b"<!--",
        b"-->",
        b"<p ",
        b" src=a",
        b' src="cid:x@y"',
        b"=cid:",
        b"url(",
        b"&#x27;cid:",
        b"href=z",
    ),
    *(
        b"<style>",
        b"background",
        b"<b",
        b"&amp;",
        b"<<",
        b"<nofill>",
        b"<param>",
        b"> ",
        b">",
        b" \r\n",
        b"-- \r\n",
    ),
    *(
        b"begin 644 a\r\n",
        b"!a\r\n",
        b"end\r\n",
        b"=ybegin name=a\r\n",
        b"=yend",
        b"begin-base64 644 a\r\n",
        b"====",
    ),
    *(b"AAAA", b"AA==", b"=\r\n", b"=E9", b"\x02\x02\x90\0\0\0\0\0\0\0\0", b"\x02\x10\x80\1\0\1\0\0\0\0\0\0"),
]
TO = ["b@example.com"]
HOW = Conversion(account_address="me@example.com", attachment_limit=0)


def measure(message: bytes, *, strict: bool = False) -> float:
    """Seconds of CPU, the least of three."""
    return min(_time(message, strict=strict) for _ in range(3))


def _time(message: bytes, *, strict: bool) -> float:
    began = time.process_time()
    with contextlib.suppress(Unconvertible, budget.TooDearError), budget.bounded(strict=strict):
        convert(message, TO, HOW)
    return time.process_time() - began


def mutate(unit: list[bytes], draw: random.Random) -> list[bytes]:
    unit = list(unit)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(unit) + 1)
        kind = draw.random()
        if kind < 0.55 or not unit:
            unit.insert(at, draw.choice(FRAGMENTS))
        elif kind < 0.8:
            del unit[min(at, len(unit) - 1)]
        else:
            unit[min(at, len(unit) - 1)] = draw.choice(FRAGMENTS)
    return unit[:8] or [draw.choice(FRAGMENTS)]


def climb(place: str, options: argparse.Namespace, draw: random.Random) -> tuple[float, list[bytes], int]:
    """The worst unit for a place that is found in that time, and the size of its message."""
    best: tuple[float, list[bytes], int] = (0.0, [b"a"], options.size)
    ends = time.monotonic() + options.seconds / len(PLACES)
    while time.monotonic() < ends:
        unit = mutate(best[1] if draw.random() < 0.8 else [], draw)
        if not b"".join(unit):
            continue
        # What the event loop takes is limited by its marks, and may be as small as that makes it.
        size = draw.choice([500, 1500, 4000, options.size]) if options.inline else options.size
        message = Hostile(place, b"".join(unit)).make(size)
        if options.inline and not costs_little(message):
            continue
        spent = _time(message, strict=options.inline)
        if spent > best[0] and (spent := measure(message, strict=options.inline)) > best[0]:
            best = (spent, unit, size)
    return best


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--size", type=int, default=32_000, help="octets of each message")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--inline", action="store_true", help="only what the event loop converts itself")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    found = {}
    for place in PLACES:
        spent, unit, size = climb(place, options, draw)
        found[place] = spent, Hostile(place, b"".join(unit)), size
    for place, (spent, hostile, size) in sorted(found.items(), key=lambda one: -one[1][0]):
        grown = measure(hostile.make(4 * size)) / max(spent, 1e-6)
        print(f"{spent * 1000:7.1f} ms  x{grown:4.1f}  {place:16} {size:6} {hostile.unit!r}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
