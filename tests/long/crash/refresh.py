"""SIGKILL during token refresh with rotation on: is anybody locked out who need not be?

    python -m tests.long.crash.refresh --kills 200

A process refreshes one grant over and over; it is killed at a random moment; the next start looks at what
is on disk. Where the rotated token had been stored, or put into escrow, refreshing must go on.
Where the kill fell between the request and the fsync nothing can save the refresh token (it is counted
apart): then "a refresh has started" must be on disk, the trouble must be told within 5 s, mail must go on
with the stored access token, and a login must mend it. Exit code 1 if any of that fails.
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
from relay.works.auth.files import FileGrants, GrantFiles
from relay.works.auth.keeping import Keeping
from relay.works.auth.oauth import AuthServer
from relay.works.diagnosis import Failure

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


async def refresh_for_ever(port, directory):
    """The child: it is never allowed to end."""
    authorizer = Authorizer(AuthServer(app_at(port)), keeping(directory))
    token = await authorizer.token(ACCOUNT)
    print("ready", flush=True)
    while True:
        token = await authorizer.token(ACCOUNT, rejected=token)


def keeping(directory):
    return Keeping(FileGrants(directory), Escrow(directory))


def consent(sandbox, directory):
    tokens, now = sandbox.issue_grant("scanner@example.com"), time.time()
    life = float(tokens["expires_in"])
    grant = Grant(tokens["access_token"], now + life, tokens["refresh_token"], now, now, now)
    GrantFiles(directory).write(ACCOUNT, grant)


def takes(sandbox, token):
    try:
        sandbox.grants.authenticate(f"Bearer {token}")
    except Refusal:
        return False
    return True


async def kill_one(port, directory, dice):
    child = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--child", str(port), str(directory), stdout=asyncio.subprocess.PIPE
    )
    await child.stdout.readline()
    await asyncio.sleep(dice.random() * 0.06)
    child.send_signal(signal.SIGKILL)
    await child.wait()


async def look(port, directory, sandbox, counts):
    """The next start: what is wrong with it, in a sentence, or nothing."""
    grants = keeping(directory)
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
    consent(sandbox, directory)
    await authorizer.check(ACCOUNT)
    if told[-1] is not None or not takes(sandbox, await authorizer.token(ACCOUNT)):
        return "a login does not mend it"
    return ""


async def run(kills, seed):
    dice = random.Random(seed)
    sandbox = Sandbox(Settings(rotation=True))
    counts = {"kills": 0, "interrupted": 0, "saved": 0, "lost in flight": 0}
    problems = []
    with tempfile.TemporaryDirectory() as name, contextlib.closing(sandbox):
        directory = Path(name)
        consent(sandbox, directory)
        async with serving(sandbox.app) as server:
            # The answer waits a little after the old token has died: that is where it hurts.
            sandbox.add_fault("latency", seconds=0.003, at="token", times=0)
            for _ in range(kills):
                await kill_one(server.port, directory, dice)
                counts["kills"] += 1
                if problem := await look(server.port, directory, sandbox, counts):
                    problems.append(problem)
    print(json.dumps({**counts, "problems": problems}))
    return 1 if problems else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", nargs=2, metavar=("PORT", "DIRECTORY"), help=argparse.SUPPRESS)
    wish = parser.parse_args()
    set_up(Log(format="json", level="error"))  # to standard error; the figures alone are on standard output
    if wish.child:
        asyncio.run(refresh_for_ever(int(wish.child[0]), Path(wish.child[1])))
    sys.exit(asyncio.run(run(wish.kills, wish.seed)))


if __name__ == "__main__":
    main()
