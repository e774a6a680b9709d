"""Feed the conversion with damaged and crossed golden messages; whatever comes, it must hold its promises.

Run: .venv/bin/python -m tests.long.fuzz.messages --seconds 600 [--seed N] [--atheris] [--corpus DIRECTORY]

Held for every input: no exception but Unconvertible, none caught within either; the payload's length is exact
and its body is JSON without lone surrogates; each data is valid Base64; the time is bounded.
"""

import argparse
import base64
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from relay.mail import Conversion, Unconvertible
from relay.message import convert, destinations, originators
from relay.message.parse import parse
from tests.support import ROOT

GOLDEN = ROOT / "tests" / "golden"
TOKENS = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"--",
    b"--=_b1",
    b"--=_b1--",
    b'"',
    b"\\",
    b";",
    b"=",
    b"=?",
    b"?=",
    b"=?utf-8?b?",
    b"=?iso-2022-jp?b?",
    b"\x1b$B",
    b"\x1b(B",
    b"\x1b(I",
    b"\x0e",
    b"\0",
    b"\xff",
    b"\x80",
    b"<",
    b">",
    b"(",
    b")",
    b",",
    b":",
    b"@",
    b"begin 644 x\r\n",
    b"=ybegin name=x\r\n",
    b"cid:",
    b"Content-Type: ",
    b"multipart/mixed; boundary=",
    b"charset=",
    b"filename*0*=",
    b"filename*=utf-8''%",
    b"message/rfc822",
    b"base64",
    b"quoted-printable",
    b"text/html",
    b"\xef\xbb\xbf",
    b"Content-Transfer-Encoding: x-uuencode\r\n",
    b"application/ms-tnef",
    b"\x78\x9f\x3e\x22",
    b"====",
    b"A" * 500,
    b" " * 300,
]
CONVERSION = Conversion(account_address="me@example.com", attachment_limit=0)
SECONDS_PER_MEGABYTE = 5.0


def load(*directories: Path) -> list[bytes]:
    return [
        path.read_bytes()
        for one in directories
        for path in sorted(one.rglob("*"))
        if path.suffix in {".eml", ".raw"}
    ]


def mutate(octets: bytes, corpus: list[bytes], chance: random.Random) -> bytes:
    data = bytearray(octets)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(data) + 1)
        width = chance.choice([1, 1, 2, 4, 16, 100])
        match chance.randrange(7):
            case 0:
                data[at : at + width] = b""
            case 1:
                data[at:at] = chance.choice(TOKENS)
            case 2:
                data[at : at + width] = chance.choice(TOKENS)
            case 3 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case 4:
                other = chance.choice(corpus)
                begin = chance.randrange(len(other) + 1)
                data[at:at] = other[begin : begin + chance.choice([10, 100, 1000])]
            case 5:
                data[at:at] = bytes(data[at : at + width]) * chance.randint(2, 50)
            case _:
                del data[at:]
    return bytes(data)


def check(content: bytes) -> None:
    """Raise AssertionError, or whatever the code raises, if a promise is broken."""
    begin = time.perf_counter()
    originators(content)
    paths = [one.addr_spec for one in destinations(content)]
    try:
        parse(content)  # convert would catch a fault and carry the original
        converted = convert(content, paths, CONVERSION)
    except Unconvertible as refused:
        if refused.status not in {"5.6.0", "5.3.4"}:
            raise
        return
    for request in converted.requests:
        body = b"".join(request.payload.blocks(content))
        assert len(body) == request.payload.length
        found = json.loads(body)
        json.dumps(found, ensure_ascii=False).encode()  # a lone surrogate raises
        assert found["subject"]
        assert "\n" not in found["subject"] + found.get("userName", "")
        for one in found.get("attachments", []):
            assert base64.b64decode(one["data"], validate=True)
            assert 1 <= len(one["filename"]) <= 250
            assert not set(one["filename"]) & set("/\\\0\r\n")
    spent = time.perf_counter() - begin
    assert spent < 20 + SECONDS_PER_MEGABYTE * len(content) / 1e6, f"{spent:.1f} s"


def run(seconds: float, seed: int, directories: list[Path]) -> int:
    """Fuzz for a while; the number of inputs tried. The input that breaks a promise is written to a file."""
    corpus = load(GOLDEN, *directories)
    chance = random.Random(seed)
    tried = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        content = mutate(chance.choice(corpus), corpus, chance)
        try:
            check(content)
        except BaseException:
            Path("fuzz-failure.eml").write_bytes(content)
            raise
        tried += 1
    return tried


def run_atheris(seconds: float, directories: list[Path]) -> None:
    import atheris

    atheris.instrument_all()
    # The first directory is where new inputs are kept; the others are only read.
    kept = tempfile.mkdtemp(prefix="fuzz-")
    options = [f"-max_total_time={seconds:.0f}", "-max_len=20000", "-timeout=20"]
    atheris.Setup([sys.argv[0], *options, kept, str(GOLDEN), *map(str, directories)], check)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--corpus", type=Path, action="append", default=[])
    parser.add_argument("--atheris", action="store_true", help="coverage-guided; needs the package atheris")
    given = parser.parse_args()
    if given.atheris:
        run_atheris(given.seconds, given.corpus)
        return
    print(f"seed {given.seed}", flush=True)
    print(f"{run(given.seconds, given.seed, given.corpus)} inputs, no promise broken")


if __name__ == "__main__":
    main()
