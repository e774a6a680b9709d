"""Compressed RTF ([MS-OXRTFCP]): the text of an Outlook message that has no other, within winmail.dat."""

import struct
import zlib

# [MS-OXRTFCP] §2.1.2.1: what the dictionary holds at the beginning.
_BEGINNING = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor "
    rb"MS Sans SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0" + b"\r\n"
    rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
_SIZE = 4096  # octets of the dictionary
_MOST = 1024 * 1024  # octets decoded; formatted text is far smaller
_COMPRESSED, _STORED = b"LZFu", b"MELA"


def decompress(octets: bytes) -> bytes | None:
    """The RTF; None when it is none, is cut off, or is longer than any that a person wrote."""
    try:
        size, kind = struct.unpack_from("<4xI4s", octets)
        if size > _MOST or kind not in {_COMPRESSED, _STORED}:
            return None
        return octets[16 : 16 + size] if kind == _STORED else _expand(octets, size)
    except (struct.error, IndexError):
        return None


def is_checked(octets: bytes) -> bool:
    """Whether the octets are all there, and of the checksum that they state ([MS-OXRTFCP] §3.1.3.2).

    Its CRC is that of zlib without the two inversions; RTF that is stored as it is has none.
    """
    try:
        size, kind, checksum = struct.unpack_from("<I4x4sI", octets)
    except struct.error:
        return False
    crc = zlib.crc32(octets[16 : size + 4], 0xFFFFFFFF) ^ 0xFFFFFFFF
    return size + 4 <= len(octets) and bool(checksum == (0 if kind == _STORED else crc))


def _expand(octets: bytes, size: int) -> bytes:
    # The dictionary is a ring; kept as one run of octets, it needs no wrapping around.
    run = bytearray(_BEGINNING)
    first = len(run)
    at = 16
    while len(run) - first < size:
        flags = octets[at]
        at += 1
        for bit in range(8):
            if not flags >> bit & 1:
                run.append(octets[at])
                at += 1
                continue
            offset, length = divmod(octets[at] << 8 | octets[at + 1], 16)
            at += 2
            back = (len(run) - offset) % _SIZE
            if not back:  # the mark of the end
                return bytes(run[first : first + size])
            length += 2
            # What is read may be what this very token writes.
            piece = bytes(run[max(0, len(run) - back) :][:length]).rjust(min(back, length))
            run += (piece * (length // len(piece) + 1))[:length]
    return bytes(run[first : first + size])
