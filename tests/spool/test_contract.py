"""The spool's contract, held against every engine."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from relay import reply
from relay.envelope import Envelope, Submission
from relay.host.content import ContentWriter
from relay.outcome import Action, Blame, Outcome
from relay.spool import REPLIED, Criteria, NoSuchMessage, Settlement, SpoolError, SpoolLocked, State, Topic
from relay.spool.ids import Ids
from relay.spool.sqlite.engine import SqliteSpool
from tests.support import postgres

TAKEN = Outcome(Action.RELAYED, "2.0.0", Blame.REMOTE, "taken")
BOXES = ["sales", "stores", "works"]
LATER = Outcome(Action.DELAYED, "4.4.1", Blame.REMOTE, "down")


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request, tmp_path):
    """Makes an engine; those of one test have the same storage."""
    if request.param == "sqlite":
        return lambda: SqliteSpool(tmp_path / "spool")
    database = postgres.server().make()
    return lambda: postgres.open_spool_on(database, tmp_path)


@pytest.fixture
async def spool(engine):
    spool = engine()
    await spool.open()
    yield spool
    await spool.close()


def submission(spool, content=b"Subject: a\r\n\r\nb\r\n", source="192.0.2.1", rcpt=("a@example.com",)):
    writer: ContentWriter = spool.writer()
    writer.write(content)
    envelope = Envelope("s@example.com", tuple(rcpt), datetime.now(UTC), client_address=source)
    return Submission(envelope, writer.finish())


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 192 * 1024, 300_000, 5_000_001])
async def test_what_is_put_is_claimed_as_it_was(spool, size):
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    queue_id = await spool.put(submission(spool, content), "scanner")
    claim = await spool.claim(["scanner"], 0)
    assert claim.entry.queue_id == queue_id
    with claim.content.map() as octets:
        assert bytes(octets) == content


async def test_a_claim_is_exclusive_and_only_of_these_accounts(spool):
    await spool.put(submission(spool), "scanner")
    assert await spool.claim(["erp"], 0) is None
    assert await spool.claim(["scanner"], 0) is not None
    assert await spool.claim(["scanner"], 0) is None


async def test_an_abandoned_claim_can_be_claimed_again(spool):
    await spool.put(submission(spool), "scanner")
    await spool.abandon(await spool.claim(["scanner"], 0))
    assert await spool.claim(["scanner"], 0) is not None


async def test_a_delayed_message_comes_back_when_it_is_due(spool):
    await spool.put(submission(spool), "scanner")
    claim = await spool.claim(["scanner"], 0)
    await spool.settle(claim, Settlement(State.DELAYED, LATER, next_attempt=1000.0))
    assert spool.next_due() == 1000.0
    assert await spool.claim(["scanner"], 999.0) is None
    again = await spool.claim(["scanner"], 1000.0)
    assert (again.entry.attempts, again.attempt) == (1, 2)


async def test_settled_recipients_are_remembered(spool):
    """None of several requests is repeated when another one has to be."""
    await spool.put(submission(spool, rcpt=("a@example.com", "b@example.com")), "scanner")
    claim = await spool.claim(["scanner"], 0)
    await spool.start(claim, 0, ["a@example.com"])
    await spool.record(claim, 0, TAKEN)
    await spool.start(claim, 1, ["b@example.com"])
    await spool.record(claim, 1, LATER)
    await spool.settle(claim, Settlement(State.DELAYED, LATER))
    again = await spool.claim(["scanner"], 1.0)
    assert again.entry.relayed == {"a@example.com"}
    assert again.entry.refused == frozenset()


@pytest.mark.parametrize("size", [10, 100_000])
async def test_relayed_content_is_gone_and_the_row_is_history(spool, tmp_path, size):
    queue_id = await spool.put(submission(spool, b"x" * size), "scanner")
    with await spool.claim(["scanner"], 0) as claim:
        await spool.settle(claim, Settlement(State.RELAYED, TAKEN))
    assert (await spool.show(queue_id)).state is State.RELAYED
    await spool.close()
    assert [p for p in (tmp_path / "spool").rglob("*") if p.parent.name in ("content", "incoming")] == []


async def test_a_restart_keeps_what_waits(engine):
    first = engine()
    await first.open()
    ids = [await first.put(submission(first, b"x" * n), "scanner") for n in (5, 100_000)]
    await first.close()
    second = engine()
    await second.open()
    claims = [await second.claim(["scanner"], 0) for _ in ids]
    assert [claim.entry.queue_id for claim in claims] == ids
    await second.close()


async def test_started_without_an_outcome_is_unknown_after_a_restart(engine):
    first = engine()
    await first.open()
    queue_id = await first.put(submission(first), "scanner")
    claim = await first.claim(["scanner"], 0)
    await first.start(claim, 0, ["a@example.com"])
    await first.close()
    second = engine()
    await second.open()
    assert await second.claim(["scanner"], 0) is None  # until somebody decides
    (one,) = await second.interrupted()
    assert (one.claim.entry.queue_id, one.outcome.action) == (queue_id, Action.UNKNOWN)
    await second.settle(one.claim, Settlement(State.HELD, one.outcome))
    entry = await second.show(queue_id)
    assert (entry.unknowns, entry.state) == (1, State.HELD)
    (attempt,) = await second.attempts(queue_id)
    assert attempt.outcome.action is Action.UNKNOWN
    await second.retry(queue_id)
    assert (await second.show(queue_id)).unknowns == 1  # Works may have it still, whatever comes after
    await second.close()


async def test_a_second_owner_is_refused(engine, spool):
    with pytest.raises(SpoolLocked):
        await engine().open()


async def test_sources_share_the_turns(spool):
    """One message of a quiet source waits for one slot of the noisy one, however long its queue."""
    for _ in range(50):
        await spool.put(submission(spool, source="192.0.2.1"), "scanner")
    for _ in range(3):
        await spool.claim(["scanner"], 0)
    quiet = await spool.put(submission(spool, source="192.0.2.2"), "scanner")
    following = [(await spool.claim(["scanner"], 0)).entry.queue_id for _ in range(2)]
    assert quiet in following


async def fill(spool, number, *, source="192.0.2.1"):
    """A noisy source's messages, account after account, as a mailing by department comes."""
    for account in BOXES:
        await asyncio.gather(*(spool.put(submission(spool, source=source), account) for _ in range(number)))


