"""The storage's own troubles: damage, a lock, a clock, a full disk, an older version, things left over."""

import asyncio
import contextlib
import errno
import hashlib
import json
import os
import resource
import sqlite3
import subprocess
import time
from datetime import UTC, datetime

import pytest
import structlog

from relay.envelope import Envelope, Submission
from relay.host.clock import Clock
from relay.host.writeback import begin_writeback
from relay.operator.trace import describe_life
from relay.outcome import Action, Blame, Cause, Outcome
from relay.spool import NoSuchMessage, Notice, Settlement, SpoolError, SpoolFull, State
from relay.spool.rows.codecs import dump_envelope, load_envelope
from relay.spool.sqlite.engine import SqliteSpool
from relay.spool.sqlite.schema import MIGRATIONS
from tests.support.relay import until
from tests.support.spool import opened

TAKEN = Outcome(Action.RELAYED, "2.0.0", Blame.REMOTE, "taken", http_status=202)
REFUSED = Outcome(Action.FAILED, "5.6.0", Blame.MESSAGE, "refused", http_status=400)
LATER = Outcome(Action.DELAYED, "4.4.1", Blame.REMOTE, "down")
ACCOUNTS = ["scanner"]


ENVELOPE = Envelope("s@example.com", ("a@example.com",), datetime.now(UTC), client_address="192.0.2.1")


def submission(spool, content=b"Subject: a\r\n\r\nb\r\n", source="192.0.2.1", to=("a@example.com",)):
    writer = spool.writer()
    writer.write(content)
    envelope = Envelope("s@example.com", to, datetime.now(UTC), client_address=source)
    return Submission(envelope, writer.finish())


@contextlib.contextmanager
def database(folder):
    connection = sqlite3.connect(folder / "spool.db", isolation_level=None)
    yield connection
    connection.close()


@contextlib.asynccontextmanager
async def tended(spool, keep_failed=1e9, keep_history=1e9):
    task = asyncio.create_task(spool.tend(keep_failed, keep_history))
    await asyncio.sleep(0.3)
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# What is damaged is set aside and reported; the others go their way.


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE message SET envelope = '{\"reverse'",
        "UPDATE message SET envelope = replace(envelope, 'a@example.com', 'b@example.com')",
        "UPDATE message SET account = 'scanner', sha256 = 'x'",
        "UPDATE message SET losses = '[[', arrival = 'never'",
        "UPDATE content SET data = 'Subject: other'",
        "DELETE FROM content",
    ],
)
async def test_a_damaged_row_is_set_aside(tmp_path, damage):
    """A bit that has flipped must not send mail to somebody else, nor hold up the queue."""
    reported = []
    async with opened(tmp_path) as spool:
        bad = await spool.put(submission(spool), "scanner")
        good = await spool.put(submission(spool), "scanner")
    with database(tmp_path) as connection:
        connection.execute(f"{damage} WHERE queue_id = '{bad}'")
    async with opened(tmp_path, reported) as spool:
        claim = await spool.claim(ACCOUNTS, time.time())
        assert claim.entry.queue_id == good
        assert [queue_id for queue_id, _ in reported] == [bad]
        entry = await spool.show(bad)
        assert entry.state is State.HELD
        assert entry.reason.startswith("damaged: ")
        assert bad in [one.queue_id for one in await spool.list([State.HELD], 10)]
        assert [one.event for one in await spool.events(bad)] == ["set aside"]


@pytest.mark.parametrize(
    "damage",
    [
        "state = 'dflayed'",
        "state = CAST(x'64e56c61796564' AS TEXT)",
        "account = 'scbnner'",
        "next_attempt = 'soon'",
        "next_attempt = x'00ff'",
        "next_attempt = 1e200",
        "state = 'queued', rank = 'first'",
    ],
)
@pytest.mark.parametrize("running", [False, True])
async def test_who_would_never_be_claimed_is_set_aside_too(tmp_path, monkeypatch, damage, running):
    """No claim meets a row whose state, account or time is damaged: it vanished, or nothing was sent."""
    monkeypatch.setattr("relay.spool.sqlite.maintenance._ROUND", 0.2)
    monkeypatch.setattr("relay.spool.sqlite.maintenance._TICK", 0.1)
    reported = []

    def spoil():
        with database(tmp_path) as connection:
            connection.execute(f"UPDATE message SET {damage} WHERE queue_id = '{bad}'")

    async with opened(tmp_path) as spool:
        bad, other = [await spool.put(submission(spool), "scanner") for _ in range(2)]
        for _ in range(2):
            claim = await spool.claim(ACCOUNTS, time.time())
            await spool.settle(claim, Settlement(State.DELAYED, LATER, next_attempt=time.time() + 0.1))
    if not running:
        spoil()
    async with opened(tmp_path, reported) as spool, tended(spool):
        if running:
            spoil()
        await asyncio.sleep(1)
        assert [queue_id for queue_id, _ in reported] == [bad]
        assert (await spool.show(bad)).state is State.HELD
        assert (await spool.counts())[State.HELD] == 1
        new = await spool.put(submission(spool), "scanner")
        claimed = [await spool.claim(ACCOUNTS, time.time()) for _ in range(2)]
        assert {one.entry.queue_id for one in claimed} == {other, new}


