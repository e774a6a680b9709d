"""One node at a time sends: the lease, its fence, and what a node believes of itself."""

import asyncio
import contextlib
import shutil
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from relay import reply
from relay.host.clock import Clock, time_since_boot
from relay.outcome import Action, Blame, Hold, Outcome
from relay.postgres.node import Times
from relay.postgres.outgoing import Ends
from relay.spool import NoSuchMessage, Settlement, SpoolError, SpoolLocked, State, TakenElsewhere, Topic, Word
from tests.support import postgres
from tests.support.submissions import make_submission

TAKEN = Outcome(Action.RELAYED, "2.0.0", Blame.REMOTE, "taken")
UNKNOWN = Outcome(Action.UNKNOWN, "4.4.2", Blame.REMOTE, "no answer")
SHORT = Times(lease=3.0, beat=0.5)
# A node that is not heard of any more, but whose lease has not run out.
TO_ANOTHER = "UPDATE relay.lease SET epoch = epoch + 1, holder = 7"
QUICK = Times(lease=30.0, beat=2.0)  # of which a busy machine makes no outage


async def leads(spool):
    """Wait until this node sends."""
    async with asyncio.timeout(30):
        while not spool.room().sending:
            await asyncio.sleep(0.02)


async def test_every_node_takes_mail_and_one_sends(opened):
    """Two senders would exceed the budget of Works, and send mail twice."""
    first, second = await opened("first"), await opened("second")
    assert first.term
    assert not second.term
    queue_id = await second.put(make_submission(second), "scanner")
    assert await second.claim(["scanner"], 0) is None
    async with asyncio.timeout(30):
        while (claim := await first.claim(["scanner"], 0)) is None:
            await asyncio.sleep(0.02)
    with claim:
        assert claim.entry.queue_id == queue_id
    assert [(one.name, one.sends) for one in await second.board.nodes()] == [
        ("first", True),
        ("second", False),
    ]


async def test_the_clone_of_a_machine_is_a_machine_of_its_own(opened, tmp_path):
    """Each took the other for its predecessor, which its lock proves to be dead: the lease changed hands with
    every beat, and one of them was shown to nobody.
    """
    first = await opened("first", times=Times(lease=30.0, beat=0.5))
    (tmp_path / "clone").mkdir()
    shutil.copy(tmp_path / "first" / "node-id", tmp_path / "clone" / "node-id")
    clone = await opened("clone", times=Times(lease=30.0, beat=60.0))
    async with asyncio.timeout(30):
        while len(nodes := await first.board.nodes()) < 2 or first.term:
            await asyncio.sleep(0.02)
    assert [(one.name, one.sends) for one in nodes] == [("clone", True), ("first", False)]
    assert not await first.node.stand()
    known = [(tmp_path / name / "node-id").read_text().strip() for name in ("first", "clone")]
    assert known == [first.node.home, clone.node.home]
    assert first.node.home != clone.node.home


async def test_of_nodes_that_stand_at_once_one_is_the_sender(opened, database):
    """Without a comparison in the write several took the lease in nearly every round."""
    nodes = [await opened(f"node{number}", times=QUICK) for number in range(5)]
    for _ in range(10):
        for one in nodes:
            one._node._epoch = None
        postgres.server().sql("UPDATE relay.lease SET holder = NULL, epoch = epoch + 1", database)
        taken = await asyncio.gather(*(one._node.stand() for one in nodes))
        assert sum(taken) == 1
        assert sum(bool(one.term) for one in nodes) == 1


