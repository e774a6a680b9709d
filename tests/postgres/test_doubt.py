"""Commits whose end nobody hears: the reply is true all the same, and no mail is sent twice for it."""

import asyncio
import contextlib
from contextlib import asynccontextmanager

import pytest

from relay import reply
from relay.outcome import Action, Blame, Outcome
from relay.postgres.node import Times
from relay.spool import Settlement, SpoolError, SpoolInDoubt, State
from tests.support import postgres
from tests.support.cut import Cut
from tests.support.submissions import make_submission

TAKEN = Outcome(Action.RELAYED, "2.0.0", Blame.REMOTE, "taken")
PATIENCE = 30.0


@pytest.fixture
async def cut(database, tmp_path):
    folder = tmp_path / "cut"
    folder.mkdir()
    async with Cut(postgres.server(), folder) as proxy:
        yield proxy


@asynccontextmanager
async def opened_behind(cut, database, folder, patience=PATIENCE):
    from relay.postgres.engine import Options, PostgresSpool
    from relay.postgres.server import Address

    spool = PostgresSpool(Options(folder / "state", "node", Address(cut.url(database)), patience=patience))
    await spool.open()
    try:
        yield spool
    finally:
        await spool.close()


@pytest.fixture
async def spool(cut, database, tmp_path):
    async with opened_behind(cut, database, tmp_path) as spool:
        yield spool


@pytest.fixture
def impatient(monkeypatch):
    """Who waits for a connection gives up soon, and a node says soon what is over."""
    monkeypatch.setattr("relay.postgres.server._CONNECT_TIMEOUT", 1)
    monkeypatch.setattr(Times.__init__, "__defaults__", (30.0, 1.0))


@pytest.mark.parametrize("lost", ["request", "answer"])
@pytest.mark.parametrize("size", [20, 300_000])
async def test_a_put_whose_commit_breaks_is_kept_once(spool, cut, database, lost, size):
    """The server has it and nobody heard, or it never saw it: both look the same to the relay."""
    cut.arm(lost)
    queue_id = await spool.put(make_submission(spool, b"x" * size), "scanner")
    assert cut.done == 1
    assert postgres.server().sql("SELECT queue_id, state FROM relay.message", database) == [
        (queue_id, "queued")
    ]
    assert (await spool.content(queue_id)).size == size


async def test_all_puts_of_a_group_in_doubt_are_kept_once(spool, cut, database):
    cut.arm("answer", times=3)
    ids = await asyncio.gather(*(spool.put(make_submission(spool), "scanner") for _ in range(50)))
    assert cut.done
    rows = postgres.server().sql("SELECT queue_id FROM relay.message", database)
    assert sorted(row[0] for row in rows) == sorted(ids)


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_a_start_that_nobody_heard_of_is_not_sent_and_never_was(spool, cut, database, lost):
    """Its row would be a request that may have been sent, and the message unknown."""
    await spool.put(make_submission(spool), "scanner")
    with await spool.claim(["scanner"], 0) as claim:
        cut.arm(lost, b"INSERT INTO relay.request")
        with pytest.raises(SpoolError):
            await spool.start(claim, 0, ["a@example.com"])
        await spool.abandon(claim)
    assert postgres.server().sql("SELECT count(*) FROM relay.request", database) == [(0,)]
    with await spool.claim(["scanner"], 0) as again:
        await spool.start(again, 0, ["a@example.com"])
        assert await spool.settle(again, Settlement(State.RELAYED, TAKEN), ended=(0, TAKEN))


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_how_a_message_ended_is_written_once_whatever_breaks(spool, cut, lost):
    queue_id = await spool.put(make_submission(spool), "scanner")
    with await spool.claim(["scanner"], 0) as claim:
        await spool.start(claim, 0, ["a@example.com"])
        cut.arm(lost, b"UPDATE relay.request")
        await spool.record(claim, 0, TAKEN)
        cut.arm(lost, b"UPDATE relay.message")
        assert await spool.settle(claim, Settlement(State.RELAYED, TAKEN))
    assert cut.done == 2
    entry = await spool.show(queue_id)
    assert (entry.state, entry.attempts) == (State.RELAYED, 1)
    (attempt,) = await spool.attempts(queue_id)
    assert attempt.outcome == TAKEN