@pytest.mark.parametrize(
    "damage",
    [
        'outcome = \'{"action": "rel\'',
        "outcome = '[]', recipients = '7'",
        "recipients = '[\"a@exa'",
        "recipients = CAST(x'5b22e1225d' AS TEXT)",
        "started = 'then', ended = 'now'",
        "started = 1e200, ended = x'00'",
    ],
)
async def test_a_damaged_request_keeps_no_relay_from_starting(tmp_path, damage):
    """What was sent of late is read at each start: one bit of a message of yesterday ended them all."""
    async with opened(tmp_path) as spool:
        queue_id = await spool.put(submission(spool), "scanner")
        claim = await spool.claim(ACCOUNTS, time.time())
        await spool.start(claim, 0, ["a@example.com"])
        await spool.settle(claim, Settlement(State.RELAYED, TAKEN), ended=(0, TAKEN))
        spool.note(queue_id, "looked at")
    with database(tmp_path) as connection:
        connection.execute(f"UPDATE request SET {damage}")
        connection.execute("UPDATE event SET detail = '{'")
    async with opened(tmp_path) as spool:
        (past,) = await spool.history(time.time() - 86400)
        assert (past.account, past.recipients) == ("scanner", 1)
        assert past.ended is None or past.ended > 0
        assert await spool.interrupted() == []
        entry = await spool.show(queue_id)
        life = describe_life(entry, await spool.attempts(queue_id), await spool.events(queue_id), {})
        assert len(life["attempts"]) == 1
        assert (await spool.list([State.RELAYED], 10))[0].queue_id == queue_id


async def test_a_damaged_request_under_way_is_an_unknown_outcome(tmp_path):
    """Nobody knows what became of it, so it is judged as one that was cut off; and it blocks no start."""
    async with opened(tmp_path) as spool:
        await spool.put(submission(spool), "scanner")
        await spool.start(await spool.claim(ACCOUNTS, time.time()), 0, ["a@example.com"])
    with database(tmp_path) as connection:
        connection.execute("UPDATE request SET recipients = '[\"a@exa'")
    async with opened(tmp_path) as spool:
        (found,) = await spool.interrupted()
        assert found.outcome.action is Action.UNKNOWN


async def test_a_damaged_outcome_of_an_attempt_under_way_is_a_persons_to_judge(tmp_path):
    """Who was served already cannot be told: to send it again would be a guess."""
    reported = []
    async with opened(tmp_path) as spool:
        queue_id = await spool.put(submission(spool), "scanner")
        claim = await spool.claim(ACCOUNTS, time.time())
        await spool.start(claim, 0, ["a@example.com"])
        await spool.record(claim, 0, TAKEN)
    with database(tmp_path) as connection:
        connection.execute("UPDATE request SET outcome = '{'")
    async with opened(tmp_path, reported) as spool:
        assert await spool.interrupted() == []
        assert (await spool.show(queue_id)).state is State.HELD
        assert [one for one, _ in reported] == [queue_id]


async def test_a_damaged_note_of_the_time_keeps_no_relay_from_starting(tmp_path):
    """What the spool knows of itself is no mail; and a file is not removed for want of it."""
    async with opened(tmp_path) as spool:
        queue_id = await spool.put(submission(spool), "scanner")
    with database(tmp_path) as connection:
        connection.execute("UPDATE mark SET value = 'never'")
        connection.execute("INSERT INTO unheard VALUES ('1X', 'f', 'never')")
        (tmp_path / "content" / "1ORPHAN").write_bytes(b"perhaps somebody's mail")
    async with opened(tmp_path) as spool:
        async with tended(spool):
            assert (tmp_path / "orphaned" / "1ORPHAN").exists()
        assert (await spool.claim(ACCOUNTS, time.time())).entry.queue_id == queue_id