async def account_of_next(spool):
    return (await spool.claim(BOXES, 0)).entry.account


@pytest.mark.parametrize("known", [True, False])
async def test_one_sources_accounts_take_turns(spool, known):
    """Drained one after the other, the last account's budget alone would set the pace at the end.

    `known`: whether the turns are known without a look at the table.
    """
    if known:
        assert await spool.claim(BOXES, 0) is None
    await fill(spool, 10)
    turns = [await account_of_next(spool) for _ in range(30)]
    assert all(set(turns[n : n + 3]) == set(BOXES) for n in range(0, 30, 3))


async def test_an_account_that_could_not_send_has_no_turns_saved_up(spool):
    await fill(spool, 20)
    for _ in range(10):
        await spool.claim(BOXES[:2], 0)
    turns = [await account_of_next(spool) for _ in range(9)]
    assert turns.count(BOXES[2]) <= 4


async def test_a_source_with_many_accounts_counts_as_one(spool):
    """Another source's message waits for no more of its slots than if it had one account."""
    await fill(spool, 20)
    for _ in range(7):
        await spool.claim(BOXES, 0)
    quiet = await spool.put(submission(spool, source="192.0.2.2"), BOXES[2])
    following = [(await spool.claim(BOXES, 0)).entry.queue_id for _ in range(2)]
    assert quiet in following


async def test_newcomers_do_not_push_a_busy_source_aside(spool):
    """Each new source goes before the busy one's next message, and not before all of them."""
    for _ in range(10):
        await spool.put(submission(spool), "scanner")
    busy = 0
    for number in range(20):
        await spool.put(submission(spool, source=f"198.51.100.{number}"), "scanner")
        busy += (await spool.claim(["scanner"], 0)).entry.envelope.source == "192.0.2.1"
    assert busy >= 3


