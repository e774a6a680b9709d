"""What the crash scripts share: a relay in a process of its own, a Works to count, a client that insists."""

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from relay.console.server import serving
from relay.grants import Grant
from relay.operator.calling import call
from relay.sandbox import Sandbox, Settings
from relay.works.auth.files import GrantFiles
from tests.support.ports import free_port

LOGIN = "scanner@example.com"
NO_LIMITS = Settings(
    requests_per_minute=0, mails_per_minute=0, recipients_per_day=0, keep=0, summaries=1_000_000
)
BAD_TIMES = ("503", "500", "cut-before", "cut-in", "cut-after", "429", "latency")
CONFIG = """
hostname = "relay.example.com"
state_dir = "{state}"
[works]
client_id = "sandbox"
client_secret = "sandbox-secret"
api_url = "{url}/v1.0"
auth_url = "{url}/oauth2/v2.0"
requests_per_minute = 0
attachment_limit = "{attachment_limit}"
[[account]]
name = "scanner"
address = "{login}"
default = true
mails_per_minute = 0
recipients_per_day = 0
[[listener]]
address = "127.0.0.1:{port}"
message_limit = "30MB"
[delivery]
wait = "{wait}"
retry = ["1s*"]
[spool]
keep_free = "{keep_free}"
[console]
address = ""
[log]
level = "warning"
"""


class Nursery:
    """Forks `relay serve` off a process that has imported it already: a thousand starts in minutes.

    The child runs the same command as `relay serve` would; only the interpreter's start is saved.
    """

    _CODE = """
import os, signal, sys
from relay.cli import main
import relay.cli.serve, relay.service, relay.host.logs, relay.console.service, uvloop  # noqa
import relay.smtp.server, relay.courier, relay.message  # noqa
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    config, log = line.split()
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(fd, 1), os.dup2(fd, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.argv = ["relay", "serve", "--config", config]
        main()
    print(pid, flush=True)
"""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-c", self._CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def bear(self, config, log):
        self._process.stdin.write(f"{config} {log}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.wait(10)


@dataclass
class Relay:
    """`relay serve` in a process of its own, on one state directory."""

    folder: Path
    url: str
    wait: str = "2s"
    keep_free: str = "1MB"
    attachment_limit: str = "100KB"
    state: Path | None = None
    nursery: Nursery | None = None
    port: int = field(default_factory=free_port)
    pid: int = 0
    process: subprocess.Popen | None = None

    def __post_init__(self):
        self.state = self.state or self.folder / "state"
        self.state.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "relay.log"
        self.config = self.folder / "relay.toml"
        self.config.write_text(CONFIG.format(**vars(self), login=LOGIN))

    def grant(self, sandbox):
        tokens, now = sandbox.issue_grant(LOGIN), time.time()
        grant = Grant(tokens["access_token"], now + 86400, tokens["refresh_token"], now, now, now)
        GrantFiles(self.state).write("scanner", grant)

    def start(self, before=()):
        """Begin; `before` stands before the command: strace and what it is told."""
        if self.nursery is not None and not before:
            self.pid, self.process = self.nursery.bear(self.config, self.log), None
            return
        command = [*before, sys.executable, "-m", "relay", "serve", "--config", str(self.config)]
        environment = dict(os.environ)
        if before:
            # Its system calls are looked at: the suite's watch (tests/support/watch) would add its own.
            environment.pop("RELAY_SUITE_WATCH", None)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=environment,
            )
        self.pid = self.process.pid

    def alive(self):
        if self.process is not None:
            return self.process.poll() is None
        with suppress(OSError):
            os.kill(self.pid, 0)
            return True
        return False

    def signal(self, number):
        with suppress(ProcessLookupError):
            if self.process is not None:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)

    async def gone(self, seconds=20.0):
        end = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > end:
                raise TimeoutError("the relay does not end")
            await asyncio.sleep(0.005)

    async def kill(self):
        self.signal(signal.SIGKILL)
        await self.gone()

    async def stop(self):
        if self.alive():
            self.signal(signal.SIGTERM)
            await self.gone()

    async def listening(self, seconds=20.0):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(OSError):
                (await asyncio.open_connection("127.0.0.1", self.port))[1].close()
                return
            if not self.alive():
                raise RuntimeError(f"the relay ended by itself; see {self.log}")
            await asyncio.sleep(0.01)
        raise TimeoutError("the relay does not listen")

    async def ask(self, verb, **arguments):
        return await call(self.state / "control.sock", verb, **arguments)

    async def drain(self, seconds=120.0):
        """Try everything that waits, until nothing does, or none of it goes for so long."""
        end, told, least = time.monotonic() + seconds, time.monotonic() + 10.0, float("inf")
        while True:
            states = ["delayed", "held"]
            waiting = await self.ask("queue_list", states=states, limit=500)
            ids = [one["queue_id"] for one in waiting["messages"]]
            await self.ask("queue_retry", queue_ids=ids, unknown=True)
            counts = waiting["counts"]
            if time.monotonic() > told:
                say(f"waiting: { ({state: n for state, n in counts.items() if n}) }")
                told += 10.0
            left = sum(counts[state] for state in ("queued", "sending", *states))
            if not left:
                return
            if left < least:  # a busy machine takes its time
                least, end = left, time.monotonic() + seconds
            if time.monotonic() > end:
                stuck = [(one["queue_id"], one["state"], one["reason"]) for one in waiting["messages"]]
                raise TimeoutError(f"it does not drain: {counts} {stuck}")
            await asyncio.sleep(0.3)

    def rows(self):
        """Each message's rows: number of the message → (queue id, state, unknown outcomes) …"""
        found = {}
        database = sqlite3.connect(f"file:{self.state}/spool/spool.db?mode=ro", uri=True)
        unknowns = Counter(
            queue_id
            for queue_id, outcome in database.execute("SELECT queue_id, outcome FROM request")
            if outcome is None or json.loads(outcome)["action"] == "unknown"
        )
        for queue_id, state, envelope in database.execute("SELECT queue_id, state, envelope FROM message"):
            address = json.loads(envelope)["forward_paths"][0]
            if address.startswith("r") and address[1:].partition("@")[0].isdecimal():
                number = int(address[1:].partition("@")[0])
                found.setdefault(number, []).append((queue_id, state, unknowns[queue_id]))
        database.close()
        return found