async def test_a_message_is_discarded_or_started_and_never_both(opened, database):
    """A look that is followed by a write is no decision: the person was told that it is gone, and it went."""
    first, second = await opened("first"), await opened("second")
    ids = [await first.put(make_submission(first), "scanner") for _ in range(60)]
    started = []

    async def send_all():
        while (claim := await first.claim(["scanner"], 0)) is not None:
            with claim, contextlib.suppress(SpoolError):
                await first.start(claim, 0, ["a@example.com"])
                started.append(claim.entry.queue_id)

    async def discard(queue_id):
        try:
            await second.discard(queue_id)
        except NoSuchMessage:
            return None
        return queue_id

    *gone, _ = await asyncio.gather(*(discard(one) for one in reversed(ids)), send_all())
    discarded = {one for one in gone if one}
    assert not discarded & set(started)
    assert discarded | set(started) == set(ids)
    counts = await second.counts()
    assert (counts[State.DISCARDED], counts[State.SENDING]) == (len(discarded), len(started))


@pytest.mark.parametrize("ends", ["close", "hand_over"])
async def test_a_node_that_ends_is_followed_at_once(opened, ends):
    """A machine that is patched costs no half a minute."""
    first, second = await opened("first"), await opened("second")
    queue_id = await first.put(make_submission(first), "scanner")
    await getattr(first, ends)()
    await leads(second)
    with await second.claim(["scanner"], 0) as claim:
        assert claim.entry.queue_id == queue_id


async def test_a_node_that_died_is_followed_when_its_lease_is_over(opened):
    first, second = await opened("first", times=SHORT), await opened("second", times=SHORT)
    first._beating.cancel()  # as if the machine had lost its power
    first._standing.cancel()
    await leads(second)
    assert not first.room().sending


async def test_a_sender_that_was_cut_off_is_not_followed_as_soon_as_the_database_is_back(opened, database):
    """An outage of the database outlasts every lease: whoever reaches it first must not call others dead."""
    first, second = await opened("first", times=SHORT), await opened("second", times=SHORT)
    term = first.term
    server = postgres.server()
    server.stop()
    await asyncio.sleep(SHORT.lease)
    server.start()
    await leads(first)
    assert (first.term, second.term) == (term, 0)


async def test_the_process_after_a_kill_takes_over_at_once(database, tmp_path):
    """It has got the state directory's lock: the one before is certainly dead, and need not be waited for."""
    first = postgres.open_spool_on(database, tmp_path)
    await first.open()
    first._beating.cancel()
    first._local.release()  # the kernel does it when a process is killed
    second = postgres.open_spool_on(database, tmp_path)
    await second.open()
    assert second.room().sending
    await second.close()
    await first.close()


async def test_two_processes_never_share_a_state_directory(opened):
    await opened("node")
    with pytest.raises(SpoolLocked):
        await opened("node")


async def test_an_old_sender_starts_nothing(opened, database):
    """The fence is in the database: the old sender may not know yet that its lease is another's."""
    spool = await opened()
    await spool.put(make_submission(spool), "scanner")
    with await spool.claim(["scanner"], 0) as claim:
        postgres.server().sql(TO_ANOTHER, database)
        with pytest.raises(SpoolError):
            await spool.start(claim, 0, ["a@example.com"])
    assert postgres.server().sql("SELECT count(*) FROM relay.request", database) == [(0,)]


async def test_a_lost_lease_is_noticed(opened, database):
    """The node goes on to take mail."""
    spool = await opened(times=QUICK)
    words = []
    spool.subscribe(words.append)
    postgres.server().sql(TO_ANOTHER, database)
    async with asyncio.timeout(30):
        while spool.term:
            await asyncio.sleep(0.02)
    assert Word(Topic.SENDER) in words
    assert not spool.room().sending
    assert await spool.claim(["scanner"], 0) is None
    await spool.put(make_submission(spool), "scanner")


async def test_a_lease_is_not_lost_by_a_beat_that_began_before_it_was_taken(opened, monkeypatch):
    """The beat had found nothing to renew: the node gave up the lease that it had got meanwhile."""
    spool = await opened()
    await spool.hand_over()
    node, beat = spool._node, spool._node._beat

    async def late(epoch):
        renewed = await beat(epoch)
        assert node.term or await node.take(await node.find_holder())
        return renewed

    monkeypatch.setattr(node, "_beat", late)
    await node.beat()
    assert spool.room().sending