async def test_puts_at_once_are_all_kept(spool):
    ids = await asyncio.gather(*(spool.put(submission(spool, b"x" * 10), "scanner") for _ in range(200)))
    assert len(set(ids)) == 200
    assert (await spool.counts())[State.QUEUED] == 200


async def test_retry_and_discard(spool):
    queue_id = await spool.put(submission(spool), "scanner")
    claim = await spool.claim(["scanner"], 0)
    with pytest.raises(NoSuchMessage):
        await spool.discard(queue_id)  # it is being sent
    await spool.settle(claim, Settlement(State.FAILED, LATER))
    await spool.retry(queue_id)
    assert (await spool.show(queue_id)).state is State.QUEUED
    await spool.discard(queue_id)
    assert (await spool.show(queue_id)).state is State.DISCARDED
    with pytest.raises(NoSuchMessage):
        await spool.retry(queue_id)
    with pytest.raises(NoSuchMessage):
        await spool.show("NOSUCH")


async def test_a_damaged_put_takes_nothing_with_it(spool):
    """An operation that fails inside a shared commit leaves the others of that commit whole."""
    broken = submission(spool)
    good = [spool.put(submission(spool), "scanner") for _ in range(5)]
    bad = spool.put(Submission(broken.envelope, broken.content), None)  # NOT NULL
    results = await asyncio.gather(*good, bad, return_exceptions=True)
    assert [type(r) is str for r in results] == [True] * 5 + [False]
    assert (await spool.counts())[State.QUEUED] == 5


async def test_a_held_message_waits_for_its_release(spool):
    queue_id = await spool.put(submission(spool), "scanner")
    await spool.hold(queue_id)
    assert await spool.claim(["scanner"], 0) is None
    with pytest.raises(NoSuchMessage):
        await spool.hold(queue_id)
    await spool.release(queue_id)
    assert (await spool.claim(["scanner"], 0)).entry.queue_id == queue_id
    with pytest.raises(NoSuchMessage, match="being sent"):
        await spool.hold(queue_id)


async def test_the_attempts_of_a_message_are_told_one_by_one(spool):
    queue_id = await spool.put(submission(spool), "scanner")
    claim = await spool.claim(["scanner"], 0)
    await spool.start(claim, 0, ["a@example.com"])
    (open_one,) = await spool.attempts(queue_id)
    assert (open_one.ended, open_one.outcome) == (None, None)
    await spool.settle(claim, Settlement(State.RELAYED, TAKEN), ended=(0, TAKEN))
    (one,) = await spool.attempts(queue_id)
    assert (one.attempt, one.request, one.recipients, one.outcome) == (1, 0, ("a@example.com",), TAKEN)
    assert one.ended >= one.started
    (past,) = await spool.history(0.0)
    assert (past.account, past.recipients, past.outcome) == ("scanner", 1, TAKEN)
    assert await spool.history(one.started) == []


async def test_the_backlog_is_counted_by_account_and_source(spool):
    for source in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        await spool.put(submission(spool, source=source), "scanner")
    assert await spool.backlog(100) == {("scanner", "192.0.2.1"): 2, ("scanner", "192.0.2.2"): 1}


async def test_what_is_over_is_forgotten_in_time(spool, tmp_path):
    """History and failures have their own times; what waits is never forgotten."""
    ids = [await spool.put(submission(spool, b"x" * 100_000), "scanner") for _ in range(3)]
    relayed, failed = await spool.claim(["scanner"], 0), await spool.claim(["scanner"], 0)
    await spool.settle(relayed, Settlement(State.RELAYED, TAKEN))
    await spool.settle(failed, Settlement(State.FAILED, LATER))
    assert await spool.purge(0, 0) == 0
    later = 1e12
    assert await spool.purge(later, 0) == 1
    assert await spool.purge(later, later) == 1
    for queue_id in ids[:2]:
        with pytest.raises(NoSuchMessage):
            await spool.show(queue_id)
    assert (await spool.show(ids[2])).state is State.QUEUED
    kept = await spool.content(ids[2])
    assert kept.size == 100_000
    folder = tmp_path / "spool" / "content"
    assert not folder.exists() or [p.name for p in folder.iterdir()] == [ids[2]]


