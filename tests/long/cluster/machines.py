"""What the scripts of several nodes share: machines on one database, and who of them sends."""

import asyncio
import signal
import time
from contextlib import asynccontextmanager, suppress

from relay.config.load import load
from relay.stores import open_grants
from relay.works.auth.files import GrantFiles
from tests.long.crash.harness import Nursery, Relay
from tests.support import postgres

SPOOL = """
[spool]
url = "{database}"
key = "{key}"
patience = "5s"
keep_free = "1MB"
"""
# How fast nodes find out about each other; no setting, so it is changed before the relay is built.
PRELUDE = """
import relay.postgres.engine, relay.postgres.node  # noqa
relay.postgres.node.Times.__init__.__defaults__ = ({lease}, {beat})
"""
SENDER = (
    "SELECT n.name FROM relay.lease l JOIN relay.lease_until u USING (name) JOIN relay.node n"
    " ON n.token = l.holder WHERE n.ended IS NULL AND u.until > extract(epoch FROM clock_timestamp())"
)


class Forks(Nursery):
    """Relays with this lease, forked off a process that has imported them; `more`: further lines of it."""

    def __init__(self, lease=30.0, beat=5.0, more=""):
        self._CODE = PRELUDE.format(lease=lease, beat=beat) + more + Nursery._CODE
        super().__init__()


class Machine(Relay):
    """A relay on the database, with a state directory of its own, started again whenever it ends."""

    __eq__, __hash__ = object.__eq__, object.__hash__

    def __init__(self, folder, url, database, nursery, *, changes=(), **options):
        folder.mkdir(exist_ok=True)
        super().__init__(folder, url, nursery=nursery, **options)
        self.name = f"{folder.name}.example.com"
        spool = SPOOL.format(database=database, key=postgres.KEY)
        changes = (
            ('hostname = "relay.example.com"', f'hostname = "{self.name}"'),
            (f'[spool]\nkeep_free = "{self.keep_free}"\n', spool),
            *changes,
        )
        text = self.config.read_text()
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        self.config.write_text(text)
        self.back_at = 0.0  # monotonic; until then it stays away when it ends
        self._keeping = None

    def keep(self):
        """Start it again whenever it ends, as systemd would."""
        self._keeping = asyncio.create_task(self._keep())

    async def _keep(self):
        while True:
            if time.monotonic() >= self.back_at and not (self.pid and self.alive()):
                self.start()
                self.back_at = time.monotonic() + 1.0  # a start that is refused costs as much as any
            await asyncio.sleep(0.1)

    def stay_away(self, seconds):
        self.back_at = time.monotonic() + seconds

    async def end(self):
        if self._keeping is not None:
            self._keeping.cancel()
        if self.pid and self.alive():
            self.signal(signal.SIGCONT)
            await self.kill()

    async def is_listening(self):
        with suppress(OSError):
            (await asyncio.open_connection("127.0.0.1", self.port))[1].close()
            return True
        return False


class Site:
    """The machines and their database."""

    def __init__(self, machines, server, database):
        self.machines, self.server, self.database = machines, server, database

    async def sql(self, query):
        return await asyncio.to_thread(self.server.sql, query, self.database)

    async def find_sender(self):
        """The machine that has the lease; None: nobody, or the database does not answer."""
        with suppress(Exception):
            names = [name for (name,) in await self.sql(SENDER)]
            return next((one for one in self.machines if one.name in names), None)
        return None

    async def sender(self, seconds=90.0, but=None):
        """The machine that sends, as soon as one does; `but`: as soon as it is another one."""
        async with asyncio.timeout(seconds):
            while True:
                found = await self.find_sender()
                if found is not None and found is not but:
                    return found
                await asyncio.sleep(0.05)

    async def begin(self, sandbox, stack):
        """Start the machines, with a grant; they end with the stack."""
        await store_grant(self.machines[0], sandbox)
        for one in self.machines:
            one.keep()
            stack.push_async_callback(one.end)
        await self.all_listen()

    async def all_listen(self, seconds=90.0):
        async with asyncio.timeout(seconds):
            while not all([await one.is_listening() for one in self.machines]):
                await asyncio.sleep(0.05)


async def store_grant(machine, sandbox):
    """Consent for all machines: the grant lies in the database."""
    machine.grant(sandbox)
    grant = GrantFiles(machine.state).read("scanner")
    keeping = open_grants(load(machine.config, {}, learned=False))
    await keeping.store.store("scanner", grant)


@asynccontextmanager
async def database_server(**settings):
    """A server with the relay's tables, and the name of the database. With fsync, as in earnest."""
    server = await asyncio.to_thread(lambda: postgres.Server(fsync="on", **settings))
    try:
        yield server, await asyncio.to_thread(server.make)
    finally:
        await asyncio.to_thread(server.remove)
