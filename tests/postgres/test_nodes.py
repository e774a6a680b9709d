"""Several whole relays on one PostgreSQL: every one takes mail, one sends, and all of them say the same."""

import asyncio
import json
import smtplib
import time

import httpx2 as httpx
import pytest

from relay.console.app import build as console
from relay.console.server import serving
from relay.console.service import ServiceStatus
from relay.courier.judgement import outage
from relay.host.clock import Clock
from relay.operator.asking import ask
from relay.operator.remedies import find_remedy
from relay.operator.state import as_json
from relay.outcome import Action, Blame, Outcome, TroubleKind
from relay.postgres import room
from relay.service import outlet, sharing
from relay.spool import SpoolError, State
from relay.spool.rows.codecs import dump_outcome
from tests.support import postgres
from tests.support.nodes import PATIENCE, cluster_on, send, until, wait_for_each_other
from tests.support.ports import free_port
from tests.support.whole_relay import CLIENT


@pytest.fixture
async def cluster(database, tmp_path, monkeypatch):
    async with cluster_on(database, tmp_path, monkeypatch) as one:
        yield one


async def test_a_session_hears_what_another_node_has_sent(cluster):
    first, second = await cluster.start("first"), await cluster.start("second")
    await wait_for_each_other(first, second)
    assert not second.courier.working
    code, text = await asyncio.to_thread(send, second)
    assert (code, text.startswith("2.0.0")) == (250, True)
    assert "relayed" in text
    cluster.sandbox.add_fault("413")
    code, text = await asyncio.to_thread(send, second, 2)
    assert code == 552, text
    assert [one.subject for one in cluster.sandbox.messages] == ["scan 1"]
    counts = await second.spool.counts()
    assert (counts[State.RELAYED], counts[State.REFUSED], counts[State.FAILED]) == (1, 1, 0)


async def test_every_node_shows_the_same_and_every_verb_works_from_each(cluster, monkeypatch):
    """An account is in trouble: nobody may have to find out which node sends. And where a node goes by
    another configuration, each says in which keys.
    """
    monkeypatch.setattr(sharing, "_RELOADED_WITHIN", 0.0)
    first = await cluster.start("first")
    second = await cluster.start("second", delivery={"notify_every": "2h"})
    await wait_for_each_other(first, second)
    cluster.sandbox.add_fault("404", times=0)
    code, text = await asyncio.to_thread(send, second)
    assert (code, "queued" in text) == (250, True)
    await until(lambda: "scanner" in second.standing.held)
    await until(lambda: second.troubles.find(TroubleKind.ACCOUNT, "scanner"))

    async def shown(service):
        state = as_json(await service.read_state())
        concerns = [{**one, "told": []} for one in state["concerns"]]
        return {
            **{key: state[key] for key in ("health", "queue", "accounts", "outage")},
            "concerns": concerns,
        }

    async def is_same():
        return await shown(first) == await shown(second)

    await until(
        lambda: (
            (one := second.troubles.find(TroubleKind.NODE, "second.test")) and "notify_every" in one.reason
        )
    )
    await until(is_same)
    assert [one.different for one in (await first.read_state()).nodes] == [(), ("delivery.notify_every",)]
    names = [(one.name, one.sends_since is not None, one.this) for one in (await second.read_state()).nodes]
    assert names == [("first.test", True, False), ("second.test", False, True)]
    cluster.sandbox.faults.clear()
    answer = await ask(second.verbs, {"uid": 0}, "queue_retry", {"every": True})
    assert (answer["problems"], answer["accounts"]) == ([], ["scanner"])
    assert (await second.verbs.audit(1))["records"][0]["node"] == "second.test"
    assert (await ask(second.verbs, {}, "doctor", {}))["others"] == ["first.test"]
    await until(lambda: [one.subject for one in cluster.sandbox.messages] == ["scan 1"])
    await second.reload(second.config.model_copy(update={"delivery": first.config.delivery}))
    await until(lambda: not second.standing.held and not second.troubles.shared)


async def test_a_node_whose_clock_is_wrong_goes_by_the_database_s(cluster):
    """Reckoned by its own clock, what was sent a moment ago had been sent in another minute: all the budget
    was there a second time when such a node became the sender.
    """
    first = await cluster.start("first")
    await asyncio.to_thread(send, first)
    fast = Clock(wall=lambda: time.time() + 7200)
    second = await cluster.start("second", clock=fast)
    await wait_for_each_other(first, second)
    assert abs(second.spool.ahead + 7200) < 60
    await asyncio.to_thread(send, second, 2)
    assert second.pacing.use()[0] == 0
    await first.stop()
    await until(lambda: second.courier.working)
    assert second.pacing.use()[0] == 2
    assert abs((await second.read_state()).now - time.time()) < 600
    assert not second.troubles.find(TroubleKind.CLOCK)


