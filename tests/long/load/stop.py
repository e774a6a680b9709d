"""SIGTERM with clients that are idle, within DATA, or send without a pause: when it ends, what they heard.

python -m tests.long.load.stop                                  with this Python
python -m tests.long.load.stop --python /usr/bin/python3.13     with another one that has the relay installed
"""

import argparse
import asyncio
import contextlib
import itertools
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from relay.console.server import serving
from relay.sandbox import Sandbox, Settings
from relay.works.auth.files import GrantFiles
from tests.long.load import driving
from tests.support import ROOT
from tests.support.ports import free_port
from tests.support.relay import grant_of, tree
from tests.support.toml import to_toml

HEAD = b"From: scanner@example.com\r\nTo: a@example.net\r\nSubject: %d\r\n\r\n"
END = b"\r\n.\r\n"


class Client:
    """One client, to the last octet that it hears."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.heard = b""

    @classmethod
    async def connect(cls, address):
        client = cls(*await asyncio.open_connection(*address))
        await client.hear()
        await client.say(b"EHLO device.test")
        return client

    async def hear(self):
        while True:
            line = await asyncio.wait_for(self.reader.readline(), 20)
            self.heard += line
            if line[3:4] != b"-":
                return line

    async def say(self, line):
        self.writer.write(line + b"\r\n")
        return await self.hear()

    async def begin_data(self, number):
        await self.say(b"MAIL FROM:<scanner@example.com>")
        await self.say(b"RCPT TO:<a@example.net>")
        assert (await self.say(b"DATA")).startswith(b"354")
        self.writer.write(HEAD % number + b"half of it")
        await self.writer.drain()

    async def send_on(self):
        """One message after the other, until the relay closes."""
        with contextlib.suppress(ConnectionError, AssertionError):
            for number in itertools.count():
                await self.begin_data(number)
                self.writer.write(END)
                await self.hear()
        return await self.end()

    async def end(self):
        """Everything until the relay closes."""
        with contextlib.suppress(ConnectionError):
            self.heard += await asyncio.wait_for(self.reader.read(), 20)
        self.writer.close()
        return self.heard.splitlines()[-1] if self.heard else b""


async def wait_for_listener(log_path):
    """The port that the relay chose, as its log says."""
    import json

    for _ in range(1000):
        for line in log_path.read_text().splitlines():
            if line.startswith("{") and json.loads(line).get("event") == "serving":
                return
        await asyncio.sleep(0.02)
    raise TimeoutError(log_path.read_text())


async def run(python, idle, in_data, busy=0):
    sandbox = Sandbox(Settings())
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(sandbox):
        state = Path(folder) / "state"
        state.mkdir()
        async with serving(sandbox.app) as http:
            port = free_port()
            config = tree(
                http.url, state, listener=[{"address": f"127.0.0.1:{port}"}], log={"format": "json"}
            )
            (Path(folder) / "relay.toml").write_text(to_toml(config))
            GrantFiles(state).write("scanner", grant_of(sandbox, "scanner@example.com", time.time()))
            log_path = Path(folder) / "log"
            with log_path.open("wb") as log:
                relay = subprocess.Popen(  # noqa: ASYNC220 - it is waited for below
                    [python, "-m", "relay", "serve", "--config", str(Path(folder) / "relay.toml")],
                    stderr=log,
                    cwd=ROOT,
                )
            try:
                await wait_for_listener(log_path)
                return await stop(relay, ("127.0.0.1", port), (idle, in_data, busy), sandbox, state)
            finally:
                if relay.poll() is None:
                    relay.kill()
                relay.wait()


async def stop(relay, address, clients, sandbox, state):
    idle, in_data, busy = clients
    resting = [await Client.connect(address) for _ in range(idle)]
    sending = [await Client.connect(address) for _ in range(in_data)]
    for number, client in enumerate(sending):
        await client.begin_data(number)
    hurrying = [await Client.connect(address) for _ in range(busy)]
    working = [asyncio.create_task(client.send_on()) for client in hurrying]
    await asyncio.sleep(1.0 if busy else 0.0)
    began = time.monotonic()
    relay.send_signal(signal.SIGTERM)
    # Half of those who send come to their end soon, as a scanner would; the others never do.
    finishing = sending[: in_data // 2]
    await asyncio.sleep(0.5)
    for client in finishing:
        client.writer.write(END)
    last_words = await asyncio.gather(*[client.end() for client in (*resting, *sending)])
    await asyncio.gather(*working)
    code = await asyncio.to_thread(relay.wait, 30)
    took = time.monotonic() - began
    accepted = sum(client.heard.count(b", id=") for client in (*sending, *hurrying))
    kept = await count_kept(state) + len(sandbox.messages)
    result = {
        "python": subprocess.check_output(  # noqa: ASYNC221 - everything is over
            [relay.args[0], "-c", "import platform; print(platform.python_version())"], text=True
        ).strip(),
        "exit_code": code,
        "seconds": round(took, 2),
        "idle_told_421": sum(line.startswith(b"421") for line in last_words[:idle]),
        "idle": idle,
        "within_data": in_data,
        "busy": busy,
        "ended_their_data": len(finishing),
        "accepted": accepted,
        "acknowledged_and_lost": max(0, accepted - kept),
        "kept_without_250": max(0, kept - accepted),
    }
    kept_promise = code == 0 and took <= 10 and result["acknowledged_and_lost"] == 0
    return result, kept_promise and result["idle_told_421"] == idle


async def count_kept(state):
    from relay.spool import State
    from relay.spool.sqlite.engine import SqliteSpool

    spool = SqliteSpool(state / "spool")
    await spool.open()
    counts = await spool.counts()
    await spool.close()
    return sum(counts[one] for one in (State.QUEUED, State.SENDING, State.DELAYED, State.HELD))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--idle", type=int, default=100)
    parser.add_argument("--in-data", type=int, default=10)
    parser.add_argument("--busy", type=int, default=0, help="clients that send one message after the other")
    wish = parser.parse_args()
    driving.be_quiet()
    result, kept = asyncio.run(run(wish.python, wish.idle, wish.in_data, wish.busy))
    sys.exit(driving.report(result, kept=kept))


if __name__ == "__main__":
    main()
