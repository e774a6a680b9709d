"""Of one trouble people hear once, however many nodes find it; and of two nodes' disks they hear twice."""

import asyncio
import contextlib
import json
import time

import pytest

from relay.config.current import Current
from relay.config.load import build
from relay.host.clock import Clock
from relay.host.documents import CLAIM
from relay.notices.told import HELD, Told
from relay.operator.alerts import alerts as module
from relay.operator.alerts.alerts import Alerts
from relay.operator.alerts.planning import Event
from relay.operator.trouble import Troubles
from relay.outcome import TroubleKind
from relay.postgres.database import Connecting
from relay.postgres.documents import PostgresDocuments
from relay.postgres.node import Node, Times
from relay.postgres.server import Address
from tests.support import postgres

ACCOUNT = (TroubleKind.ACCOUNT, "scanner", "its grant is dead")
DISK = (TroubleKind.NO_ROOM, "", "the disk is full")
HOUR = 3600.0


class One:
    """What tells, of one node."""

    def __init__(self, config, documents):
        self.documents = documents
        self.late = 0.0
        self.troubles = Troubles(self.now)
        self.alerts = Alerts(Current(config), documents, self.troubles, self.now)

    def now(self):
        return time.time() + self.late

    def said(self):
        """What it knows that was told, by node and kind; what is about to be told is not told."""
        rows = self.alerts._memory.said("command")
        return {key: one.over for key, one in rows.items() if one.at and not one.claimed}


@pytest.fixture
def out(tmp_path):
    return tmp_path / "told.jsonl"


@pytest.fixture
async def join(database, tmp_path, out):
    """Makes nodes; they tell by a command, and look at the documents once a second."""
    address = Address(postgres.server().url(database, "relay"))
    config = build(
        {
            "state_dir": str(tmp_path),
            "alert": {"command": ["/bin/sh", "-c", f"cat >> {out}; echo >> {out}"]},
        },
        {},
    )
    async with contextlib.AsyncExitStack() as stack:

        async def join_one(name):
            statements = Connecting(address)
            node = Node(statements, name, Clock(), Times())
            node.home = name * 6
            documents = PostgresDocuments(statements, node)
            stack.push_async_callback(documents.close)
            one = One(config, documents)
            for watched in (documents, one.alerts):
                task = asyncio.create_task(watched.watch())
                stack.callback(task.cancel)
            return one

        yield join_one


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


def read(out):
    rows = [json.loads(line) for line in out.read_text().splitlines() if line]
    return sorted((row["event"], row["kind"], row["name"]) for row in rows)


async def test_one_trouble_is_told_by_one_node(join, out):
    """Two that both believe to be the sender for a moment, and two disks."""
    nodes = [await join(name) for name in "ab"]
    for one in nodes:
        one.troubles.begin(*ACCOUNT)
        one.troubles.begin(*DISK)
    disks = [("no room", f"{name}/{name * 6}") for name in "ab"]
    told = {("account", "scanner"): False} | dict.fromkeys(disks, False)
    await until(lambda: all(one.said() == told for one in nodes))
    begun = [("begun", *key) for key in sorted(told)]
    assert read(out) == begun

    # From now on the first one is the sender; the other knows, and does not say that it is over.
    first, second = nodes
    second.alerts._settled_at = 0.0
    second.troubles.mirror(first.troubles.shared)
    second.troubles.mirror([])
    second.troubles.end(TroubleKind.NO_ROOM)
    await until(lambda: first.said() == told | {disks[1]: True})
    assert read(out) == sorted([*begun, ("over", *disks[1])])
    first.troubles.end(*ACCOUNT[:2])
    await until(lambda: second.said() == told | {disks[1]: True, ("account", "scanner"): True})
    assert read(out) == sorted([*begun, ("over", *disks[1]), ("over", "account", "scanner")])


async def test_what_a_node_was_about_to_tell_when_it_died_is_told_by_another(join, out):
    first, second = await join("a"), await join("b")
    key = (TroubleKind.ACCOUNT.value, "scanner")
    assert await first.alerts._memory.claim("command", key, first.now(), lambda: True)
    await until(lambda: second.alerts._memory.said("command"))
    second.troubles.begin(*ACCOUNT)
    (way,) = module.find_ways(second.alerts._current.config, second.now)
    due = second.alerts._next(way)
    assert (due.event, due.key) == (Event.BEGUN, key)
    assert due.at > second.now() + CLAIM / 2  # until then it is the first one's to tell
    second.late = CLAIM + 1
    second.alerts.look_soon()
    await until(lambda: second.said() == {key: False})
    assert read(out) == [("begun", *key)]


async def test_without_the_database_a_node_tells_by_what_it_knows(join, out, database):
    one = await join("a")
    postgres.server().sql("REVOKE ALL ON relay.document FROM relay", database)
    one.troubles.begin(*DISK)
    await until(lambda: one.troubles.find(*DISK[:2]).told)  # and the command has ended
    assert read(out) == [("begun", "no room", "a/aaaaaa")]


async def test_mail_of_one_trouble_is_claimed_by_one_node(join):
    first, second = [Told((await join(name)).documents) for name in "ab"]
    now = time.time()
    claims = await asyncio.gather(*(one.claim("scanner", now, HOUR) for one in (first, second)))
    assert sorted(claims) == [False, True]
    winner, loser = (first, second) if claims[0] else (second, first)
    assert 0 < loser.claimed_for("scanner", now) <= CLAIM
    assert not await loser.claim("scanner", now, HOUR)
    winner.release("scanner")  # no way led anywhere: the other one's may
    await winner._notes.settle()
    assert await loser.claim("scanner", now, HOUR)
    loser.note("scanner", now)
    loser.add(HELD, "1ABC", "it waits")
    await until(lambda: winner.untold(HELD) == {"1ABC": "it waits"})
    assert winner.due_in("scanner", now, HOUR) == HOUR
    assert not await winner.claim("scanner", now, HOUR)
    assert await winner.claim("scanner", now + 2 * HOUR, HOUR)
