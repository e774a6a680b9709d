"""The octets of a part's body, and what is wrong with them: what was skipped, left over or cut is named."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache

from relay.envelope import Buffer
from relay.mail import Leaf
from relay.message.base64_lines import Found, Range, find_base64, find_start
from relay.message.transfer import Damage, decode_blocks, find_clean

Leaves = Leaf | tuple[Leaf, ...]
LONGEST_CHECKED = 1024 * 1024  # octets whose CRC-24 is computed, a quarter of a second at the most
_CRC24 = 0x1864CFB  # RFC 9580 §6.1.1
_CRC24_START = 0xB704CE


@dataclass(slots=True)
class Octets:
    """A body decoded."""

    octets: bytes
    before: bytes = b""  # lines of text that stood in front of its Base64
    behind: bytes = b""  # what stood behind it
    damage: str = ""  # what was wrong, in one line; "" for nothing


@dataclass(slots=True)
class Measured:
    """A body whose octets stay where they are."""

    source: Leaves
    size: int  # decoded octets
    damage: str = ""


@dataclass(slots=True)
class _Located:
    """The leaves that hold a body, and what is beside them."""

    leaves: tuple[Leaf, ...]
    clean: int = 0  # characters of Base64 in the first one that need no look
    found: Found | None = None
    notes: list[str] = field(default_factory=list)


def decode_leaf(content: Buffer, leaf: Leaf, most: int = 0) -> bytes:
    """All octets of a leaf, decoded; or the first ones, when `most` says how many are enough."""
    if most:
        leaf = replace(leaf, end=min(leaf.end, leaf.start + 2 * most))
    return read_octets(content, leaf).octets


def read_octets(content: Buffer, leaf: Leaf) -> Octets:
    """All octets of a leaf, decoded, and what was wrong with them."""
    located = _locate(content, leaf, known=False)
    damage = Damage()
    octets = b"".join(block for one in located.leaves for block in decode_blocks(content, one, damage))
    found = located.found or Found(leaf.start)
    before = b"\r\n".join(_take(content, found.before))
    behind = b"".join(_take(content, [found.behind] if found.behind else []))
    if found.checksum and not is_checked(octets, found.checksum):
        located.notes.append("its checksum is that of other octets")
    return Octets(octets, before, behind, _say(located.notes, damage))


def measure(content: Buffer, leaf: Leaf) -> Measured:
    """The size of a leaf, and where exactly its octets lie.

    One pass, block by block. Base64 that is strictly valid as far as the block goes needs no decoding at all.
    """
    located = _locate(content, leaf, known=True)
    damage = Damage()
    size = located.clean // 4 * 3
    for one in located.leaves:
        dirty = replace(one, start=max(one.start, one.clean_end))
        size += (
            sum(map(len, decode_blocks(content, dirty, damage))) if _is_coded(one) else one.end - one.start
        )
    checksum = located.found.checksum if located.found else b""
    if checksum and size <= LONGEST_CHECKED:
        octets = b"".join(block for one in located.leaves for block in decode_blocks(content, one))
        if not is_checked(octets, checksum):
            located.notes.append("its checksum is that of other octets")
    source = located.leaves[0] if len(located.leaves) == 1 else located.leaves
    return Measured(source, size, _say(located.notes, damage))


def _is_coded(leaf: Leaf) -> bool:
    return leaf.encoding in {"base64", "quoted-printable"}


def _locate(content: Buffer, leaf: Leaf, *, known: bool) -> _Located:
    """Where the octets lie; `known` asks for the part of the Base64 that needs no decoding."""
    if leaf.encoding != "base64":
        return _Located((leaf,))
    found = find_start(content, leaf)
    begun = replace(leaf, start=found.start)
    clean_end, characters = find_clean(content, begun) if known and found.width else (found.start, 0)
    find_base64(content, leaf, found, clean_end)
    characters = characters if found.start == begun.start else 0
    if not found.data:
        note = "it is no Base64, and carried as it is"
        return _Located((replace(leaf, encoding="8bit"),), notes=[note])
    notes = [
        _say_lines(len(found.before), "in front of its Base64"),
        _say_lines(found.between, "amid its Base64"),
        _say_lines(found.lines, "behind its Base64"),
    ]
    first, *others = (Leaf(start, end, "base64") for start, end in found.data)
    if characters:
        first = replace(first, clean_end=clean_end)
    return _Located((first, *others), characters, found, notes)


def _say_lines(number: int, where: str) -> str:
    return f"{number} lines of text {where}" if number else ""


def _say(notes: Iterable[str], damage: Damage) -> str:
    return "; ".join(filter(None, (*notes, str(damage))))


def _take(content: Buffer, ranges: Iterable[Range]) -> list[bytes]:
    return [bytes(content[start:end]) for start, end in ranges]


def is_checked(octets: bytes, checksum: bytes) -> bool:
    """Whether a CRC-24 of OpenPGP's armour is that of the octets (RFC 9580 §6.1); a long one is believed."""
    if len(octets) > LONGEST_CHECKED:
        return True
    crc, table = _CRC24_START, _crc24_table()
    for octet in octets:
        crc = (crc << 8 & 0xFFFFFF) ^ table[crc >> 16 ^ octet]
    return base64.b64decode(checksum) == crc.to_bytes(3, "big")


@cache
def _crc24_table() -> list[int]:
    table = [octet << 16 for octet in range(256)]
    for _ in range(8):
        table = [(crc << 1) ^ (_CRC24 if crc & 0x800000 else 0) for crc in table]
    return table