@pytest.mark.parametrize(("priority", "first"), [("urgent", True), ("normal", False), ("bulk", False)])
async def test_an_urgent_message_does_not_wait_behind_its_sources_own(spool, priority, first):
    for _ in range(3):
        await spool.put(submission(spool), "scanner")
    plain = submission(spool)
    late = Submission(replace(plain.envelope, priority=priority), plain.content)
    queue_id = await spool.put(late, "scanner")
    claim = await spool.claim(["scanner"], 0)
    assert (claim.entry.queue_id == queue_id) is first


async def test_a_restart_recalls_what_was_never_answered(engine):
    """The process died before it recorded its reply as written: the client's next try is the same mail."""
    first = engine()
    await first.open()
    ids = [await first.put(submission(first, content), "scanner") for content in (b"heard", b"unheard")]
    first.replied(ids[0], reply.queued(ids[0]))
    # While the session lives, an equal submission is new mail.
    assert await first.recall(submission(first, b"unheard")) is None
    await first.close()
    second = engine()
    await second.open()
    assert await second.recall(submission(second, b"heard")) is None
    assert (await second.recall(submission(second, b"unheard"))).queue_id == ids[1]
    assert await second.recall(submission(second, b"unheard")) is None  # somebody answers for it now
    second.unheard(ids[1])
    assert await second.recall(submission(second, b"unheard", source="192.0.2.9")) is None
    assert await second.recall(submission(second, b"unheard", rcpt=("b@example.com",))) is None
    assert (await second.recall(submission(second, b"unheard"))).queue_id == ids[1]
    assert [one.event for one in await second.events(ids[1])] == [
        "submitted again",
        "reply not heard",
        "submitted again",
    ]
    (heard,) = await second.events(ids[0])
    assert heard.event == REPLIED
    assert heard.detail == {"code": 250, "status": "2.0.0", "text": f"queued, id={ids[0]}"}
    await second.close()


async def test_what_was_discarded_by_hand_is_new_mail_when_it_comes_again(spool):
    queue_id = await spool.put(submission(spool), "scanner")
    spool.unheard(queue_id)
    await spool.discard(queue_id)
    assert await spool.recall(submission(spool)) is None


@pytest.mark.parametrize("user", ["bulk", "bulk mail", "urgent"])
async def test_a_user_called_like_a_priority_has_none_by_that(spool, user):
    """The name alone gave an eighth of the share, or eight times as much."""
    ids = {"other": [], user: []}
    for _ in range(4):
        for name, kept in ids.items():
            one = submission(spool)
            envelope = replace(one.envelope, user=name)
            kept.append(await spool.put(replace(one, envelope=envelope), "scanner"))
    first = [(await spool.claim(["scanner"], 0)).entry.envelope.user for _ in range(4)]
    assert sorted(first) == sorted([user, user, "other", "other"])


async def test_arrivals_are_counted_by_time_and_state(spool):
    ids = [await spool.put(submission(spool), "scanner") for _ in range(3)]
    await spool.hold(ids[0])
    arrival = (await spool.show(ids[0])).arrival
    day = 86400.0
    assert await spool.arrivals(arrival - 1.5 * day, day) == {(1, State.QUEUED): 2, (1, State.HELD): 1}
    assert await spool.arrivals(arrival + day, day) == {}