async def test_what_waits_reaches_the_limit_of_the_database(cluster, monkeypatch):
    """The operator was told to make room on a disk that had room, on every node."""
    monkeypatch.setattr(room, "_EVERY", 0.1)
    one = await cluster.start("first", spool={"most": 20})
    cluster.sandbox.add_fault("503", times=0)
    await asyncio.to_thread(send, one)
    await until(lambda: one.troubles.find(TroubleKind.NO_ROOM))
    trouble = one.troubles.find(TroubleKind.NO_ROOM)
    assert "spool.most" in trouble.reason
    assert "most in [spool]" in find_remedy(trouble)
    await until(lambda: [node.trouble for node in one.sharing.nodes] == [trouble.reason])
    with pytest.raises(smtplib.SMTPDataError, match="no recipient was accepted"):
        await asyncio.to_thread(send, one, 2)


async def test_a_sender_whose_disk_is_full_leaves_sending_to_another_and_says_so(cluster, monkeypatch):
    """It held the lease and could fetch no large message: nothing was sent by anybody, and the mail about its
    disk found no room on that disk.
    """
    notify = {"delivery": {"notify": "postmaster@example.com"}}
    first, second = [await cluster.start(name, **notify) for name in ("first", "second")]
    await wait_for_each_other(first, second)
    await until(lambda: all(one.accepting for one in first.sharing.nodes))
    monkeypatch.setattr(first.spool._local, "_keep_free", 2**62)
    told = {"first.test", "scan 1"}
    code, text = await asyncio.to_thread(send, second, body="x" * 400_000)
    assert code == 250, text
    await until(lambda: second.courier.working and not first.courier.working)
    await until(lambda: {one.subject.partition("/")[0] for one in cluster.sandbox.messages} == told)
    monkeypatch.setattr(second.spool._local, "_keep_free", 2**62)  # there is no better one
    await until(lambda: not any(one.accepting for one in second.sharing.nodes))
    assert second.courier.working


async def test_a_sender_that_cannot_reach_works_leaves_sending_to_another(cluster, monkeypatch):
    """Its own line was cut, and not that to the database: Works was down for all, and nothing was sent."""
    monkeypatch.setattr(outlet, "_EVERY", 0.2)
    monkeypatch.setattr(outage, "PROBE_EVERY", 1.0)
    auth = {**CLIENT, "auth_url": f"{cluster.http.url}/oauth2/v2.0"}
    works = {**auth, "api_url": f"http://127.0.0.1:{free_port()}/v1.0"}
    first, second = await cluster.start("first", works=works), await cluster.start("second")
    await wait_for_each_other(first, second)
    # One message alone proves nothing.
    for code, _ in await asyncio.gather(*(asyncio.to_thread(send, second, number) for number in (1, 2))):
        assert code == 250
    await until(lambda: second.courier.working)
    await until(lambda: second.troubles.find(TroubleKind.NODE, "first.test"))
    assert "cannot reach Works" in second.troubles.find(TroubleKind.NODE, "first.test").reason
    assert not second.troubles.find(TroubleKind.NODE, "second.test")
    await second.verbs.queue_retry(every=True)
    await until(lambda: {one.subject for one in cluster.sandbox.messages} == {"scan 1", "scan 2"})


async def test_when_the_sender_ends_another_node_goes_on_with_what_it_knew(cluster):
    """Works is down when the machine is patched: the next sender must not hammer it with mail."""
    first, second = await cluster.start("first"), await cluster.start("second")
    await wait_for_each_other(first, second)
    await asyncio.to_thread(send, first)
    cluster.sandbox.add_fault("503", times=0)
    for number in (2, 3):
        await asyncio.to_thread(send, second, number)
    await until(lambda: first.standing.api_is_down and second.standing.api_is_down)
    await first.stop()
    await until(lambda: second.courier.working)
    assert second.standing.api_is_down
    assert second.pacing.use()[0] >= 2  # what the first one has sent in this minute


