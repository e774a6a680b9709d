"""A database with bad pages: what can be read goes on, the rest is named, and nobody has to do anything."""

import asyncio
import os
import shutil
import sqlite3
import time

import pytest

from relay.outcome import Action, Blame, Outcome
from relay.spool import NoSuchMessage, Settlement, State
from relay.spool.sqlite import recovery
from tests.support.spool import opened, submission

COUNT = 160
TAKEN = Outcome(Action.RELAYED, "2.0.0", Blame.REMOTE, "taken", http_status=202)


async def fill(folder, count=COUNT):
    async with opened(folder) as spool:
        return set(await asyncio.gather(*[spool.put(submission(spool, i), "scanner") for i in range(count)]))


def spoil(folder, name, which=(1,)):
    """Write chance over these leaves of a table or an index, counted from its first."""
    connection = sqlite3.connect(folder / "spool.db")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    try:
        connection.execute("SELECT 1 FROM dbstat")
    except sqlite3.OperationalError:
        connection.close()
        pytest.skip("NOT TESTED: this SQLite has no dbstat, which finds the pages to damage")
    query = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path"
    leaves = [number for (number,) in connection.execute(query, (name,))]
    connection.close()
    with (folder / "spool.db").open("r+b") as file:
        for one in which:
            file.seek((leaves[one % len(leaves)] - 1) * size)
            file.write(b"\xa5" * size)


async def claim_all(spool):
    found = set()
    while (claim := await spool.claim(["scanner"], time.time())) is not None:
        found.add(claim.entry.queue_id)
        await spool.start(claim, 0, claim.entry.envelope.forward_paths)
        await spool.record(claim, 0, TAKEN)
        await spool.settle(claim, Settlement(State.RELAYED, TAKEN))
    return found