@pytest.mark.parametrize("damage", ["gone", "short", "changed"])
async def test_a_damaged_file_is_set_aside(tmp_path, damage):
    async with opened(tmp_path) as spool:
        bad = await spool.put(submission(spool, b"x" * 100_000), "scanner")
        good = await spool.put(submission(spool, b"y" * 100_000), "scanner")
    path = tmp_path / "content" / bad
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"x" * 50_000 if damage == "short" else b"x" * 99_999 + b"y")
    async with opened(tmp_path) as spool:
        assert (await spool.claim(ACCOUNTS, time.time())).entry.queue_id == good
        assert (await spool.show(bad)).state is State.HELD


@contextlib.contextmanager
def no_file_may_be_opened():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_lack_of_descriptors_sets_nothing_aside(tmp_path):
    """It lasts a second and says nothing about the files: the whole backlog was taken for damaged."""
    async with opened(tmp_path) as spool:
        ids = [await spool.put(submission(spool, b"x" * 100_000), "scanner") for _ in range(2)]
    async with opened(tmp_path) as spool:
        with no_file_may_be_opened(), pytest.raises(SpoolError, match="Too many open files"):
            await spool.claim(ACCOUNTS, time.time())
        claimed = [(await spool.claim(ACCOUNTS, time.time())).entry.queue_id for _ in range(2)]
        assert sorted(claimed) == sorted(ids)


async def test_a_large_message_is_put_when_there_are_descriptors_again(tmp_path):
    """Nothing has been moved then: a notice that could not be kept can be, and its failure be settled."""
    async with opened(tmp_path) as spool:
        large = submission(spool, b"x" * 100_000)
        await spool.put(submission(spool), "scanner")
        claim = await spool.claim(ACCOUNTS, time.time())
        failed, notice = Settlement(State.FAILED, REFUSED), Notice(large, "scanner", "s@example.com")
        with no_file_may_be_opened(), pytest.raises(SpoolError, match="Too many open files"):
            await spool.settle_and_tell(claim, failed, notice)
        assert await spool.settle_and_tell(claim, failed, notice)


@pytest.mark.parametrize(("errors", "state"), [(1, State.QUEUED), (2, State.HELD)])
async def test_a_read_error_is_believed_the_second_time(tmp_path, monkeypatch, errors, state):
    """A bus that is reset gives EIO for a moment, and then the content is there as it was."""
    monkeypatch.setattr("relay.spool.sqlite.files._BETWEEN_READS", 0.01)
    digest, left = hashlib.file_digest, [OSError(errno.EIO, "Input/output error")] * errors

    def read(*facts):
        if left:
            raise left.pop()
        return digest(*facts)

    async with opened(tmp_path) as spool:
        queue_id = await spool.put(submission(spool, b"x" * 100_000), "scanner")
    async with opened(tmp_path) as spool:
        monkeypatch.setattr(hashlib, "file_digest", read)
        claim = await spool.claim(ACCOUNTS, time.time())
        assert (claim is None) == (state is State.HELD)
        assert (await spool.show(queue_id)).state is state


async def test_what_was_relayed_while_files_were_checked_is_not_set_aside(tmp_path):
    """The check after a start had read a row that waited, and looked for its file when it was sent and gone.

    One of 100,000 relayed messages was held as damaged, and no `retry` could mend it.
    """
    reports = []
    async with opened(tmp_path, reports) as spool:
        queue_id = await spool.put(submission(spool, b"x" * 100_000), "scanner")
        claim = await spool.claim(ACCOUNTS, 0)
        await spool.start(claim, 0, claim.entry.envelope.forward_paths)
        await spool.settle(claim, Settlement(State.RELAYED, TAKEN), ended=(0, TAKEN))
        await spool._set_aside_unclaimed(queue_id, "its content file is missing")
        assert (await spool.show(queue_id)).state is State.RELAYED
        assert reports == []


async def test_a_missing_file_is_found_before_its_turn(tmp_path):
    async with opened(tmp_path) as spool:
        bad = await spool.put(submission(spool, b"x" * 100_000), "scanner")
        (tmp_path / "content" / bad).unlink()
        async with tended(spool):
            assert (await spool.show(bad)).state is State.HELD


async def test_a_file_without_a_row_is_removed_and_others_are_not(tmp_path):
    """The relay died between the file and its row: nobody was told 250."""
    async with opened(tmp_path) as spool:
        kept = await spool.put(submission(spool, b"x" * 100_000), "scanner")
        (tmp_path / "content" / "1ORPHAN").write_bytes(b"never accepted")
        async with tended(spool):
            assert [path.name for path in (tmp_path / "content").iterdir()] == [kept]


