"""Several whole relays on one PostgreSQL, in this process, and one simulated Works behind them."""

import asyncio
import smtplib
from contextlib import AsyncExitStack, asynccontextmanager

from relay.config.load import build
from relay.console.server import serving
from relay.postgres import node
from relay.sandbox import Sandbox
from relay.service import Service
from relay.stores import open_grants
from tests.support import postgres
from tests.support.whole_relay import grant_of, tree

PATIENCE = 60.0  # seconds


class Cluster:
    """Nodes by name, one simulated Works."""

    def __init__(self, sandbox, http, spool, folder, stack):
        self.sandbox, self.http = sandbox, http
        self._spool, self._folder, self._stack = spool, folder, stack

    async def start(self, name, *, spool=None, clock=None, **sections):
        """A node; `spool`: settings of its own."""
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        config = tree(self.http, folder, spool={**self._spool, **(spool or {})}, **sections)
        config = build({**config, "hostname": f"{name}.test"}, environ={})
        keeping = open_grants(config)
        for account in config.account:
            if await keeping.store.load(account.name) is None:
                await keeping.begin(account.name, grant_of(self.sandbox, account.address))
        service = Service(config, clock=clock)
        await service.start()
        self._stack.push_async_callback(service.stop)
        return service


@asynccontextmanager
async def cluster_on(database, folder, monkeypatch):
    """Beats of which a busy machine makes no outage, and by which words are said soon."""
    monkeypatch.setattr(node.Times.__init__, "__defaults__", (30.0, 2.0))
    spool = {"url": postgres.server().url(database, "relay"), "key": postgres.KEY}
    async with AsyncExitStack() as stack:
        sandbox = Sandbox()
        stack.callback(sandbox.close)
        http = await stack.enter_async_context(serving(sandbox.app))
        yield Cluster(sandbox, http, spool, folder, stack)


def send(service, number=1, to="b@example.com", body="body"):
    """The reply to the final dot."""
    with smtplib.SMTP(*service.server.addresses[0], timeout=PATIENCE) as client:
        client.ehlo()
        client.mail("a@example.com")
        client.rcpt(to)
        code, text = client.data(f"Subject: scan {number}\r\n\r\n{body}\r\n")
        return code, text.decode()


async def until(condition):
    async with asyncio.timeout(PATIENCE):
        while True:
            found = condition()
            if found if not asyncio.iscoroutine(found) else await found:
                return
            await asyncio.sleep(0.05)


async def wait_for_each_other(*services):
    """Until every node knows of the others, and what the sender says."""
    for one in services:
        await until(lambda one=one: len(one.sharing.nodes) == len(services))
        await until(lambda one=one: one.spool.term or one.sharing.sent is not None)
        await until(lambda one=one: not one.spool._words._is_alone or len(services) == 1)