async def test_a_session_in_doubt_gets_no_reply_and_its_next_try_is_the_same_mail(opened, database):
    """250 might be a lie, and 451 a second mail. What was kept is recognised when it comes again."""
    spool = await opened(patience=0.5)
    first = make_submission(spool)
    with hanging_replica():
        put = asyncio.create_task(spool.put(first, "scanner"))
        await _until(lambda: _waiting(database))
        _end("pg_cancel_backend", database)
        with pytest.raises(SpoolInDoubt):
            await _keep_cancelling(put, database)
    again = make_submission(spool)
    known = await asyncio.wait_for(spool.recall(again), 30)
    rows = postgres.server().sql("SELECT queue_id FROM relay.message", database)
    assert [(known.queue_id,)] == rows


async def test_what_reaches_the_server_after_the_next_try_is_not_kept(cut, database, tmp_path, impatient):
    """The session ended in doubt, the next one was answered, then the first one's octets came: two mails."""
    async with opened_behind(cut, database, tmp_path, patience=0.5) as spool:
        cut.arm("time", b"INSERT INTO relay.unheard")
        put = asyncio.create_task(spool.put(make_submission(spool), "scanner"))
        await _until(lambda: cut.done)
        cut.leave()
        with pytest.raises(SpoolInDoubt):
            await asyncio.wait_for(put, 30)
        cut.is_away = False
        await _until(lambda: spool.room().accepting)
        again = make_submission(spool)
        assert await asyncio.wait_for(spool.recall(again), 30) is None
        queue_id = await spool.put(again, "scanner")
        spool.replied(queue_id, reply.queued(queue_id))
        cut.free.set()
        await asyncio.wait_for(cut.late.wait(), 30)
    assert postgres.server().sql("SELECT queue_id FROM relay.message", database) == [(queue_id,)]


async def test_what_was_not_to_be_seen_when_its_session_ended_is_recognised_at_another_node(
    cut, opened, database, tmp_path, impatient
):
    """The row waited for the replica, so nobody could say there that its session was over.

    The other node waited for that session until this one ended, and the client for its reply.
    """
    other = await opened("other")
    async with opened_behind(cut, database, tmp_path, patience=0.5) as spool:
        with hanging_replica():
            put = asyncio.create_task(spool.put(make_submission(spool), "scanner"))
            await _until(lambda: _waiting(database))
            cut.leave()
            with pytest.raises(SpoolInDoubt):
                await asyncio.wait_for(put, 30)
            cut.is_away = False
            # That the session is over, and what stands in the row's place.
            await _until(lambda: len(_waiting(database)) > 1)
        ((queue_id,),) = await _until(
            lambda: postgres.server().sql("SELECT queue_id FROM relay.message", database)
        )
        assert (await asyncio.wait_for(other.recall(make_submission(other)), 30)).queue_id == queue_id