async def test_a_file_that_is_older_than_the_database_is_put_aside(tmp_path):
    """Somebody has lost the database: its files may be mail."""
    async with opened(tmp_path) as spool:
        left = tmp_path / "content" / "1ORPHAN"
        left.write_bytes(b"somebody's mail")
        os.utime(left, (1e9, 1e9))
        async with tended(spool):
            assert (tmp_path / "orphaned" / "1ORPHAN").read_bytes() == b"somebody's mail"


# No room.


@contextlib.contextmanager
def no_file_may_grow():
    """RLIMIT_FSIZE: every write fails as on a full disk, and it needs no disk of its own."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # pytest's own capture is a file too.
    with structlog.testing.capture_logs():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MB; skips where it cannot be mounted."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", tmp_path], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("NOT TESTED: a file system can be mounted by root alone")
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)


def fill(folder):
    with (folder / "filler").open("ab", buffering=0) as file, contextlib.suppress(OSError):
        for size in (2**16, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)


@pytest.mark.parametrize("reserve", [True, False])
async def test_a_start_on_a_full_disk_says_so_at_the_door(small_disk, reserve):
    """It ended with exit code 73: clients were refused the connection where 452 was promised."""
    folder = small_disk / "spool"
    async with opened(folder, keep_free=2**20) as spool:
        queue_id = await spool.put(submission(spool), "scanner")
        killed = sqlite3.connect(folder / "spool.db")  # whose log and index stay where they are
        killed.execute("SELECT 1 FROM message").fetchall()
    if not reserve:  # it was given up before
        fill(small_disk)
        (folder / "reserve").unlink()
    fill(small_disk)
    async with opened(folder, keep_free=2**20) as spool:
        killed.close()
        assert not spool.room().accepting
        with pytest.raises(SpoolFull):
            await spool.put(submission(spool), "scanner")
        (small_disk / "filler").unlink()
        async with asyncio.timeout(10):
            while not spool.room().accepting:
                await asyncio.sleep(0.1)
        assert (await spool.claim(ACCOUNTS, time.time())).entry.queue_id == queue_id
        await spool.put(submission(spool), "scanner")


async def test_less_than_keep_free_accepts_nothing_and_still_sends(tmp_path):
    async with opened(tmp_path) as spool:
        await spool.put(submission(spool), "scanner")
    async with opened(tmp_path, keep_free=1 << 60) as spool:
        assert (spool.room().accepting, spool.room().sending) == (False, True)
        with pytest.raises(SpoolFull):
            await spool.put(submission(spool), "scanner")
        assert await spool.claim(ACCOUNTS, time.time()) is not None


async def test_what_has_happened_is_recorded_when_there_is_room_again(tmp_path):
    """The 202 came while the disk was full: it is not forgotten, and nothing more is sent meanwhile.

    The session need not wait for that: its message is on the disk, and Works has it.
    """
    async with opened(tmp_path) as spool:
        first = await spool.put(submission(spool), "scanner")
        await spool.put(submission(spool), "scanner")
        claim = await spool.claim(ACCOUNTS, time.time())
        await spool.start(claim, 0, ["a@example.com"])
        with no_file_may_grow():
            await spool.record(claim, 0, TAKEN)
            with pytest.raises(SpoolFull):
                await spool.put(submission(spool), "scanner")
            await asyncio.sleep(0.4)
            assert (spool.room().accepting, spool.room().sending) == (False, False)
            assert not (tmp_path / "reserve").exists()
            assert await spool.claim(ACCOUNTS, time.time()) is None
            await spool.settle(claim, Settlement(State.RELAYED, TAKEN))
            assert (await spool.show(first)).state is State.SENDING
        await until(lambda: spool.room().sending)
        assert (await spool.show(first)).state is State.RELAYED
        assert (tmp_path / "reserve").exists()
        assert await spool.claim(ACCOUNTS, time.time()) is not None
        await spool.put(submission(spool), "scanner")


async def test_a_start_without_room_leaves_the_message_as_it_was(tmp_path):
    async with opened(tmp_path) as spool:
        queue_id = await spool.put(submission(spool), "scanner")
        claim = await spool.claim(ACCOUNTS, time.time())
        with no_file_may_grow(), pytest.raises(SpoolError):
            await spool.start(claim, 0, ["a@example.com"])
        await spool.abandon(claim)
        assert (await spool.show(queue_id)).state is State.QUEUED
        assert (await spool.claim(ACCOUNTS, time.time())).entry.queue_id == queue_id


async def test_a_locked_database_defers_and_recovers(tmp_path):
    """Somebody's sqlite3 shell holds the lock: 451 at the door, patience in the courier, nothing lost."""
    async with opened(tmp_path) as spool:
        await spool.put(submission(spool), "scanner")
        claim = await spool.claim(ACCOUNTS, time.time())
        await spool.start(claim, 0, ["a@example.com"])
        with database(tmp_path) as other:
            other.execute("BEGIN IMMEDIATE")
            recorded = asyncio.ensure_future(spool.record(claim, 0, LATER))
            with pytest.raises(SpoolError):
                await spool.put(submission(spool), "scanner")
            assert not recorded.done()
            other.execute("ROLLBACK")
        await asyncio.wait_for(recorded, 10)
        await spool.put(submission(spool), "scanner")