async def tend(spool):
    task = asyncio.create_task(spool.tend(1e9, 1e9))
    await asyncio.sleep(0.3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("index", ["message_turn", "message_due", "message_state", "message_line"])
async def test_a_bad_page_of_an_index_costs_nothing(tmp_path, index):
    """The relay did not start, or refused some mail and sent none, until somebody mended it by hand."""
    ids, reports = await fill(tmp_path), []
    spoil(tmp_path, index, range(3))
    async with opened(tmp_path, reports) as spool:
        ids.add(await spool.put(submission(spool, COUNT), "scanner"))
        assert await claim_all(spool) == ids
        await tend(spool)
        assert (await spool.counts())[State.RELAYED] == len(ids)
    ((name, text),) = reports
    assert name == "spool.db"
    assert "messages were salvaged, none is missing" in text


@pytest.mark.parametrize("which", [(0,), (-1,), (3,), (3, 30)])
async def test_a_bad_page_of_messages_costs_those_and_they_are_named(tmp_path, which):
    ids, reports = await fill(tmp_path), []
    spoil(tmp_path, "message", which)
    async with opened(tmp_path, reports) as spool:
        found = await claim_all(spool)
        await tend(spool)
        lost = ids - found
        assert 0 < len(lost) < 40
        ((_, text),) = reports
        assert f"{len(found)} messages were salvaged, {len(lost)} are lost" in text
        assert set(text.partition("(")[2].partition(")")[0].split(", ")) <= lost
        for queue_id in lost:
            assert (tmp_path / "orphaned" / queue_id).read_bytes().startswith(b"Subject: ")
            with pytest.raises(NoSuchMessage):
                await spool.show(queue_id)
    (kept,) = tmp_path.glob("damaged-*")
    assert (kept / "spool.db").stat().st_size > 0


@pytest.mark.parametrize("table", ["content", "request", "event", "unheard"])
async def test_a_bad_page_elsewhere_loses_no_message_without_a_word(tmp_path, table):
    ids = await fill(tmp_path)
    async with opened(tmp_path) as spool:
        for queue_id in sorted(ids)[:100]:
            spool.note(queue_id, "looked at")
        for _ in range(100):
            claim = await spool.claim(["scanner"], time.time())
            await spool.start(claim, 0, claim.entry.envelope.forward_paths)
            await spool.record(claim, 0, TAKEN)
            ids.discard(claim.entry.queue_id)
            await spool.settle(claim, Settlement(State.RELAYED, TAKEN))
    spoil(tmp_path, table)
    reports = []
    async with opened(tmp_path, reports) as spool:
        found = await claim_all(spool)
        held = {entry.queue_id for entry in await spool.list([State.HELD], COUNT)}
        assert found | held == ids
        assert bool(held) == (table == "content")
        await tend(spool)


async def test_a_file_that_is_no_database_any_more_is_kept_and_a_new_one_begun(tmp_path):
    """Its large contents are put aside: they may be somebody's mail."""
    async with opened(tmp_path) as spool:
        large = await spool.put(submission(spool, 1, b"x" * 100_000), "scanner")
    for path in tmp_path.glob("spool.db-*"):
        path.unlink()
    (tmp_path / "spool.db").write_bytes(os.urandom(50_000))
    os.utime(tmp_path / "content" / large, (1e9, 1e9))
    reports = []
    async with opened(tmp_path, reports) as spool:
        queue_id = await spool.put(submission(spool, 2), "scanner")
        await tend(spool)
        assert await claim_all(spool) == {queue_id}
    assert (tmp_path / "orphaned" / large).stat().st_size > 100_000
    assert "0 messages were salvaged, how many are missing cannot be told" in reports[0][1]


async def test_damage_that_shows_while_it_runs_is_mended_under_way(tmp_path):
    """Nobody is refused for it, and what is under way ends as it would have."""
    ids, reports = await fill(tmp_path), []
    async with opened(tmp_path, reports) as spool:
        await tend(spool)
        under_way = await spool.claim(["scanner"], time.time())
        await spool.start(under_way, 0, under_way.entry.envelope.forward_paths)
        spoil(tmp_path, "message_turn", range(1, 12))
        found = await claim_all(spool)
        ids.add(await spool.put(submission(spool, COUNT), "scanner"))
        await spool.record(under_way, 0, TAKEN)
        await spool.settle(under_way, Settlement(State.RELAYED, TAKEN))
        found |= await claim_all(spool) | {under_way.entry.queue_id}
        assert found == ids
        assert (await spool.counts())[State.RELAYED] == len(ids)
        assert [name for name, _ in reports] == ["spool.db"]
    assert len(list(tmp_path.glob("damaged-*"))) == 1


async def test_a_salvage_that_was_cut_off_at_its_last_step_is_completed(tmp_path):
    """The new database is whole: beside it the old one's log must not be taken for its own."""
    ids = await fill(tmp_path, 20)
    recovery.salvage(tmp_path)
    (tmp_path / "spool.db").rename(tmp_path / "spool.salvaged")
    (tmp_path / "spool.db").write_bytes(b"\xa5" * 8192)
    (tmp_path / "spool.db-wal").write_bytes(b"\xa5" * 8192)
    async with opened(tmp_path) as spool:
        assert await claim_all(spool) == ids
    assert not (tmp_path / "spool.salvaged").exists()


async def test_damage_that_could_not_be_mended_is_left_to_the_next_start(tmp_path):
    ids = await fill(tmp_path, 20)
    recovery.mark(tmp_path)
    reports = []
    async with opened(tmp_path, reports) as spool:
        await tend(spool)
        assert await claim_all(spool) == ids
    assert "20 messages were salvaged, none is missing" in reports[0][1]
    async with opened(tmp_path, reports) as spool:
        await tend(spool)
    assert len(reports) == 1


def spoil_page(folder, number):
    with (folder / "spool.db").open("r+b") as file:
        file.seek((number - 1) * 4096)
        file.write(b"\xa5" * 4096)


@pytest.mark.parametrize("number", [1, 2])
async def test_a_bad_root_costs_no_more_than_a_leaf(tmp_path, number):
    """All 500 were lost with the root of the messages (page 2), and with the schema (page 1)."""
    ids, reports = await fill(tmp_path), []
    spoil_page(tmp_path, number)
    async with opened(tmp_path, reports) as spool:
        found = await claim_all(spool)
        await tend(spool)
    assert len(ids - found) <= (10 if number == 2 else 0)
    assert f"{len(found)} messages were salvaged" in reports[0][1]


async def test_what_was_deleted_does_not_come_back(tmp_path):
    """Its old rows still stand on free pages, and without the schema nothing says which pages are free."""
    ids = await fill(tmp_path, 200)
    async with opened(tmp_path) as spool:
        for _ in range(150):
            claim = await spool.claim(["scanner"], time.time())
            await spool.start(claim, 0, claim.entry.envelope.forward_paths)
            await spool.record(claim, 0, TAKEN)
            await spool.settle(claim, Settlement(State.RELAYED, TAKEN))
            ids.discard(claim.entry.queue_id)
        assert await spool.purge(time.time() + 1, 0) == 150
    spoil_page(tmp_path, 1)
    async with opened(tmp_path) as spool:
        waiting = {entry.queue_id for entry in await spool.list([State.QUEUED, State.HELD], COUNT)}
        assert waiting == ids
        assert await claim_all(spool) <= ids


@pytest.mark.parametrize("look", ["backlog", "accounts", "list", "history"])
async def test_damage_that_a_look_meets_is_mended_and_the_look_repeated(tmp_path, look):
    """Only the writer's damage was mended: what a reader met ended the start, and each start after it."""
    ids = await fill(tmp_path)
    async with opened(tmp_path) as spool:
        for _ in range(30):
            claim = await spool.claim(["scanner"], time.time())
            await spool.start(claim, 0, claim.entry.envelope.forward_paths)
            await spool.settle(claim, Settlement(State.QUEUED, TAKEN, spent=False))
    for index in ("message_line", "message_turn", "message_state", "request_started"):
        spoil(tmp_path, index, range(1, 3))
    async with opened(tmp_path) as spool:
        found = {
            "backlog": lambda: spool.backlog(10_000),
            "accounts": spool.accounts,
            "list": lambda: spool.list([State.QUEUED], 10_000),
            "history": lambda: spool.history(0.0),
        }
        assert len(await found[look]()) in (1, 30, len(ids))
        assert await claim_all(spool) == ids


async def test_a_log_that_was_spoiled_or_cut_off_is_noticed(tmp_path):
    """SQLite starts without a word with what stood before the bad place; 250 had been said to all of them."""
    async with opened(tmp_path / "a") as spool:
        ids = [await spool.put(submission(spool, number), "scanner") for number in range(30)]
        for name in ("spoiled", "cut", "removed"):
            shutil.copytree(tmp_path / "a", tmp_path / name)
    wal = (tmp_path / "spoiled" / "spool.db-wal").read_bytes()
    middle = 32 + len(wal) // 4120 // 2 * 4120
    (tmp_path / "spoiled" / "spool.db-wal").write_bytes(wal[:middle] + b"\xa5" * 4120 + wal[middle + 4120 :])
    os.truncate(tmp_path / "cut" / "spool.db-wal", middle)
    (tmp_path / "removed" / "spool.db-wal").unlink()
    async with opened(tmp_path / "spoiled") as spool:
        assert {one.queue_id for one in await spool.list(list(State), COUNT)} >= set(ids[:-10])
    for name in ("cut", "removed"):
        reports = []
        async with opened(tmp_path / name, reports) as spool:
            await tend(spool)
            assert await spool.claim(["scanner"], time.time()) is None
        assert any(word in reports[0][1] for word in ("at least", "cannot be told"))
