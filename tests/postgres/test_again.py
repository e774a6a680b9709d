"""A client that had no reply sends the same message again, and comes to another node: it is sent once."""

import asyncio
import signal
import socket
from contextlib import asynccontextmanager

import psycopg
import pytest

from relay import metrics
from tests.long.cluster.machines import Machine
from tests.support import postgres
from tests.support.cut import Cut
from tests.support.nodes import cluster_on, send, until, wait_for_each_other

COUNT = "SELECT count(*) FROM relay.message"
# Where a put begins to hold up equal ones: what comes before it may have gone on its way by itself.
PUT = b"pg_advisory_xact_lock"
# What `send` sends.
ENVELOPE = ("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.com>")
MESSAGE = b"Subject: scan 1\r\n\r\nbody\r\n"


@pytest.fixture
async def cluster(database, tmp_path, monkeypatch):
    async with cluster_on(database, tmp_path, monkeypatch) as one:
        yield one


class Client:
    """A session that can be left at any moment."""

    def __init__(self, address):
        self._socket = socket.create_connection(address, timeout=60)
        self._file = self._socket.makefile("rb")
        self._file.readline()

    def hand_over(self):
        """All of a message; no reply to it is waited for."""
        self.begin()
        self.end()

    def begin(self, verb="DATA"):
        """All that is waited for: with BDAT the rest comes at once (RFC 2920, RFC 3030)."""
        self._say("EHLO x")
        if verb == "DATA":
            for line in (*ENVELOPE, "DATA"):
                self._say(line)

    def _say(self, line):
        self._socket.sendall(line.encode() + b"\r\n")
        while self._file.readline()[3:4] == b"-":
            pass

    def end(self, verb="DATA"):
        if verb == "DATA":
            self._socket.sendall(MESSAGE + b".\r\n")
            return
        lines = "".join(f"{line}\r\n" for line in (*ENVELOPE, f"BDAT {len(MESSAGE)} LAST"))
        self._socket.sendall(lines.encode() + MESSAGE)

    def hear(self):
        return self._file.readline().decode()

    def leave(self):
        self._file.close()
        self._socket.close()


async def hand_over(address):
    client = await asyncio.to_thread(Client, address)
    await asyncio.to_thread(client.hand_over)
    return client


def is_kept(database):
    return lambda: postgres.server().sql(COUNT, database) == [(1,)]


async def assert_sent_once(cluster, database):
    await until(lambda: len(cluster.sandbox.messages) > 0)
    assert postgres.server().sql(COUNT, database) == [(1,)]
    assert [one.subject for one in cluster.sandbox.messages] == ["scan 1"]


async def assert_once_behind(node, cluster, database):
    """What this node was about to write is over when another message is kept there."""
    await asyncio.to_thread(send, node, 2)
    await until(lambda: len(cluster.sandbox.messages) > 1)
    assert [one.subject for one in cluster.sandbox.messages] == ["scan 1", "scan 2"]
    assert postgres.server().sql(COUNT, database) == [(2,)]


@pytest.mark.parametrize("leaves", ["meanwhile", "before"])
async def test_the_session_at_the_other_node_lives_or_is_over(cluster, database, leaves):
    """Works is slow, so the first session waits for the verdict when the client sends again."""
    first, second = await cluster.start("first"), await cluster.start("second")
    await wait_for_each_other(first, second)
    cluster.sandbox.add_fault("latency", seconds=3.0)
    client = await hand_over(second.server.addresses[0])
    await until(is_kept(database))
    if leaves == "before":
        client.leave()
        await until(lambda: not second.server.count_sessions())
    again = asyncio.create_task(asyncio.to_thread(send, first))
    if leaves == "meanwhile":
        await asyncio.sleep(0.3)
        assert not again.done()
        client.leave()
    code, text = await again
    assert code == 250, text
    await assert_sent_once(cluster, database)


async def test_the_other_node_is_killed(cluster, database, tmp_path):
    """It had kept the message, and died before it answered."""
    first = await cluster.start("first")
    url = postgres.server().url(database, "relay")
    machine = Machine(tmp_path / "killed", cluster.http.url, url, None, wait="60s")
    machine.start()
    await machine.listening(60)
    await until(lambda: len(first.sharing.nodes) == 2)
    cluster.sandbox.add_fault("latency", seconds=2.0)
    client = await hand_over(("127.0.0.1", machine.port))
    await until(is_kept(database))
    machine.signal(signal.SIGKILL)
    await machine.gone()
    client.leave()
    code, text = await asyncio.to_thread(send, first)
    assert code == 250, text
    await assert_sent_once(cluster, database)


@pytest.mark.parametrize("verb", ["DATA", "BDAT"])
async def test_the_other_node_slept_with_the_message_in_its_socket(cluster, database, tmp_path, verb):
    """Its client had lost its patience, and was served by this node: two mails once it woke."""
    first = await cluster.start("first")
    url = postgres.server().url(database, "relay")
    log = [('level = "warning"', 'level = "info"')]
    machine = Machine(tmp_path / "asleep", cluster.http.url, url, None, changes=log)
    machine.start()
    await machine.listening(60)
    await until(lambda: len(first.sharing.nodes) == 2)
    client = await asyncio.to_thread(Client, ("127.0.0.1", machine.port))
    await asyncio.to_thread(client.begin, verb)
    machine.signal(signal.SIGSTOP)
    client.end(verb)
    client.leave()
    code, text = await asyncio.to_thread(send, first)
    assert (code, "relayed" in text) == (250, True)
    machine.signal(signal.SIGCONT)
    await until(lambda: "not kept again" in machine.log.read_text())
    await assert_sent_once(cluster, database)
    await machine.stop()


