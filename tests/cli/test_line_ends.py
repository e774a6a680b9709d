"""A message in a file is understood alike by all commands, whatever its lines end with."""

import io
import sys
from pathlib import Path

import pytest

from relay.cli import explain, send, sendmail
from relay.smtp.data import DataDecoder

WIRE = b"Subject: x\r\nTo: a@b.example\r\n\r\nbody\r\nlast\r\n"
LINE_ENDS = [b"\n", b"\r", b"\r\n", b"\r\r\n"]


def by_explain(octets: bytes, directory: Path) -> bytes:
    path = directory / "m.eml"
    path.write_bytes(octets)
    with explain._open(str(path)) as content:
        return bytes(content)


def by_send(octets: bytes, directory: Path) -> bytes:
    path = directory / "m.eml"
    path.write_bytes(octets)
    with send._read(path) as content:
        return content.read()


def by_sendmail(octets: bytes, monkeypatch) -> bytes:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(octets)))
    return sendmail._read_content(dot_ends=False)


@pytest.mark.parametrize("line_end", LINE_ENDS)
def test_commands_agree_with_the_listener(line_end, tmp_path, monkeypatch):
    """`relay explain` read a file of bare CRs that `relay send` sent as one long field, without a loss."""
    octets = WIRE.replace(b"\r\n", line_end)
    assert DataDecoder().feed(octets + b"x\r\n.\r\n") == WIRE + b"x\r\n"
    assert by_explain(octets, tmp_path) == WIRE
    assert by_send(octets, tmp_path) == WIRE
    assert by_sendmail(octets, monkeypatch) == WIRE


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_a_line_end_between_two_blocks(size, tmp_path, monkeypatch):
    """CR, CR LF and CR CR LF are told apart also where a read ends within one."""
    octets = b"a\r\r\nb\rc\r\n\r\r\n\rd\n"
    monkeypatch.setattr("relay.smtp.data._BLOCK", size)
    assert by_explain(octets, tmp_path) == by_send(octets, tmp_path) == b"a\r\nb\r\nc\r\n\r\n\r\nd\r\n"


@pytest.mark.parametrize(
    ("octets", "kept"),
    [
        (b"a\n.\nb\n", b"a\r\n"),
        (b"a\r.\rb\r", b"a\r\n"),
        (b".\nb\n", b"\r\n"),
        (b"a\n", b"a\r\n"),
        (b"a", b"a"),
    ],
)
def test_a_lone_dot_ends_what_sendmail_reads(octets, kept, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(octets)))
    assert sendmail._read_content(dot_ends=True) == kept