async def test_a_lock_that_ends_between_two_tries_ends_the_standstill(tmp_path):
    """The second try of a round succeeded, and the spool stayed shut until something else was written."""
    async with opened(tmp_path) as spool:
        tries = []

        def stubborn(c):
            tries.append(None)
            if len(tries) < 4:  # both tries of the first round, the first of the second
                error = sqlite3.OperationalError("database is locked")
                error.sqlite_errorcode = sqlite3.SQLITE_BUSY
                raise error

        await asyncio.wait_for(spool._writer.insist(stubborn), 10)
        assert len(tries) == 4
        assert spool.room().accepting


# Time.


class Days:
    """A wall clock that can be set, while true time goes on."""

    def __init__(self):
        self.offset = 0.0
        self.clock = Clock(wall=self.now)

    def now(self):
        return time.time() + self.offset


@pytest.mark.parametrize("days", [-5, 5])
async def test_a_clock_that_is_set_changes_no_plan(tmp_path, days):
    """What is due in an hour is due in an hour, neither at once nor in five days."""
    wall = Days()
    async with opened(tmp_path, clock=wall.clock) as spool:
        queue_id = await spool.put(submission(spool), "scanner")
        claim = await spool.claim(ACCOUNTS, wall.now())
        due = wall.now() + 3600
        await spool.settle(claim, Settlement(State.DELAYED, LATER, next_attempt=due))
        before = await spool.show(queue_id)
        wall.offset = days * 86400.0
        assert await spool.claim(ACCOUNTS, wall.now()) is None
        assert spool.next_due() - wall.now() == pytest.approx(3600, abs=5)
        after = await spool.show(queue_id)
        assert after.since - before.since == pytest.approx(wall.offset, abs=5)
        assert (await spool.claim(ACCOUNTS, wall.now() + 3601)).entry.queue_id == queue_id


@pytest.mark.parametrize("days", [-5, 5])
async def test_what_is_written_by_a_clock_just_set_is_not_moved_with_the_rest(tmp_path, days):
    """What came before the next claim was tried in five days, or given up five days too soon."""
    wall = Days()
    async with opened(tmp_path, clock=wall.clock) as spool:
        waiting, sent, failed, retried = [await spool.put(submission(spool), "scanner") for _ in range(4)]
        claims = [await spool.claim(ACCOUNTS, wall.now()) for _ in range(4)]
        due = wall.now() + 3600
        for claim in (claims[0], claims[3]):
            await spool.settle(claim, Settlement(State.DELAYED, LATER, next_attempt=due))
        wall.offset = days * 86400.0
        await spool.settle(claims[1], Settlement(State.DELAYED, LATER, next_attempt=wall.now() + 60))
        notice = Notice(submission(spool), "scanner", "s@example.com")
        notice = await spool.settle_and_tell(claims[2], Settlement(State.FAILED, REFUSED), notice)
        new = await spool.put(submission(spool), "scanner")
        await spool.retry(retried)
        await spool.claim([], wall.now())
        assert (await spool.show(sent)).next_attempt - wall.now() == pytest.approx(60, abs=5)
        assert (await spool.show(waiting)).next_attempt - wall.now() == pytest.approx(3600, abs=5)
        assert (await spool.show(failed)).ended == pytest.approx(wall.now(), abs=5)
        for queue_id in (waiting, sent, retried):
            assert (await spool.show(queue_id)).since == pytest.approx(wall.now(), abs=5)
        for queue_id in (notice, new):
            entry = await spool.show(queue_id)
            assert entry.since == entry.arrival


