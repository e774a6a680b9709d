"""SIGKILL during token refresh with rotation on: is anybody locked out who need not be?

    python -m tests.long.crash.refresh --kills 200
    python -m tests.long.crash.refresh --kills 200 --engine postgres

A process refreshes one grant over and over; it is killed at a random moment; the next start looks at what
is on disk. Where the rotated token had been stored, or put into escrow, refreshing must go on.
Where the kill fell between the request and the fsync nothing can save the refresh token (it is counted
apart): then "a refresh has started" must be on disk, the trouble must be told within 5 s, mail must go on
with the stored access token, and a login must mend it. Exit code 1 if any of that fails.

On PostgreSQL two nodes take turns, each with an escrow of its own. The node that was killed comes back; then
the other one, which has not got its escrow, refreshes.
"""

import argparse
import asyncio
import contextlib
import json
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

from pydantic import SecretStr

from relay.config.model import Log
from relay.console.server import serving
from relay.grants import Grant
from relay.host.logs import set_up
from relay.sandbox import Sandbox, Settings
from relay.sandbox.answers import Refusal
from relay.works.auth.authorizer import Authorizer
from relay.works.auth.escrow import Escrow
from relay.works.auth.files import FileGrants
from relay.works.auth.keeping import Keeping
from relay.works.auth.oauth import AuthServer
from relay.works.diagnosis import Failure
from tests.support import ROOT

ACCOUNT = "scanner"
TELL_WITHIN = 5.0  # seconds


def app_at(port):
    return SimpleNamespace(
        auth_url=f"http://127.0.0.1:{port}/oauth2/v2.0",
        client_id="sandbox",
        client_secret=SecretStr("sandbox-secret"),
        redirect_url="http://localhost:8484/callback",
        scope="mail",
        proxy=SecretStr(""),
    )


async def refresh_for_ever(port, directory, url):
    """The child: it is never allowed to end."""
    authorizer = Authorizer(AuthServer(app_at(port)), keeping(directory, url))
    token = await authorizer.token(ACCOUNT)
    print("ready", flush=True)
    while True:
        token = await authorizer.token(ACCOUNT, rejected=token)


def keeping(directory, url):
    """The grants as they are kept: in files of this node, or in the database that the URL names."""
    if not url:
        return Keeping(FileGrants(directory), Escrow(directory))
    from relay.postgres.database import Connecting
    from relay.postgres.grants import AesSeal, PostgresGrants
    from relay.postgres.server import Address
    from tests.support import postgres

    seal = AesSeal(postgres.KEY)
    return Keeping(PostgresGrants(Connecting(Address(url)), seal), Escrow(directory, seal))


async def consent(sandbox, grants):
    tokens, now = sandbox.issue_grant("scanner@example.com"), time.time()
    life = float(tokens["expires_in"])
    await grants.begin(
        ACCOUNT, Grant(tokens["access_token"], now + life, tokens["refresh_token"], now, now, now)
    )


def takes(sandbox, token):
    try:
        sandbox.grants.authenticate(f"Bearer {token}")
    except Refusal:
        return False
    return True


async def kill_one(port, directory, url, dice):
    words = ("--child", str(port), str(directory), url)
    command = (sys.executable, "-m", "tests.long.crash.refresh", *words)
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    await child.stdout.readline()
    await asyncio.sleep(dice.random() * 0.06)
    child.send_signal(signal.SIGKILL)
    await child.wait()


async def look(port, grants, sandbox, counts):
    """The next start: what is wrong with it, in a sentence, or nothing."""
    stored = (await grants.load(ACCOUNT)).grant
    saved = sandbox.grants.of_refresh_token(stored.refresh_token) is not None
    told = []
    authorizer = Authorizer(AuthServer(app_at(port)), grants, lambda _, trouble: told.append(trouble))
    began = time.monotonic()
    await authorizer.check(ACCOUNT)
    took = time.monotonic() - began
    token = await authorizer.token(ACCOUNT)
    counts["interrupted"] += stored.refresh_started_at is not None
    if not takes(sandbox, token):
        return "the access token after the restart is not taken"
    if saved:
        counts["saved"] += 1
        await authorizer.token(ACCOUNT, rejected=token)
        return "told of trouble that is none" if told else ""
    counts["lost in flight"] += 1
    if stored.refresh_started_at is None:
        return "locked out, and nothing on disk says that a refresh had started"
    if told != [Failure.TOKEN_REFUSED] or took > TELL_WITHIN:
        return f"told {told} after {took:.1f} s"
    await consent(sandbox, grants)
    await authorizer.check(ACCOUNT)
    if told[-1] is not None or not takes(sandbox, await authorizer.token(ACCOUNT)):
        return "a login does not mend it"
    return ""


class Database:
    """A server, and the table of grants in it."""

    def __init__(self):
        from tests.support import postgres  # a node's start does without it

        self._server = postgres.Server()
        self._name = self._server.make()
        self.url = self._server.url(self._name, "relay")

    def end_refreshes(self):
        """Two minutes go by, after which whoever began a refresh is taken for dead."""
        query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{self._name}' AND usename = 'relay'"
        while self._server.sql(query)[0][0]:  # what the dead node has sent is still done
            time.sleep(0.01)
        self._server.sql("UPDATE relay.account_grant SET refresh_until = 0", self._name)

    def close(self):
        self._server.remove()


class Files:
    """Nothing but the node's own files."""

    url = ""

    def end_refreshes(self):
        """Its lock is the kernel's, which ended it."""

    def close(self):
        """Nothing runs."""


async def run(kills, seed, store):
    dice = random.Random(seed)
    sandbox = Sandbox(Settings(rotation=True))
    counts = {"kills": 0, "interrupted": 0, "saved": 0, "lost in flight": 0}
    problems = []
    with tempfile.TemporaryDirectory() as name, contextlib.closing(sandbox), contextlib.closing(store):
        nodes = [Path(name, one) for one in ("first", "second")][: 2 if store.url else 1]
        for node in nodes:
            node.mkdir()
        await consent(sandbox, keeping(nodes[0], store.url))
        async with serving(sandbox.app) as server:
            # The answer waits a little after the old token has died: that is where it hurts.
            sandbox.add_fault("latency", seconds=0.003, at="token", times=0)
            for number in range(kills):
                node = nodes[number % len(nodes)]
                await kill_one(server.port, node, store.url, dice)
                store.end_refreshes()
                counts["kills"] += 1
                if problem := await look(server.port, keeping(node, store.url), sandbox, counts):
                    problems.append(problem)
    print(json.dumps({**counts, "problems": problems}))
    return 1 if problems else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--child", nargs=3, metavar=("PORT", "DIRECTORY", "URL"), help=argparse.SUPPRESS)
    wish = parser.parse_args()
    set_up(Log(format="json", level="error"))  # to standard error; the figures alone are on standard output
    if wish.child:
        port, directory, url = wish.child
        asyncio.run(refresh_for_ever(int(port), Path(directory), url))
    store = Files() if wish.engine == "sqlite" else Database()
    sys.exit(asyncio.run(run(wish.kills, wish.seed, store)))


if __name__ == "__main__":
    main()