@asynccontextmanager
async def works(settings=NO_LIMITS, *, before=lambda app: app, **options):
    """The simulation and its URL; `before` makes of its application the one that is served."""
    sandbox = Sandbox(settings, **options)
    try:
        async with serving(before(sandbox.app)) as http:
            # Set, so that the kernel does not grow it to many megabytes that nobody has read.
            http.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)
            yield sandbox, http.url
    finally:
        sandbox.close()


def compose(number, kind="small"):
    """A message of its own number.

    `large` goes to a file, `refused` is over the limit for attachments, `huge` over what kernels buffer.
    """
    size = {"small": 0, "large": 60_000, "refused": 150_000, "huge": 15_000_000}[kind]
    head = f"From: {LOGIN}\r\nTo: r{number}@example.com\r\nSubject: n{number}\r\n".encode()
    if not size:
        return head + b"\r\nbody of " + str(number).encode() + b"\r\n" + b"x" * 60 + b"\r\n"
    line = b"QUJD" * 19 + b"\r\n"
    head += b'Content-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    return head + line * (size // 57)


class Client:
    """One device: it sends a message until somebody says yes or no."""

    def __init__(self, relay, patience=30.0):
        self._relay = relay
        self._patience = patience  # seconds for all of a message
        self._streams = None

    async def submit(self, number, octets):
        """One try: the reply to the dot (or an earlier refusal), None when there was none."""
        try:
            return await self._try(number, octets)
        except (OSError, EOFError, TimeoutError):
            self.hang_up()
            return None

    async def insist(self, number, octets):
        """Try until the answer is 2yz or 5yz; the answer, and how often it was tried."""
        tries = 0
        while True:
            tries += 1
            answer = await self.submit(number, octets)
            if answer is not None and answer[:1] in "25":
                return answer, tries
            await asyncio.sleep(0.1)  # twenty that knock without pause cost more than the relay's start

    async def _try(self, number, octets):
        async with asyncio.timeout(self._patience):
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._relay.port)
                await self._streams[0].readuntil(b"\n")
                await self._say(b"HELO client")
            for line in (f"MAIL FROM:<{LOGIN}>", f"RCPT TO:<r{number}@example.com>", "DATA"):
                answer = await self._say(line.encode())
                if answer[:1] not in "23":
                    self.hang_up()
                    return answer
            return await self._say(octets + b"\r\n.")

    async def _say(self, line):
        reader, writer = self._streams
        writer.write(line + b"\r\n")
        return (await reader.readuntil(b"\n")).decode()

    def hang_up(self):
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