@pytest.mark.parametrize("verb", ["put", "settle", "settle_and_tell", "retry"])
async def test_whatever_is_written_first_after_a_clock_was_set_sees_it(tmp_path, verb):
    """Each of them may be the first one."""
    wall = Days()
    async with opened(tmp_path, clock=wall.clock) as spool:
        waiting, held = (
            await spool.put(submission(spool), "scanner"),
            await spool.put(submission(spool), "erp"),
        )
        claim = await spool.claim(ACCOUNTS, wall.now())
        await spool.settle(claim, Settlement(State.DELAYED, LATER, next_attempt=wall.now() + 3600))
        await spool.hold(held)
        other = await spool.put(submission(spool), "scanner")
        claim = await spool.claim(ACCOUNTS, wall.now())
        assert claim.entry.queue_id == other
        wall.offset = -5 * 86400.0
        later = Settlement(State.DELAYED, LATER, next_attempt=wall.now() + 60)
        notice = Notice(submission(spool), "scanner", "s@example.com")
        await {
            "put": lambda: spool.put(submission(spool), "scanner"),
            "settle": lambda: spool.settle(claim, later),
            "settle_and_tell": lambda: spool.settle_and_tell(claim, later, notice),
            "retry": lambda: spool.retry(held),
        }[verb]()
        assert (await spool.show(waiting)).next_attempt - wall.now() == pytest.approx(3600, abs=5)


async def test_a_clock_that_was_set_back_while_the_relay_was_down_is_noticed(tmp_path):
    wall = Days()
    wall.offset = 5 * 86400.0
    async with opened(tmp_path, clock=wall.clock) as spool:
        await spool.put(submission(spool), "scanner")
        claim = await spool.claim(ACCOUNTS, wall.now())
        await spool.settle(claim, Settlement(State.DELAYED, LATER, next_attempt=wall.now() + 60))
    wall.offset = 0.0
    async with opened(tmp_path, clock=wall.clock) as spool:
        assert spool.next_due() - wall.now() < 120


async def test_a_backlog_that_comes_back_does_not_stand_before_who_came_since(tmp_path):
    """After an outage the noisy source's delayed messages take turns with a newcomer's."""
    async with opened(tmp_path) as spool:
        for _ in range(30):
            await spool.put(submission(spool), "scanner")
        for _ in range(30):
            claim = await spool.claim(ACCOUNTS, time.time())
            await spool.settle(claim, Settlement(State.DELAYED, LATER, next_attempt=time.time() - 1))
        await spool.claim(ACCOUNTS, time.time())  # this one is on its way
        quiet = await spool.put(submission(spool, source="192.0.2.9"), "scanner")
        following = [(await spool.claim(ACCOUNTS, time.time())).entry.queue_id for _ in range(2)]
        assert quiet in following


# A crash between recording and settling.


async def test_what_was_recorded_as_taken_is_not_sent_again(tmp_path):
    """The 202 was on disk, the settling was not: two recipients' requests, and both are judged right."""
    async with opened(tmp_path) as spool:
        ids = [await spool.put(submission(spool), "scanner") for _ in range(2)]
        for action in (TAKEN, LATER):
            claim = await spool.claim(ACCOUNTS, time.time())
            await spool.start(claim, 0, ["a@example.com"])
            await spool.record(claim, 0, action)
    async with opened(tmp_path) as spool:
        found = {one.claim.entry.queue_id: one.outcome.action for one in await spool.interrupted()}
        assert found == {ids[0]: Action.RELAYED, ids[1]: Action.DELAYED}
        assert await spool.interrupted() == []


async def test_who_was_refused_is_not_forgotten_because_others_were_served(tmp_path):
    """One request taken, one refused, then a kill: it was judged as relayed, and nobody was told."""
    async with opened(tmp_path) as spool:
        await spool.put(submission(spool, to=("a@example.com", "b@example.com")), "scanner")
        claim = await spool.claim(ACCOUNTS, time.time())
        for number, (recipient, outcome) in enumerate([("b@example.com", REFUSED), ("a@example.com", TAKEN)]):
            await spool.start(claim, number, [recipient])
            await spool.record(claim, number, outcome)
    async with opened(tmp_path) as spool:
        (found,) = await spool.interrupted()
        assert found.outcome == REFUSED
        assert found.claim.entry.refused == {"b@example.com"}