@asynccontextmanager
async def stalling(cluster, folder, database, name="stalled"):
    """A node whose next put is under way until its proxy lets it go on."""
    place = folder / f"cut-{name}"
    place.mkdir()
    async with Cut(postgres.server(), place) as cut:
        node = await cluster.start(name, spool={"url": cut.url(database)})
        yield node, cut
        cut.free.set()
        await node.stop()


async def begin_to_write(node, cut):
    """A client whose message is being written."""
    cut.arm("time", PUT)
    client = await hand_over(node.server.addresses[0])
    await until(lambda: cut.done)
    return client


async def test_the_other_nodes_put_is_under_way(cluster, database, tmp_path):
    """It was written after this node had kept the message and had answered: two mails, and no record."""
    first = await cluster.start("first")
    async with stalling(cluster, tmp_path, database) as (second, cut):
        await wait_for_each_other(first, second)
        client = await begin_to_write(second, cut)
        client.leave()
        code, text = await asyncio.to_thread(send, first)
        assert code == 250, text
        cut.free.set()
        await assert_once_behind(second, cluster, database)


@pytest.mark.parametrize("written", ["earlier first", "later first"])
async def test_both_nodes_puts_are_under_way(cluster, database, tmp_path, written):
    """The client comes again while the first node writes, and is at the second one, which stops as well."""
    async with (
        stalling(cluster, tmp_path, database, "first") as (first, earlier),
        stalling(cluster, tmp_path, database, "second") as (second, later),
    ):
        await wait_for_each_other(first, second)
        left = await begin_to_write(first, earlier)
        left.leave()
        again = await begin_to_write(second, later)
        (earlier if written == "earlier first" else later).free.set()
        await until(is_kept(database))
        earlier.free.set(), later.free.set()
        assert (await asyncio.to_thread(again.hear)).startswith("250 ")
        again.leave()
        await assert_once_behind(first, cluster, database)


async def test_a_client_that_sends_the_same_to_two_nodes_at_once_has_two_mails(cluster, database, tmp_path):
    """Both have heard 250. That it may have been one that came again is on record."""
    first = await cluster.start("first")
    async with stalling(cluster, tmp_path, database) as (second, cut):
        await wait_for_each_other(first, second)
        before = metrics.KEPT_TWICE._value.get()
        client = await begin_to_write(second, cut)
        assert (await asyncio.to_thread(send, first))[0] == 250
        cut.free.set()
        assert (await asyncio.to_thread(client.hear)).startswith("250 ")
        client.leave()
        assert (await asyncio.to_thread(send, second))[0] == 250  # once more, later: nobody wonders
        await until(lambda: len(cluster.sandbox.messages) == 3)
        assert postgres.server().sql("SELECT event FROM relay.event WHERE event <> 'replied'", database) == [
            ("kept twice",)
        ]
        assert metrics.KEPT_TWICE._value.get() - before == 1


async def test_a_node_that_stopped_within_its_turn_holds_up_equal_messages_only(cluster, database):
    """Its lock stays as long as its connection, and every put elsewhere waited behind the equal one."""
    node = await cluster.start("first")
    await wait_for_each_other(node, await cluster.start("second"))
    assert (await asyncio.to_thread(send, node, 1))[0] == 250
    await until(lambda: postgres.server().sql("SELECT count(*) FROM relay.heard", database) == [(1,)])
    with psycopg.connect(postgres.server().url(database, "relay")) as stopped:
        stopped.execute("SELECT pg_advisory_xact_lock(hashtextextended(fingerprint, 0)) FROM relay.heard")
        equal, other = await asyncio.gather(*(asyncio.to_thread(send, node, number) for number in (1, 2)))
    assert (equal[0], other[0]) == (451, 250)
    assert (await asyncio.to_thread(send, node, 1))[0] == 250


async def test_the_other_nodes_put_is_in_doubt(cluster, database, tmp_path):
    """The database has it; the node that put it cannot know that, and is asked by nobody any more."""
    first = await cluster.start("first")
    folder = tmp_path / "cut"
    folder.mkdir()
    async with Cut(postgres.server(), folder) as cut:
        second = await cluster.start("second", spool={"url": cut.url(database), "patience": "60s"})
        await wait_for_each_other(first, second)
        cut.goes_away = True
        cut.arm("answer")
        client = await hand_over(second.server.addresses[0])
        await until(is_kept(database))
        await until(lambda: cut.is_away)
        again = asyncio.create_task(asyncio.to_thread(send, first))
        client.leave()
        code, text = await again
        assert code == 250, text
        cut.goes_away = cut.is_away = False
        await until(lambda: second.spool.room().accepting)
        await until(lambda: not second.server.count_sessions())
        await assert_sent_once(cluster, database)
        await second.stop()