@contextlib.contextmanager
def hanging_replica():
    """Commits wait for a replica that never answers."""
    server = postgres.server()
    server.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    server.sql("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        server.sql("ALTER SYSTEM RESET synchronous_standby_names")
        server.sql("SELECT pg_reload_conf()")


@pytest.mark.parametrize("end", ["pg_cancel_backend", "pg_terminate_backend"])
async def test_a_wait_for_the_replica_that_somebody_ends_is_no_success(opened, database, end):
    """The server calls a cancelled one done, with a warning; one whose session it ends, broken.

    Either is here, and not on the replica. A statement_timeout, which is over long before, ends none.
    """
    server = postgres.server()
    server.sql(f"ALTER DATABASE {database} SET statement_timeout = '3s'")
    spool = await opened(patience=PATIENCE)
    with hanging_replica():
        put = asyncio.create_task(spool.put(make_submission(spool), "scanner"))
        await _until(lambda: _waiting_for(4, database))
        assert not put.done()
        _end(end, database)
        await _until(lambda: _waiting(database))  # the write that finds out waits as well
        assert not put.done()
    queue_id = await asyncio.wait_for(put, 30)
    assert server.sql("SELECT queue_id FROM relay.message", database) == [(queue_id,)]


async def test_a_start_whose_wait_was_cancelled_is_not_sent(opened, database):
    """On the replica it is not there: after a failover the request would be sent again, unrecorded."""
    spool = await opened(patience=PATIENCE)
    await spool.put(make_submission(spool), "scanner")
    with await spool.claim(["scanner"], 0) as claim:
        with hanging_replica():
            start = asyncio.create_task(spool.start(claim, 0, ["a@example.com"]))
            await _until(lambda: _waiting(database))
            _end("pg_cancel_backend", database)
            with pytest.raises(SpoolError):
                await asyncio.wait_for(start, 30)
        await spool.abandon(claim)
    assert postgres.server().sql("SELECT count(*) FROM relay.request", database) == [(0,)]


async def test_the_same_mail_again_is_new_while_it_is_written_that_the_first_was_answered(opened, database):
    """The client has its reply, and may well send the same once more; the database is slow meanwhile."""
    spool = await opened(patience=PATIENCE)
    first = await spool.put(make_submission(spool), "scanner")
    with hanging_replica():
        busy = asyncio.create_task(spool.put(make_submission(spool, b"other"), "scanner"))
        await _until(lambda: _waiting(database))
        spool.replied(first, reply.queued(first))
        assert await asyncio.wait_for(spool.recall(make_submission(spool)), 30) is None
    await busy


def _waiting(database):
    return postgres.server().sql(
        f"SELECT pid FROM pg_stat_activity WHERE datname = '{database}' AND wait_event = 'SyncRep'"
    )


def _waiting_for(seconds, database):
    return postgres.server().sql(
        f"SELECT pid FROM pg_stat_activity WHERE datname = '{database}' AND wait_event = 'SyncRep'"
        f" AND query_start < clock_timestamp() - interval '{seconds} s'"
    )


def _end(how, database):
    for (pid,) in _waiting(database):
        postgres.server().sql(f"SELECT {how}({pid})")


async def _until(condition):
    async with asyncio.timeout(30):
        while not (found := condition()):
            await asyncio.sleep(0.02)
        return found


async def _keep_cancelling(put, database):
    while not put.done():
        _end("pg_cancel_backend", database)
        await asyncio.sleep(0.05)
    return await put


async def test_a_message_that_was_taken_over_unheard_is_recognised_the_next_time(spool, cut, opened):
    """The table said that this node answers for it, and no session did: the next try was new mail."""
    other = await opened("other")
    queue_id = await other.put(make_submission(other), "scanner")
    other.unheard(queue_id)
    assert await other.recall(make_submission(other, b"another")) is None  # waits until that is written
    cut.arm("answer", b"UPDATE relay.unheard SET over = false")
    with pytest.raises(SpoolError):
        await spool.recall(make_submission(spool))
    assert cut.done == 1
    assert (await spool.recall(make_submission(spool))).queue_id == queue_id
    assert await spool.recall(make_submission(spool)) is None


async def test_a_message_that_was_taken_over_and_cannot_be_read_is_recognised_the_next_time(
    spool, opened, monkeypatch
):
    """The database was away for a moment: the message was taken for new mail."""
    other = await opened("other")
    queue_id = await other.put(make_submission(other), "scanner")
    other.unheard(queue_id)
    assert await other.recall(make_submission(other, b"another")) is None  # waits until that is written

    async def fail(*_):
        raise SpoolError("the database does not answer")

    with monkeypatch.context() as broken:
        broken.setattr(spool, "show", fail)
        with pytest.raises(SpoolError):
            await spool.recall(make_submission(spool))
    assert (await spool.recall(make_submission(spool))).queue_id == queue_id
