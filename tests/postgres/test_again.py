"""A client that had no reply sends the same message again, and comes to another node: it is sent once."""

import asyncio
import signal
import socket

import pytest

from tests.long.cluster.machines import Machine
from tests.support import postgres
from tests.support.cut import Cut
from tests.support.nodes import cluster_on, send, until, wait_for_each_other

COUNT = "SELECT count(*) FROM relay.message"


@pytest.fixture
async def cluster(database, tmp_path, monkeypatch):
    async with cluster_on(database, tmp_path, monkeypatch) as one:
        yield one


class Client:
    """A session that can be left at any moment; what it sends is what `send` sends."""

    def __init__(self, address):
        self._socket = socket.create_connection(address, timeout=60)
        self._file = self._socket.makefile("rb")
        self._file.readline()

    def hand_over(self, number=1):
        """All up to the final dot; no reply to that is waited for."""
        self.begin()
        self.end(number)

    def begin(self):
        for line in ("EHLO x", "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.com>", "DATA"):
            self._socket.sendall(line.encode() + b"\r\n")
            while self._file.readline()[3:4] == b"-":
                pass

    def end(self, number=1):
        self._socket.sendall(f"Subject: scan {number}\r\n\r\nbody\r\n.\r\n".encode())

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


async def test_the_other_node_slept_with_the_message_in_its_socket(cluster, database, tmp_path):
    """Its client had lost its patience, and was served by this node: two mails once it woke."""
    first = await cluster.start("first")
    url = postgres.server().url(database, "relay")
    log = [('level = "warning"', 'level = "info"')]
    machine = Machine(tmp_path / "asleep", cluster.http.url, url, None, changes=log)
    machine.start()
    await machine.listening(60)
    await until(lambda: len(first.sharing.nodes) == 2)
    client = await asyncio.to_thread(Client, ("127.0.0.1", machine.port))
    await asyncio.to_thread(client.begin)
    machine.signal(signal.SIGSTOP)
    client.end()
    client.leave()
    code, text = await asyncio.to_thread(send, first)
    assert (code, "relayed" in text) == (250, True)
    machine.signal(signal.SIGCONT)
    await until(lambda: "not kept again" in machine.log.read_text())
    await assert_sent_once(cluster, database)
    await machine.stop()


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