async def test_the_next_sender_goes_by_what_it_finds_itself(cluster, database, monkeypatch):
    """The last one held an account whose grant it could not open. And a fault at the start is no end: the
    lease would be held by a node that sends nothing, and no other one could begin.
    The health check tells of a fault of the relay, and never of a database that is away just then.
    """
    first, second = await cluster.start("first"), await cluster.start("second")
    await wait_for_each_other(first, second)
    sql = postgres.server().sql
    sql("CREATE TABLE away AS SELECT * FROM relay.account_grant", database)
    sql("UPDATE relay.account_grant SET sealed = 'another key', version = version + 1", database)
    await until(lambda: first.standing.held and second.standing.held)
    assert "key_file" in second.standing.held["scanner"].reason
    first.sending._drop_care()
    sql("UPDATE relay.account_grant g SET sealed = a.sealed, version = g.version + 1 FROM away a", database)
    begin, faults = second.courier.start, [SpoolError("away"), ZeroDivisionError("a fault")]
    is_alive = []

    async def start():
        is_alive.append(ServiceStatus(second).alive())
        if faults:
            raise faults.pop()
        await begin()

    monkeypatch.setattr(second.courier, "start", start)
    await first.stop()
    await until(lambda: second.courier.working)
    await until(lambda: not second.standing.held and not second.troubles.shared)
    assert is_alive == [True, False, True]


async def test_a_node_that_waits_begins_when_the_lease_is_taken_away(cluster, database):
    """And the one that has lost it goes on to take mail, and sends again when its turn comes."""
    first, second = await cluster.start("first"), await cluster.start("second")
    await wait_for_each_other(first, second)
    for sender, other in ((first, second), (second, first)):
        postgres.server().sql("UPDATE relay.lease SET holder = NULL, epoch = epoch + 1", database)
        await until(lambda other=other, sender=sender: other.courier.working or sender.courier.working)
        await until(lambda other=other, sender=sender: other.courier.working != sender.courier.working)
    for number, service in enumerate((first, second) * 2):
        assert (await asyncio.to_thread(send, service, number))[0] == 250
    await until(lambda: len(cluster.sandbox.messages) == 4)


async def test_mail_is_taken_until_the_lease_of_a_dead_machine_is_over(cluster, database):
    """Every node that lived said that it was not ready, and a balancer had nowhere to send its clients."""
    first = await cluster.start("first")
    await wait_for_each_other(first)
    now = "extract(epoch FROM clock_timestamp())"
    dead = f"SELECT 7, 'dead.test', '', '', {now} - 60, {now} - 20"
    sql = postgres.server().sql
    sql(f"INSERT INTO relay.node (token, name, home, program, started, seen) {dead}", database)
    sql(f"UPDATE relay.lease_until SET epoch = 7, until = {now} + 55, since = {now} - 60", database)
    sql("UPDATE relay.lease SET holder = 7, epoch = 7", database)
    await until(lambda: not first.courier.working)
    await until(lambda: [one.is_alive for one in first.sharing.nodes if one.sends] == [False])
    assert (await ServiceStatus(first).problems(), ServiceStatus(first).alive()) == ((), True)
    assert (await first.read_state()).headline.text != "nothing is sent any more; the log says why"
    assert (await asyncio.to_thread(send, first))[0] == 250
    sql("UPDATE relay.lease_until SET until = 0", database)
    await until(lambda: [one.subject for one in cluster.sandbox.messages] == ["scan 1"])


async def test_what_was_known_late_is_relayed_without_another_request(cluster, database):
    """Its recipients have it: the next attempt finds nobody left to serve."""
    first = await cluster.start("first")
    await wait_for_each_other(first)
    cluster.sandbox.add_fault("cut-after")
    await asyncio.to_thread(send, first)
    taken = dump_outcome(Outcome(Action.RELAYED, "2.0.0", Blame.REMOTE, "taken"))
    await until(lambda: postgres.server().sql("SELECT FROM relay.message WHERE state = 'delayed'", database))
    postgres.server().sql(f"UPDATE relay.request SET outcome = '{taken}'", database)
    await first.verbs.queue_retry(every=True, unknown=True)
    await until(lambda: postgres.server().sql("SELECT FROM relay.message WHERE state = 'relayed'", database))
    assert postgres.server().sql("SELECT count(*) FROM relay.request", database) == [(1,)]
    assert len(cluster.sandbox.messages) == 1