async def test_a_machine_that_slept_begins_nothing_before_it_has_renewed_its_lease(database, tmp_path):
    """The database is the judge, but it is asked only now and then: the node counts by its own boot clock."""
    slept = 0.0
    clock = replace(Clock(), boot=lambda: time.monotonic() + slept)
    spool = postgres.open_spool_on(database, tmp_path, clock=clock)
    await spool.open()
    await spool.put(make_submission(spool), "scanner")
    with await spool.claim(["scanner"], 0) as claim:
        slept = 60.0
        assert not spool.room().sending
        with pytest.raises(SpoolError, match="not the sender"):
            await spool.start(claim, 0, ["a@example.com"])
    await spool.close()


async def test_a_message_is_dated_by_the_database_s_clock(database, tmp_path):
    """Another node judges until when it is tried: one of a machine without its time was given up at once."""
    wrong = Clock(wall=lambda: time.time() + 7200)
    spool = postgres.open_spool_on(database, tmp_path, clock=wrong)
    await spool.open()
    submission = make_submission(spool)
    arrival = submission.envelope.arrival_date + timedelta(hours=2)
    submission = replace(submission, envelope=replace(submission.envelope, arrival_date=arrival))
    entry = await spool.show(await spool.put(submission, "scanner"))
    assert abs(entry.since - arrival.timestamp() + 7200) < 60
    await spool.close()


async def test_an_outage_of_the_database_is_known_and_over_by_itself(opened, database):
    """New mail is refused with 451 meanwhile; nothing has to be restarted afterwards."""
    spool = await opened(times=QUICK)
    ids = [await spool.put(make_submission(spool), "scanner") for _ in range(3)]
    server = postgres.server()
    server.stop()
    try:
        async with asyncio.timeout(30):
            while spool.room().accepting:
                await asyncio.sleep(0.02)
        assert spool.room().trouble
        with pytest.raises(SpoolError):
            await spool.put(make_submission(spool), "scanner")
    finally:
        server.start()
    async with asyncio.timeout(30):
        while not (spool.room().accepting and spool.room().sending):
            await asyncio.sleep(0.02)
    ids.append(await spool.put(make_submission(spool), "scanner"))
    claimed = []
    for _ in ids:
        with await spool.claim(["scanner"], 0) as claim:
            claimed.append(claim.entry.queue_id)
    assert claimed == ids


async def test_the_lease_is_renewed_although_the_fence_is_held(opened, database):
    """A statement that holds the lease's row for long must not cost the node its lease."""
    import psycopg

    spool = await opened(times=SHORT)
    with psycopg.connect(postgres.server().url(database)) as connection:
        connection.execute("SELECT FROM relay.lease FOR SHARE")
        valid_until = spool._node._valid_until
        async with asyncio.timeout(30):
            while spool._node._valid_until < valid_until + SHORT.lease:
                await asyncio.sleep(0.05)


async def die(spool, database):
    """As if the machine had lost its power a minute ago."""
    spool._beating.cancel()
    spool._standing.cancel()
    while spool.database._running:  # a renewal that was sent
        await asyncio.sleep(0.01)
    postgres.server().sql("UPDATE relay.lease_until SET until = until - 60", database)
    postgres.server().sql("UPDATE relay.node SET seen = seen - 60", database)


@pytest.mark.parametrize("longest", [1000.0, 0.0])
async def test_another_machines_request_is_judged_when_it_has_certainly_ended(opened, database, longest):
    """The machine may only have stopped for a while: judged too early, its mail would be sent beside it."""
    first = await opened("first")
    queue_id = await first.put(make_submission(first), "scanner")
    with await first.claim(["scanner"], 0) as claim:
        await first.start(claim, 0, ["a@example.com"])
        await die(first, database)
        second = await opened("second", ends=Ends(longest), times=QUICK)
        await leads(second)
        found = await second.interrupted()
        assert [one.claim.entry.queue_id for one in found] == ([] if longest else [queue_id])
        assert await second.claim(["scanner"], 0) is None
        if longest:
            # It comes to its end after all, and what it writes is true.
            await first.record(claim, 0, TAKEN)
            assert await first.settle(claim, Settlement(State.RELAYED, TAKEN))
            assert (await second.show(queue_id)).state is State.RELAYED
        else:
            await second.settle(found[0].claim, Settlement(State.HELD, found[0].outcome))
            assert not await first.settle(claim, Settlement(State.RELAYED, TAKEN))
            assert (await second.show(queue_id)).state is State.HELD
            assert not first._turns.claimed  # or it would never send it again, when it is the sender