@pytest.mark.parametrize("after", [TAKEN, LATER])
async def test_an_unknown_outcome_is_not_forgotten_because_another_request_ended(tmp_path, after):
    """It was sent again without being counted as unknown, even where a person was to decide about it."""
    unknown = Outcome(Action.UNKNOWN, "4.4.2", Blame.REMOTE, "cut off")
    async with opened(tmp_path) as spool:
        await spool.put(submission(spool, to=("a@example.com", "b@example.com")), "scanner")
        claim = await spool.claim(ACCOUNTS, time.time())
        for number, (recipient, outcome) in enumerate([("a@example.com", unknown), ("b@example.com", after)]):
            await spool.start(claim, number, [recipient])
            await spool.record(claim, number, outcome)
    async with opened(tmp_path) as spool:
        (found,) = await spool.interrupted()
        assert found.outcome == unknown
        await spool.settle(found.claim, Settlement(State.DELAYED, unknown, next_attempt=1.0))
        claim = await spool.claim(ACCOUNTS, time.time())
        await spool.start(claim, 0, ["a@example.com"])
        await spool.record(claim, 0, LATER)
    async with opened(tmp_path) as spool:
        (found,) = await spool.interrupted()
        assert found.outcome == LATER


async def test_an_attempt_that_spent_nothing_is_not_forgotten_by_the_next(tmp_path):
    """Both have the same number; the first one's recipients must not get the mail twice."""
    async with opened(tmp_path) as spool:
        await spool.put(submission(spool), "scanner")
        claim = await spool.claim(ACCOUNTS, time.time())
        await spool.start(claim, 0, ["a@example.com"])
        await spool.record(claim, 0, TAKEN)
        await spool.settle(claim, Settlement(State.QUEUED, LATER, spent=False))
        claim = await spool.claim(ACCOUNTS, time.time())
        await spool.start(claim, 0, ["b@example.com"])
        await spool.record(claim, 0, LATER)
        await spool.settle(claim, Settlement(State.DELAYED, LATER, next_attempt=1.0))
        claim = await spool.claim(ACCOUNTS, time.time())
        assert claim.entry.relayed == {"a@example.com"}
        assert len(await spool.attempts(claim.entry.queue_id)) == 2


# Versions and time's passing.


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
async def test_a_spool_of_an_older_version_is_carried_over(tmp_path, version):
    """Each version from the last one, and from those before: people skip releases."""
    with database(tmp_path) as connection:
        connection.executescript(f"{MIGRATIONS[0]}; PRAGMA user_version = 1;")
        envelope = (
            '{"reverse_path": "s@example.com", "forward_paths": ["a@example.com"], "client_address":'
            ' "192.0.2.1", "arrival_date": "2026-01-01T00:00:00+00:00"}'
        )
        row = (
            "INSERT INTO message VALUES"
            " (?, ?, 'scanner', '192.0.2.1', ?, 5.0, 0, 0, 0, ?, 1, ?, 0, '', '', '[]')"
        )
        octet = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
        for number, state in enumerate(("queued", "sending", "failed", "relayed"), start=1):
            connection.execute(row, (f"1OLD{number}", state, number, envelope, octet))
            connection.execute("INSERT INTO content VALUES (?, x'78')", (f"1OLD{number}",))
        request = "INSERT INTO request VALUES ('1OLD2', 0, 1, '[\"a@example.com\"]', 5.0, NULL, NULL)"
        connection.execute(request)
        for number, script in enumerate(MIGRATIONS[1:version], start=2):
            connection.executescript(f"{script}; PRAGMA user_version = {number};")
    async with opened(tmp_path) as spool:
        assert (await spool.claim(ACCOUNTS, time.time())).entry.queue_id == "1OLD1"
        (one,) = await spool.interrupted()
        assert (one.claim.entry.queue_id, one.outcome.action) == ("1OLD2", Action.UNKNOWN)
        assert (await spool.show("1OLD1")).since == 5.0
        assert (await spool.show("1OLD3")).ended > 0