def kind_of(number):
    if number % 100 == 7:
        return "refused"
    return "large" if number % 20 == 3 else "small"


async def make_trouble(sandbox, chance, pause=1.0):
    """One fault after another, until cancelled."""
    while True:
        add_trouble(sandbox, chance)
        await asyncio.sleep(pause * chance.uniform(0.5, 1.5))


def add_trouble(sandbox, chance):
    """Put one of the faults of bad times in force."""
    kind = chance.choice(BAD_TIMES)
    wish = {"429": {"seconds": 1}, "latency": {"seconds": 0.2, "times": 3}}.get(kind, {"times": 1})
    if kind == "500":
        wish["accepted"] = chance.random() < 0.5
    sandbox.add_fault(kind, **wish)


@dataclass
class Ledger:
    """What the clients were told."""

    accepted: dict[int, str] = field(default_factory=dict)  # number → reply
    refused: dict[int, str] = field(default_factory=dict)
    tries: int = 0

    def enter(self, number, answer, tries):
        (self.accepted if answer.startswith("2") else self.refused)[number] = answer
        self.tries += tries


def judge(ledger, sandbox, relay):
    """Hold what the clients were told against what Works was given and what the spool says."""
    # Notices to senders are mail of the relay's own.
    sent = Counter(int(one.subject[1:]) for one in sandbox.messages if one.subject[1:].isdecimal())
    rows = relay.rows()
    ids = {number: reply.partition("id=")[2].strip().rstrip(")") for number, reply in ledger.accepted.items()}
    known = {queue_id for found in rows.values() for queue_id, _, _ in found}
    # Accepted before anybody knew that it is refused: kept, and its sender is told.
    failed = {number: found for number, found in rows.items() if found[-1][1] == "failed"}
    unknowns = {number: sum(one[2] for one in found) for number, found in rows.items()}
    duplicates = {number: count - 1 for number, count in sent.items() if count > 1}
    return {
        "submitted": len(ledger.accepted) + len(ledger.refused),
        "accepted": len(ledger.accepted),
        "refused": len(ledger.refused),
        "submissions": ledger.tries,
        "lost": sum(1 for number in ledger.accepted if not sent[number] and number not in failed),
        "failed_and_kept": len(failed.keys() & ledger.accepted.keys()),
        "sent_after_5yz": sum(1 for number in ledger.refused if sent[number]),
        "250_without_a_row": sum(1 for number in ids if ids[number] not in known),
        "kept_twice": sum(1 for found in rows.values() if len(found) > 1),
        "unknown_outcomes": sum(unknowns.values()),
        "duplicates": sum(duplicates.values()),
        "duplicates_not_recorded_as_possible": sum(
            max(0, extra - unknowns.get(number, 0)) for number, extra in duplicates.items()
        ),
        "most_for_one_message": max(duplicates.values(), default=0),
    }


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def finish(result, wrong, *, as_json):
    """Print the figures; the exit code says whether any of `wrong` is not zero."""
    if as_json:
        print(json.dumps(result, indent=1))
    else:
        for key, value in result.items():
            print(f"{key.replace('_', ' '):<40} {value}")
    bad = [key for key in wrong if result[key]]
    for key in bad:
        say(f"WRONG: {key.replace('_', ' ')} = {result[key]}")
    return 1 if bad else 0


def chance_of(seed):
    seed = seed if seed is not None else random.randrange(1_000_000)
    say(f"seed {seed}")
    return random.Random(seed)


def make_parser(description):
    """The options of a script, as far as they are the same for all."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--json", action="store_true")
    return parser


def start(run, parser, name):
    """Run a script in a folder of its own; gives its exit code."""
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix=f"relay-{name}-") as folder:
        return asyncio.run(run(options, Path(folder)))