@pytest.mark.parametrize(
    ("held", "word", "state"),
    [
        (False, TAKEN, State.QUEUED),
        (True, TAKEN, State.QUEUED),
        (False, UNKNOWN, State.DELAYED),
        (True, UNKNOWN, State.HELD),
    ],
)
async def test_a_late_word_improves_what_was_unknown(opened, database, held, word, state):
    """A machine that stopped goes on, and the answer was there all the time: it is not sent again."""
    first = await opened("first")
    queue_id = await first.put(make_submission(first), "scanner")
    with await first.claim(["scanner"], 0) as claim:
        await first.start(claim, 0, ["a@example.com"])
        await die(first, database)
        second = await opened("second", ends=Ends(0.0), times=QUICK)
        await leads(second)
        (found,) = await second.interrupted()
        end = State.HELD if held else State.DELAYED
        hold = Hold.OUTCOME if held else Hold.NONE
        settled = Settlement(end, found.outcome, next_attempt=1e10, hold=hold)
        assert await second.settle(found.claim, settled)
        await first.record(claim, 0, word)
    entry = await second.show(queue_id)
    assert entry.state is state
    assert entry.relayed == ({"a@example.com"} if word is TAKEN else frozenset())
    if word is TAKEN:
        with await second.claim(["scanner"], 0) as again:
            assert again.entry.relayed == {"a@example.com"}


async def test_a_late_word_stops_a_start_that_is_prepared(opened, database):
    """Otherwise the message would leave once more in the moment in which it is known that it was taken."""
    first = await opened("first")
    await first.put(make_submission(first), "scanner")
    with await first.claim(["scanner"], 0) as claim:
        await first.start(claim, 0, ["a@example.com"])
        await die(first, database)
        second = await opened("second", ends=Ends(0.0), times=QUICK)
        await leads(second)
        (found,) = await second.interrupted()
        await second.settle(found.claim, Settlement(State.QUEUED, found.outcome))
        with await second.claim(["scanner"], 0) as again:
            await first.record(claim, 0, TAKEN)
            with pytest.raises(SpoolError, match="not to be sent by this node"):
                await second.start(again, 0, ["a@example.com"])


async def test_what_a_former_sender_still_takes_is_sent_by_the_next_one(opened, database):
    """It is told to end, and its sessions come to their end meanwhile."""
    first = await opened("first")
    await die(first, database)
    second = await opened("second", times=QUICK)
    await leads(second)
    words = []
    second.subscribe(words.append)
    assert await second.claim(["scanner"], 0) is None
    queue_id = await first.put(make_submission(first), "scanner")
    async with asyncio.timeout(30):
        while Word(Topic.NEW) not in words:
            await asyncio.sleep(0.02)
    with await second.claim(["scanner"], 0) as claim:
        assert claim.entry.queue_id == queue_id


async def test_what_a_dead_machine_never_answered_is_recognised_by_the_next_one(opened, database):
    """Its client comes to the other machine, at once. Two mails would be the reply to a crash."""
    first = await opened("first")
    queue_id = await first.put(make_submission(first), "scanner")
    await die(first, database)
    second = await opened("second")
    known = await second.recall(make_submission(second))
    assert known.queue_id == queue_id
    assert await second.recall(make_submission(second)) is None