@pytest.mark.parametrize("size", [10, 400_000])
async def test_the_last_octet_leaves_only_while_this_node_is_the_sender(cluster, database, size):
    """The lease ran out while the request was on its way: it is broken off, and certainly was not taken."""
    first = await cluster.start("first")
    await wait_for_each_other(first)

    check, looks = first.spool.check_term, []

    def look():
        looks.append(1)
        if len(looks) > 1:  # the first look is at the start
            raise SpoolError("this node is not the sender any more")

    first.spool.check_term = look
    code, _ = await asyncio.to_thread(send, first, body="x" * size)
    assert code == 250
    ended = "SELECT outcome FROM relay.request WHERE ended IS NOT NULL"
    await until(lambda: postgres.server().sql(ended, database))
    first.spool.check_term = check
    outcomes = [json.loads(outcome)["action"] for (outcome,) in postgres.server().sql(ended, database)]
    assert set(outcomes) == {"delayed"}
    assert cluster.sandbox.messages == []


async def test_a_trouble_of_the_relay_is_told_once_and_not_again_by_the_next_sender(cluster):
    """The next one finds it, too, and knows what the last one has told."""
    notify = {"delivery": {"notify": "postmaster@example.com"}}
    first, second = [await cluster.start(name, **notify) for name in ("first", "second")]
    await wait_for_each_other(first, second)
    first.reports.damaged("1LOST", "a file without a row")
    await until(lambda: (one := second.troubles.find(TroubleKind.DAMAGE, "1LOST")) and one.told)
    await first.stop()
    await until(lambda: second.courier.working and second.troubles.leads)
    assert (await asyncio.to_thread(send, second))[0] == 250
    await until(lambda: "scan 1" in [one.subject for one in cluster.sandbox.messages])
    assert [one.subject for one in cluster.sandbox.messages] == [
        "first.test: something damaged was set aside",
        "scan 1",
    ]


async def test_a_node_says_how_it_is_while_the_database_is_away(cluster):
    """Only the queue is not known then; and what helps is not room on this machine's disk. Whoever asks hears
    so at once: each command took as long as the relay waits for a connection, and some of them twice that.
    """
    first = await cluster.start("first")
    await asyncio.to_thread(send, first)
    server = postgres.server()
    first.spool.database.desk.timeout = 10 * PATIENCE  # so long the relay itself waits for a connection
    await asyncio.to_thread(server.stop)
    try:
        await until(lambda: first.troubles.find(TroubleKind.NO_ROOM))
        async with asyncio.timeout(PATIENCE):
            state = await first.read_state()
            assert "cannot be written: the database" in (await ServiceStatus(first).problems())[0]
            for verb, words in (("queue_list", {"states": [], "limit": 1}), ("queue_retry", {"every": True})):
                with pytest.raises(SpoolError, match="the database does not answer"):
                    await ask(first.verbs, {}, verb, words)
            async with (
                serving(console(ServiceStatus(first), first.config)) as pages,
                httpx.AsyncClient() as http,
            ):
                page = await http.get(pages.url)
            assert (page.status_code, "not known now" in page.text) == (200, True)
            (client,) = (await ask(first.verbs, {}, "doctor", {}))["clients"]
            assert client["last"]["mail"][0]["reason"] == "the database does not answer"
    finally:
        await asyncio.to_thread(server.start)
    assert (state.queue, state.disk.reason) == (None, "the database does not answer")
    assert [(one.kind, "database" in one.remedy) for one in state.concerns] == [("no room", True)]
    assert [one.name for one in state.accounts] == ["scanner"]
    await until(lambda: not first.troubles.current)


def knock(service):
    """Whether a device that is no stranger comes to MAIL, and the reply to its message."""
    try:
        return send(service)
    except smtplib.SMTPConnectError as error:
        return error.smtp_code, ""
    except smtplib.SMTPServerDisconnected:
        return 421, ""  # it was forgotten in the middle of its session


async def test_a_device_is_learned_adopted_and_forgotten_at_every_node(cluster):
    """It comes to whichever node its address leads to, and a person acts where he is."""
    outside = {"listener": [{"address": "127.0.0.1:0", "networks": ["192.168.1.0/24"]}]}
    first, second = [await cluster.start(name, **outside) for name in ("first", "second")]
    await wait_for_each_other(first, second)

    async def hears(service, text):
        code, said = await asyncio.to_thread(knock, service)
        return (code, text) == (554, "") or (code == 250 and text and text in said)

    assert await hears(second, "")
    await first.verbs.find("learn")("127.0.0.0/8", 60)
    await until(lambda: hears(second, "held until this device is adopted"))
    await first.verbs.find("learn_adopt")("127.0.0.1")
    await first.verbs.find("learn_stop")()
    await until(lambda: hears(second, "relayed"))
    await second.verbs.find("learn_forget")("127.0.0.1")
    await until(lambda: hears(first, ""))
    await until(lambda: hears(second, ""))