async def test_a_spool_of_a_newer_relay_is_refused(tmp_path):
    with database(tmp_path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(SpoolError, match="99"):
        await SqliteSpool(tmp_path).open()


async def test_what_failed_long_ago_gives_up_its_content_and_then_its_trace(tmp_path):
    async with opened(tmp_path) as spool:
        queue_id = await spool.put(submission(spool, b"x" * 100_000), "scanner")
        claim = await spool.claim(ACCOUNTS, time.time())
        await spool.settle(claim, Settlement(State.FAILED, LATER))
        await spool.purge(0, time.time() + 1)
        assert (await spool.show(queue_id)).state is State.DISCARDED
        assert list((tmp_path / "content").iterdir()) == []
        assert [one.event for one in await spool.events(queue_id)] == ["kept no longer"]
        await spool.purge(time.time() + 1, 0)
        with pytest.raises(NoSuchMessage):
            await spool.show(queue_id)


async def test_a_person_who_says_retry_begins_anew(tmp_path):
    """A message given up after five days has its five days again, and its refused recipients a try."""
    refused = Outcome(Action.FAILED, "5.6.0", Blame.MESSAGE, "refused")
    async with opened(tmp_path) as spool:
        queue_id = await spool.put(submission(spool), "scanner")
        claim = await spool.claim(ACCOUNTS, time.time())
        await spool.start(claim, 0, ["a@example.com"])
        await spool.record(claim, 0, refused)
        await spool.settle(claim, Settlement(State.FAILED, refused))
        assert (await spool.show(queue_id)).refused == {"a@example.com"}
        await spool.retry(queue_id)
        entry = (await spool.claim(ACCOUNTS, time.time())).entry
        assert (entry.refused, entry.attempts, entry.ended) == (frozenset(), 0, 0.0)
        assert entry.since > entry.arrival


async def test_content_that_comes_in_blocks_is_whole(tmp_path):
    """Parts of it are sent to the disk while more arrives; a call that cannot be made says nothing."""
    blocks = [bytes([number]) * 400_000 for number in range(20)]
    async with opened(tmp_path) as spool:
        writer = spool.writer()
        for block in blocks:
            writer.write(block)
        content = writer.finish()
    with content.map() as octets:
        assert bytes(octets) == b"".join(blocks)
    begin_writeback(-1, 0, 1)


OLD = [
    ("device", "held", "", "held until its device is adopted: relay learn --adopt"),
    ("damage", "held", "4.3.0", "damaged: its content is missing"),
    ("outcome", "held", "4.3.0", "the relay had a fault of its own; its log says more"),
    ("person", "held", "", ""),
    ("", "delayed", "4.3.0", "the relay had a fault of its own; its log says more"),
    ("", "queued", "", ""),
]


async def test_what_an_older_release_held_is_recognised(tmp_path):
    """Sentences told these apart until version 4 of the tables, and stand in the mail of the day before."""
    envelope = dump_envelope(ENVELOPE)
    with database(tmp_path) as c:
        for script in MIGRATIONS[:3]:
            c.executescript(script)
        for number, (_, state, status, reason) in enumerate(OLD):
            row = (f"OLD{number}", state, "scanner", "192.0.2.1", 1.0, 1e9, 0, 0, 0, envelope, 0, "0" * 64, 0)
            marks = ", ".join("?" * len(row))
            c.execute(f"INSERT INTO message VALUES ({marks}, ?, ?, '[]', 1e9, 0, '')", (*row, status, reason))
        c.execute("PRAGMA user_version = 3")
    async with opened(tmp_path) as spool:
        for number, (hold, _, _, reason) in enumerate(OLD):
            entry = await spool.show(f"OLD{number}")
            assert entry.hold == hold
            assert (entry.cause is Cause.FAULT) == reason.startswith("the relay had a fault")


@pytest.mark.parametrize(
    ("listener", "origin"), [("control", "command"), ("notice", "notice"), (":25", "smtp")]
)
def test_an_envelope_of_an_older_release_tells_its_origin(listener, origin):
    """It stood in the name of a listener that there is not."""
    tree = json.loads(dump_envelope(ENVELOPE)) | {"listener": listener}
    del tree["origin"]
    assert load_envelope(json.dumps(tree)).origin == origin


async def test_what_was_relayed_is_gone_from_the_disk_while_the_relay_runs(tmp_path):
    """Twenty small mails stood in the write-ahead log until the stop, and a thief of the disk read them."""
    secret = b"nobody-but-the-recipient"
    async with opened(tmp_path) as spool:
        for _ in range(20):
            await spool.put(submission(spool, b"Subject: a\r\n\r\n" + secret * 50), "scanner")
        held = [path for path in tmp_path.rglob("*") if path.is_file() and secret in path.read_bytes()]
        assert held
        while claim := await spool.claim(ACCOUNTS, time.time()):
            await spool.start(claim, 0, ["a@example.com"])
            await spool.record(claim, 0, TAKEN)
            await spool.settle(claim, Settlement(State.RELAYED, TAKEN))
        async with asyncio.timeout(60):
            while any(path.is_file() and secret in path.read_bytes() for path in tmp_path.rglob("*")):
                await asyncio.sleep(0.2)
        assert (tmp_path / "spool.db-wal").stat().st_size == 0