async def test_a_session_of_another_machine_is_waited_for(opened, database):
    """It is not over yet, and its reply not written: nobody knows yet whether that will be heard."""
    first = await opened("first")
    queue_id = await first.put(make_submission(first), "scanner")
    heard = await first.put(make_submission(first, b"heard"), "scanner")
    postgres.server().sql("UPDATE relay.lease SET epoch = epoch + 1, holder = NULL", database)
    second = await opened("second")
    asked = asyncio.create_task(second.recall(make_submission(second)))
    asked_too = asyncio.create_task(second.recall(make_submission(second, b"heard")))
    await asyncio.sleep(0.5)
    assert not asked.done()
    first.unheard(queue_id)
    first.replied(heard, reply.queued(heard))
    assert (await asyncio.wait_for(asked, 30)).queue_id == queue_id
    assert await asyncio.wait_for(asked_too, 30) is None


@pytest.mark.parametrize("size", [20, 300_000])
async def test_an_equal_message_that_came_to_another_node_meanwhile_is_not_kept(opened, size):
    """Both had looked before either was kept: two mails, and no record that there might be."""
    first, second = await opened("first"), await opened("second")
    content = b"x" * size
    ones = [make_submission(spool, content) for spool in (first, second)]
    assert [await spool.recall(one) for spool, one in zip((first, second), ones, strict=True)] == [None, None]
    puts = [spool.put(one, "scanner") for spool, one in zip((first, second), ones, strict=True)]
    results = await asyncio.gather(*puts, return_exceptions=True)
    assert sorted(isinstance(one, TakenElsewhere) for one in results) == [False, True]
    # From another source, and the same once more at the same node: mail of their own.
    await first.put(make_submission(first, content, source="192.0.2.2"), "scanner")
    node = first if isinstance(results[1], TakenElsewhere) else second
    await node.put(make_submission(node, content), "scanner")


async def test_what_could_not_be_taken_over_is_taken_over_later(opened, database, monkeypatch):
    """The node took it for its own, and neither judged nor sent it until it was started anew."""
    first = await opened("first")
    await first.put(make_submission(first), "scanner")
    with await first.claim(["scanner"], 0) as claim:
        await first.start(claim, 0, ["a@example.com"])
        await die(first, database)
    second = await opened("second", ends=Ends(0.0), times=QUICK)
    await leads(second)

    async def fail(*_):
        raise SpoolError("the database does not answer")

    with monkeypatch.context() as broken:
        broken.setattr(second.database, "write", fail)
        with pytest.raises(SpoolError):
            await second.interrupted()
    assert len(await second.interrupted()) == 1


async def test_what_another_node_has_answered_meanwhile_is_not_kept(opened):
    """The machine had stopped on the way, and its client was served by another one."""
    first, second = await opened("first"), await opened("second")
    before = time_since_boot()
    heard = await first.put(make_submission(first), "scanner")
    first.replied(heard, reply.queued(heard))
    assert await second.recall(make_submission(second)) is None  # waits until that is written
    for since in (before, before - 25 * 3600):  # of the latter nobody can know any more
        with pytest.raises(TakenElsewhere):
            await second.put(replace(make_submission(second), since=since), "scanner")
    await first.put(replace(make_submission(first), since=before), "scanner")  # its own sessions know more
    await second.put(make_submission(second, b"since then"), "scanner")


async def test_who_came_again_at_another_node_hears_the_verdict(opened):
    """The first session ends later than the second one begins: it ended the second one's waiting, too."""
    first, second = await opened("first"), await opened("second")
    queue_id = await second.put(make_submission(second), "scanner", waits=True)
    second.unheard(queue_id)
    assert (await first.recall(make_submission(first))).queue_id == queue_id
    assert await first.start_waiting(queue_id)
    assert await second.stop_waiting(queue_id) is None
    async with asyncio.timeout(30):
        while (claim := await first.claim(["scanner"], 0)) is None:
            await asyncio.sleep(0.02)
    refused = Settlement(State.REFUSED, Outcome(Action.FAILED, "5.6.0", Blame.MESSAGE, "no"))
    assert await first.settle_heard(claim, refused)
    assert (await first.stop_waiting(queue_id)).state is State.REFUSED
