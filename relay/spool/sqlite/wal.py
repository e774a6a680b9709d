"""Reads an SQLite database's log (its WAL) past a bad frame, where SQLite itself ends.

SQLite takes a log up to the first frame that is not what was written and forgets the rest without a word.
Each frame can be verified by itself: its checksum begins with the one that stands in the frame before it.
Source: https://www.sqlite.org/fileformat2.html#the_write_ahead_log and walformat.html. Pure.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from relay.spool.sqlite.pages import USUAL_SIZE

_MAGIC = 0x377F0682  # its last bit: the checksums are big-endian
_HEAD, _FRAME_HEAD = 32, 24  # octets
_INDEX_HEAD = 48  # octets of the header of the log's index (the -shm file), which stands there twice
_WORD = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class _Frame:
    number: int  # of the page
    commits: bool  # the last frame of a transaction
    salt: bytes  # the same in all frames since the log last began anew
    checksum: tuple[int, int]
    head: bytes
    page: bytes

    def proves_itself(self, seed: tuple[int, int], order: str) -> bool:
        """Whether it is what was written after a frame with this checksum."""
        return _sum(self.head[:8] + self.page, seed, order) == self.checksum


@dataclass(slots=True)
class Log:
    """What the frames of a log tell."""

    pages: dict[int, bytes] = field(default_factory=dict)  # the newest octets of each page that can be read
    broken: int = 0  # frames that are not what was written: older octets stand for them


def read_log(octets: bytes, size: int = USUAL_SIZE) -> Log:
    """Every committed frame that can be read.

    Args:
        octets: of the log.
        size: of a page.
    """
    log = Log()
    frames = list(_committed(octets, size))
    order = ">" if octets[:4] == (_MAGIC | 1).to_bytes(4) else "<"
    seed: tuple[int, int] | None = struct.unpack(">II", octets[24:_HEAD]) if frames else None
    salt = _find_salt(octets, size)
    for frame in frames:
        named = frame.salt == salt
        if named and (seed is None or frame.proves_itself(seed, order)):
            log.pages[frame.number] = frame.page
        else:
            log.broken += 1
        # The checksum in a frame of another salt is chance: the next frame cannot be held against it.
        seed = frame.checksum if named else None
    return log


def count_committed(octets: bytes, size: int = USUAL_SIZE) -> int:
    """How many frames were committed, those that SQLite does not read included."""
    return sum(1 for _ in _committed(octets, size))


def read_index(octets: bytes) -> tuple[int, int]:
    """The number of committed frames and the size of a page, as the log's index says; 0, 0: it says nothing.

    SQLite writes the index after it flushed the frames, so it never promises what was not there.
    """
    head, again = octets[:_INDEX_HEAD], octets[_INDEX_HEAD : 2 * _INDEX_HEAD]
    if len(again) < _INDEX_HEAD or head != again or not head[12]:
        return 0, 0
    size, frames = struct.unpack("=HI", head[14:20])
    return frames, 65536 if size == 1 else size


def end_of(frames: int, size: int) -> int:
    """The octets of a log of so many frames."""
    return _HEAD + frames * (_FRAME_HEAD + size) if frames else 0


def _committed(octets: bytes, size: int) -> Iterator[_Frame]:
    """The frames up to the last one that ends a transaction, bad ones included."""
    salt, pending = _find_salt(octets, size), list[_Frame]()
    for frame in _frames(octets, size):
        pending.append(frame)
        if frame.salt == salt and frame.commits:
            yield from pending
            pending.clear()


def _frames(octets: bytes, size: int) -> Iterator[_Frame]:
    for at in range(_HEAD, len(octets) - _FRAME_HEAD - size + 1, _FRAME_HEAD + size):
        head = octets[at : at + _FRAME_HEAD]
        number, pages = struct.unpack(">II", head[:8])
        sums: tuple[int, int] = struct.unpack(">II", head[16:])
        page = octets[at + _FRAME_HEAD : at + _FRAME_HEAD + size]
        yield _Frame(number, pages != 0, head[8:16], sums, head, page)


def _find_salt(octets: bytes, size: int) -> bytes:
    """As the log's header says; if that is damaged, as its first frames agree."""
    if len(octets) >= _HEAD and int.from_bytes(octets[:4]) & ~1 == _MAGIC:
        return octets[16:24]
    before = b""
    for frame in _frames(octets, size):
        if frame.salt == before:
            break
        before = frame.salt
    return before


def _sum(octets: bytes, seed: tuple[int, int], order: str) -> tuple[int, int]:
    one, two = seed
    for first, second in struct.iter_unpack(f"{order}II", octets):
        one = one + first + two & _WORD
        two = two + second + one & _WORD
    return one, two
