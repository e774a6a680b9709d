"""What is read of single pages is what SQLite wrote there, and octets that mean nothing hurt nobody."""

import sqlite3
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.spool.sqlite import wal
from relay.spool.sqlite.pages import Pages

BIG = 2**63
VALUES = st.one_of(
    st.none(),
    st.integers(-BIG, BIG - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40),
    st.binary(max_size=40),
    st.integers(0, 9000).map(lambda size: b"\xa5" * size),
)
ROWS = st.lists(st.tuples(VALUES, VALUES), max_size=60)
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def make(path, rows, size, deleted=0):
    """A table with numbers, one with a key of its own, an index; some rows are deleted again."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute(f"PRAGMA page_size = {size}")
    database.execute("CREATE TABLE numbered (number INTEGER PRIMARY KEY, a, b)")
    database.execute("CREATE TABLE keyed (key TEXT PRIMARY KEY, a, b) WITHOUT ROWID")
    database.execute("CREATE INDEX by_a ON numbered (a)")
    for number, row in enumerate(rows, start=-5):
        database.execute("INSERT INTO numbered VALUES (?, ?, ?)", (number, *row))
        database.execute("INSERT INTO keyed VALUES (?, ?, ?)", (f"{number:04d}", *row))
    database.execute("DELETE FROM numbered WHERE number + 5 < ?", (deleted,))
    database.execute("DELETE FROM keyed WHERE CAST(key AS INTEGER) + 5 < ?", (deleted,))
    roots = dict(database.execute("SELECT name, rootpage FROM sqlite_master"))
    return database, roots


def walk(pages, root):
    nodes = [node for _, node in pages.walk(root)]
    assert all(node is not None and node.whole for node in nodes)
    return [record for node in nodes for record in node.records]


def order(rows):
    return sorted(map(repr, rows))


@QUICK
@given(rows=ROWS, size=st.sampled_from([512, 1024, 4096, 65536]), deleted=st.integers(0, 60))
def test_a_walk_gives_what_sqlite_gives(rows, size, deleted):
    with tempfile.TemporaryDirectory() as name:
        database, roots = make(Path(name) / "a.db", rows, size, deleted)
        numbered = database.execute("SELECT number, a, b FROM numbered ORDER BY number").fetchall()
        keyed = database.execute("SELECT * FROM keyed").fetchall()
        (free,) = database.execute("PRAGMA freelist_count").fetchone()
        database.close()
        pages = Pages((Path(name) / "a.db").read_bytes(), {})
        # A row's number stands in its cell; its column in the record is NULL.
        found = [(one.rowid, *one.values[1:]) for one in walk(pages, roots["numbered"])]
        assert list(map(repr, found)) == list(map(repr, numbered))
        assert order(one.values for one in walk(pages, roots["keyed"])) == order(keyed)
        assert len(walk(pages, roots["by_a"])) == len(numbered)
        assert (len(pages.free()[0]), pages.free()[1]) == (free, True)


@QUICK
@given(rows=ROWS, spoiled=st.binary(min_size=1, max_size=600), at=st.integers(0, 60_000))
def test_no_octets_hurt_the_reader(rows, spoiled, at):
    """Whatever a page holds, reading it ends, and what other pages hold is there all the same."""
    with tempfile.TemporaryDirectory() as name:
        make(Path(name) / "a.db", rows, 512)[0].close()
        octets = bytearray((Path(name) / "a.db").read_bytes())
    octets[at % len(octets) : at % len(octets) + len(spoiled)] = spoiled
    pages = Pages(bytes(octets), {}, 512)
    pages.free()
    for number in range(pages.count + 2):
        pages.node(number)
        assert len(list(pages.walk(number))) <= pages.count + 1


def make_log(path, changes):
    """The octets of a log with so many commits, as a process leaves them that was killed."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE a (number INTEGER PRIMARY KEY, text)")
    for number in range(changes):
        database.execute("INSERT INTO a VALUES (?, ?)", (number, "x" * 900))
    octets = (path.with_name("a.db-wal").read_bytes(), path.with_name("a.db-shm").read_bytes())
    database.close()
    return octets


def test_a_bad_frame_ends_no_log(tmp_path):
    """SQLite forgets all that stands behind it, without a word."""
    octets, index = make_log(tmp_path / "a.db", 40)
    whole = wal.read_log(octets)
    frames, size = wal.read_index(index)
    assert (frames, size) == (wal.count_committed(octets), 4096)
    assert wal.end_of(frames, size) <= len(octets)
    assert whole.broken == 0
    spoiled = bytearray(octets)
    at = 32 + 20 * (24 + size)
    spoiled[at + 100 : at + 200] = b"\xa5" * 100
    read = wal.read_log(bytes(spoiled))
    assert read.broken == 1
    assert wal.count_committed(bytes(spoiled)) == frames
    differing = [number for number, page in whole.pages.items() if read.pages.get(number) != page]
    assert len(differing) <= 1


def test_a_log_without_its_header_is_read(tmp_path):
    octets, _ = make_log(tmp_path / "a.db", 10)
    read = wal.read_log(b"\xa5" * 32 + octets[32:])
    assert read.pages == wal.read_log(octets).pages


def test_what_was_not_committed_is_not_read(tmp_path):
    """A power cut in the middle of a commit leaves such frames: nobody was told that they were kept."""
    octets, _ = make_log(tmp_path / "a.db", 3)
    frames = wal.count_committed(octets)
    torn = bytearray(octets[: wal.end_of(frames, 4096)])
    torn[-(24 + 4096) + 4 : -(24 + 4096) + 8] = bytes(4)  # the last frame ends no transaction
    assert wal.count_committed(bytes(torn)) < frames
    assert wal.read_log(bytes(torn)).broken == 0
