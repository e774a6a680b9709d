"""Parts of the spool's folder are removed, moved, cut off or closed while the relay runs.

What was open could be written to as before, so mail got its 250 and was gone with the process.
"""

import asyncio
import contextlib
import os
import shutil
import smtplib
import time

import pytest

from relay.console.service import ServiceStatus
from relay.spool import SpoolError, SpoolLocked, State
from relay.spool.sqlite.engine import SqliteSpool
from tests.support.relay import relaying
from tests.support.spool import opened, submission

PATIENCE = 20.0  # seconds until something is noticed: much more than it takes, the machine may be busy
WAITING = [State.QUEUED, State.HELD]


@contextlib.asynccontextmanager
async def tended(spool):
    task = asyncio.create_task(spool.tend(1e9, 1e9))
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(check):
    end = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < end, "it did not come true"
        await asyncio.sleep(0.02)


async def put(spool, count=1):
    return {await spool.put(submission(spool, number), "scanner") for number in range(count)}


async def ids_in(spool):
    return {entry.queue_id for entry in await spool.list(WAITING, 1000)}


def remove(*names):
    def spoil(folder):
        for name in names:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    spoil.__name__ = "remove " + " ".join(names)
    return spoil


def remove_all(folder):
    shutil.rmtree(folder)


def remove_the_state_directory(folder):
    shutil.rmtree(folder.parent)


def close_all(folder):
    for path in (folder / "spool.db", folder / "spool.db-wal", folder / "lock"):
        path.chmod(0)
    folder.chmod(0o500)


REMOVALS = [
    remove("spool.db"),
    remove("spool.db", "spool.db-wal", "spool.db-shm"),
    remove("spool.db-wal"),
    remove("spool.db-shm"),
    remove("lock"),
    remove("incoming"),
    remove("content"),
    remove("reserve"),
    remove_all,
    remove_the_state_directory,
    close_all,
]


@pytest.mark.parametrize("spoil", REMOVALS, ids=lambda one: one.__name__)
async def test_what_is_removed_is_written_again_and_loses_nothing(tmp_path, spoil):
    """Every message that had its 250, before or after, is there after a restart."""
    folder = tmp_path / "state" / "spool"
    async with opened(folder) as spool:
        ids = await put(spool, 20)
        await spool.backlog(100)  # the reader has the file open too
        spoil(folder)
        end = time.monotonic() + PATIENCE
        late = 0
        while late < 5:
            with contextlib.suppress(SpoolError):
                ids |= await put(spool)
                late += 1
            assert time.monotonic() < end, "nothing is accepted any more"
        made = ("spool.db", "lock", "incoming", "content")
        await until(lambda: all((folder / name).exists() for name in made))
        ids.add(await spool.put(submission(spool, 1, b"x" * 100_000), "scanner"))
        assert await ids_in(spool) == ids
        with pytest.raises(SpoolLocked):
            await SqliteSpool(folder).open()
    async with opened(folder) as spool:
        assert await ids_in(spool) == ids


async def test_content_that_is_removed_costs_its_messages_and_they_are_named(tmp_path):
    reports = []
    async with opened(tmp_path, reports) as spool, tended(spool):
        large = await spool.put(submission(spool, 1, b"x" * 100_000), "scanner")
        small = await spool.put(submission(spool, 2), "scanner")
        shutil.rmtree(tmp_path / "content")
        await until(lambda: reports)
        claim = await spool.claim(["scanner"], time.time())
        assert claim.entry.queue_id == small
        assert await spool.claim(["scanner"], time.time()) is None
        assert (await spool.show(large)).state is State.HELD
    assert (large, "its content file is missing") in reports


def cut_off(file):
    os.truncate(file, 10)


def make_a_pipe(file):
    """Whoever opens it to read waits for ever: nothing was sent any more."""
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize("spoil", [os.unlink, cut_off, make_a_pipe], ids=lambda one: one.__name__)
async def test_one_file_that_is_removed_or_cut_is_damage_and_no_fault_of_ours(tmp_path, spoil):
    """A file that this process had written was taken for whole, and its message was tried for ever."""
    reports = []
    async with opened(tmp_path, reports) as spool:
        queue_id = await spool.put(submission(spool, 1, b"x" * 300_000), "scanner")
        (file,) = (path for path in (tmp_path / "content").rglob("*") if path.is_file())
        spoil(file)
        async with asyncio.timeout(PATIENCE):
            assert await spool.claim(["scanner"], time.time()) is None
        assert (await spool.show(queue_id)).state is State.HELD
    ((named, reason),) = reports
    assert (named, "its content file" in reason) == (queue_id, True)


@pytest.mark.parametrize("instead", ["moved", "moved and made", "replaced"])
async def test_what_was_moved_or_replaced_takes_no_more_until_it_is_back(tmp_path, instead):
    """There may be two spools now: which one counts is a person's to say. No mail is in neither."""
    folder, aside, reports = tmp_path / "spool", tmp_path / "aside", []
    async with opened(folder, reports) as spool, tended(spool):
        ids = await put(spool, 10)
        if instead == "replaced":
            aside.mkdir()
            for path in folder.glob("spool.db*"):
                path.rename(aside / path.name)
            (folder / "spool.db").touch()
        else:
            folder.rename(aside)
            if instead == "moved and made":
                folder.mkdir()
        await until(lambda: spool.room().trouble)
        assert not spool.room().accepting
        for _ in range(3):
            with pytest.raises(SpoolError):
                await put(spool)
        await until(lambda: reports)
        assert "new mail is refused" in reports[0][1]
        if instead == "replaced":
            for path in aside.iterdir():
                path.rename(folder / path.name)
        else:
            shutil.rmtree(folder, ignore_errors=True)
            aside.rename(folder)
        await until(lambda: spool.room().accepting)
        ids |= await put(spool)
    async with opened(folder) as spool:
        assert await ids_in(spool) == ids