async def test_a_late_settlement_finds_nothing(spool):
    """It once overwrote the row of the claim that came after it."""
    queue_id = await spool.put(submission(spool), "scanner")
    late = await spool.claim(["scanner"], 0)
    await spool.settle(late, Settlement(State.QUEUED, LATER, spent=False))
    claim = await spool.claim(["scanner"], 0)
    assert claim.token != late.token
    assert not await spool.settle(late, Settlement(State.RELAYED, TAKEN))
    assert not await spool.settle_heard(late, Settlement(State.REFUSED, TAKEN))
    with pytest.raises(SpoolError):
        await spool.start(late, 0, ["a@example.com"])
    await spool.start(claim, 0, ["a@example.com"])
    await spool.record(late, 0, TAKEN)
    (attempt,) = await spool.attempts(queue_id)
    assert attempt.outcome is None
    assert await spool.settle(claim, Settlement(State.DELAYED, LATER, next_attempt=1e9))
    assert (await spool.show(queue_id)).state is State.DELAYED


async def test_the_spool_says_what_is_new_and_what_is_settled(spool):
    words = []
    spool.subscribe(words.append)
    queue_id = await spool.put(submission(spool), "scanner", waits=True)
    claim = await spool.claim(["scanner"], 0)
    await spool.settle(claim, Settlement(State.HELD, LATER))
    await spool.release(queue_id)
    assert [(word.topic, word.queue_id) for word in words] == [
        (Topic.NEW, queue_id),
        (Topic.VERDICT, queue_id),
        (Topic.CHANGED, queue_id),
        (Topic.NEW, queue_id),
    ]
    assert words[0].account == "scanner"


async def test_queue_ids_rise_and_have_chance_enough_for_several_nodes(spool):
    ids = [Ids().make() for _ in range(1000)]
    assert len({one[-8:] for one in ids}) == 1000
    rising = Ids()
    made = [rising.make() for _ in range(1000)]
    assert made == sorted(set(made))


async def test_what_waits_for_accounts_is_counted(spool):
    """It is held when its account is: an operator's sums have to say so."""
    ids = [await spool.put(submission(spool), account) for account in ("sales", "sales", "stores", "works")]
    with await spool.claim(["sales"], 0) as claim:
        await spool.settle(claim, Settlement(State.DELAYED, LATER, next_attempt=9e9))
    await spool.hold(ids[3])
    assert await spool.count_waiting(["sales", "works"]) == {State.QUEUED: 1, State.DELAYED: 1}
    assert await spool.count_waiting([]) == {State.QUEUED: 0, State.DELAYED: 0}


async def test_messages_are_found_by_what_a_person_knows(spool):
    """ "Yamada's scan of 14:30": the id was the only way to a message, and the list began with the oldest."""
    ids = [
        await spool.put(
            submission(spool, source=f"192.0.2.{i}", rcpt=(f"Yamada{i}@example.com", "b@example.com")), box
        )
        for i, box in enumerate(BOXES)
    ]
    await spool.hold(ids[0])
    entries = {entry.queue_id: entry for entry in (await spool.find(Criteria(), 10))[0]}
    later = entries[ids[1]].arrival

    async def find(limit=10, **criteria):
        found, total = await spool.find(Criteria(**criteria), limit)
        return [one.queue_id for one in found], total

    newest = sorted(ids, key=lambda one: (entries[one].arrival, one), reverse=True)
    assert await find() == (newest, 3)
    assert await find(limit=2) == (newest[:2], 3)
    assert await find(recipient="yamada1@EXAMPLE") == ([ids[1]], 1)
    assert await find(recipient="b@example.com", source="192.0.2.2") == ([ids[2]], 1)
    assert (await find(source="192.0.2"))[1] == 0  # a whole address, or .5 would be .50 too
    assert await find(sender="S@exam", account="sales") == ([ids[0]], 1)
    assert await find(queue_id=ids[2][3:].lower()) == ([ids[2]], 1)
    assert await find(since=later, until=later, queue_id=ids[1]) == ([ids[1]], 1)
    assert (await find(since=later + 3600))[1] == 0
    assert await find(states=[State.HELD]) == ([ids[0]], 1)
    # What waits for its account is held too, and queued no more.
    assert sorted((await find(states=[State.HELD], held=["stores"]))[0]) == sorted(ids[:2])
    assert await find(states=[State.QUEUED], held=["stores"]) == ([ids[2]], 1)