def move_and_link(folder, aside):
    """SQLite names its log after the file that a link leads to: a restart found neither."""
    (folder / "spool.db").rename(aside)
    (folder / "spool.db").symlink_to(aside)
    yield
    aside.replace(folder / "spool.db")


def put_a_folder_in_place_of_the_log(folder, _):
    """The connection was closed before it was known that another could take its place."""
    (folder / "spool.db-wal").unlink()
    (folder / "spool.db-wal").mkdir()
    yield
    (folder / "spool.db-wal").rmdir()


def put_a_file_in_place_of_content(folder, _):
    """It was made executable, mail in files was refused without a word, and a restart was impossible."""
    shutil.rmtree(folder / "content")
    (folder / "content").touch()
    yield
    (folder / "content").unlink()


STRANGE = [move_and_link, put_a_folder_in_place_of_the_log, put_a_file_in_place_of_content]


@pytest.mark.parametrize("change", STRANGE, ids=lambda one: one.__name__)
async def test_what_is_of_another_kind_takes_no_more_until_it_is_put_right(tmp_path, change):
    folder = tmp_path / "spool"
    async with opened(folder) as spool, tended(spool):
        ids = await put(spool, 10)
        steps = change(folder, tmp_path / "aside")
        next(steps)
        await until(lambda: spool.room().trouble)
        with pytest.raises(SpoolError):
            await put(spool)
        assert (await spool.show(min(ids))).state is State.QUEUED
        next(steps, None)
        await until(lambda: spool.room().accepting)
        ids |= await put(spool)
    async with opened(folder) as spool:
        assert await ids_in(spool) == ids


async def test_a_link_in_place_of_the_database_is_refused_at_a_start(tmp_path):
    async with opened(tmp_path) as spool:
        await put(spool)
    (tmp_path / "spool.db").rename(tmp_path / "other")
    (tmp_path / "spool.db").symlink_to(tmp_path / "other")
    with pytest.raises(SpoolError, match="symbolic link"):
        await SqliteSpool(tmp_path).open()


async def test_a_folder_in_place_of_the_reserve_ends_no_start(tmp_path):
    (tmp_path / "reserve").mkdir()
    async with opened(tmp_path) as spool:
        assert not spool.room().sending
        (tmp_path / "reserve").rmdir()


@pytest.mark.parametrize("name", ["spool.db", "spool.db-wal"])
@pytest.mark.parametrize("part", [0, 0.5])
async def test_what_is_cut_off_is_noticed(tmp_path, name, part):
    """Whatever has its 250 from then on is there after a restart."""
    async with opened(tmp_path) as spool:
        before = await put(spool, 20)
        path = tmp_path / name
        size = path.stat().st_size
        inode = (tmp_path / "spool.db").stat().st_ino
        await until(lambda: spool._ownership._sizes.get(name) == size)
        with path.open("r+b") as file:
            file.truncate(int(size * part))
        await until(lambda: (tmp_path / "spool.db").stat().st_ino != inode)
        after = await put(spool, 3)
    async with opened(tmp_path) as spool:
        assert after <= await ids_in(spool) <= before | after


def submit(host, port):
    with smtplib.SMTP(host, port, timeout=PATIENCE) as client:
        client.sendmail("s@example.com", ["a@example.net"], "Subject: a\r\n\r\nb\r\n")


async def test_the_door_and_readiness_say_so(tmp_path):
    """They went on with 250 and "ready"."""
    async with relaying(tmp_path / "state", grants=()) as relay:
        folder = tmp_path / "state" / "spool"
        kept = await relay.put()
        for path in folder.glob("spool.db*"):
            path.unlink()
        (folder / "spool.db").touch()
        await until(lambda: relay.service.spool.room().trouble)
        with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
            await asyncio.to_thread(submit, *relay.service.server.addresses[0])
        assert caught.value.recipients["a@example.net"][0] == 451
        problems = await ServiceStatus(relay.service).problems()
        assert any("another file lies at" in one for one in problems)
        (folder / "spool.db").unlink()
        await until(lambda: relay.service.spool.room().accepting)
        later = await relay.put()
    async with opened(folder) as spool:
        assert {kept, later} <= {one.queue_id for one in await spool.list(list(State), 100)}


async def test_content_that_cannot_be_removed_ends_nothing(tmp_path):
    """On a read-only file system a refused message ended in an exception of its own."""
    async with opened(tmp_path) as spool:
        content = submission(spool, 1, b"x" * 300_000).content
        content.path.unlink()
        content.path.mkdir()  # for root too, a path that cannot be unlinked
        content.discard()
        content.path.rmdir()


async def test_a_log_that_the_relay_empties_itself_is_no_trouble(tmp_path, monkeypatch):
    """Each pause of five seconds once ended in an error, a copy of the database and mail to the operator."""
    monkeypatch.setattr("relay.spool.sqlite.writer._IDLE", 0.05)
    reports, wal = [], tmp_path / "spool.db-wal"
    async with opened(tmp_path, reports) as spool, tended(spool):
        for number in range(3):
            await spool.put(submission(spool, number, b"x" * 20_000), "scanner")
            await until(lambda: wal.stat().st_size == 0)
            inode = (tmp_path / "spool.db").stat().st_ino
            await asyncio.sleep(0.6)  # it looks twice a second
            await spool.put(submission(spool, number + 10), "scanner")
            assert (tmp_path / "spool.db").stat().st_ino == inode
            assert spool.room().trouble == ""
    assert reports == []
