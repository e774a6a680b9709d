"""Real client programs: which there are, whether they are here, and one run of one of them against a relay.

Each is a script in `programs/`, named for the program. Comments say what it needs:

    # debian: PACKAGE …    Debian's packages
    # python: MODULE       a library of the environment that runs this
    # pip: PACKAGE …       libraries for an environment of its own
    # npm: PACKAGE …       the same for node
    # program: NAME        something else on the path
    # alone                writes into /etc, or brings a mail server: only where the file system is an overlay

It finds what to send, and where, in the environment: HOST, PORT, FROM, TO, SUBJECT, BODY, and MESSAGE, a file
that has it all. Where a login is usual: TLS_PORT with STARTTLS, USER_NAME, PASSWORD, and CERTIFICATE, to be
trusted. SENDMAIL is `relay sendmail`, PYTHON this Python. The folder that it runs in is its HOME.
"""

import asyncio
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from relay.host import certificate
from relay.host.passwords import hash_password
from relay.sandbox import Settings
from tests.support.whole_relay import Whole, whole_relay

ROOT = Path(__file__).parents[3]
FOLDER = Path(__file__).parent / "programs"
PATIENCE = 30.0  # seconds until what was sent has to be there
LONGEST = 300.0  # seconds for a script
PASSWORD = "correct-horse"
_SENDMAIL = """#!/bin/sh
PYTHONPATH={root} RELAY_SENDMAIL_SERVER={where} exec {python} -c \\
    'import sys; sys.argv[0] = "sendmail"; from relay.cli import main; main()' "$@"
"""


@dataclass(frozen=True)
class Client:
    """A program, and what it needs."""

    name: str
    script: Path
    needs: dict[str, list[str]]

    def is_here(self) -> bool:
        """Whether it can run on this machine as it is."""
        if {"alone", "pip", "npm"} & self.needs.keys():
            return False
        return (
            all(map(is_installed, self.needs.get("debian", ())))
            and all(map(shutil.which, self.needs.get("program", ())))
            and all(map(importlib.util.find_spec, self.needs.get("python", ())))
        )


def read_clients():
    """All of them, by name."""
    return {path.stem: read_client(path) for path in sorted(FOLDER.glob("*.sh"))}


def read_client(path):
    lines = re.findall(
        r"^# (alone|debian|python|pip|npm|program):? ?(.*)$", path.read_text("utf-8"), re.MULTILINE
    )
    return Client(path.stem, path, {word: rest.split() for word, rest in lines})


def is_installed(package):
    """Whether Debian's package manager has it."""
    if not shutil.which("dpkg-query"):
        return False
    ask = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    return subprocess.run(ask, capture_output=True, text=True, check=False).stdout == "installed"


@dataclass
class Relay:
    """A relay against a simulated Works: a plain listener, and one with STARTTLS that wants a login."""

    whole: Whole
    certificate: Path
    host: str = "127.0.0.1"

    @property
    def ports(self):
        return [str(port) for _, port in self.whole.service.server.addresses]

    def find(self, token):
        """The request whose body has the token; None if none came."""
        sandbox = self.whole.sandbox
        requests = [sandbox.request(one.id) for one in sandbox.messages]
        return next((one for one in requests if token in one["body"]), None)


@contextmanager
def running_relay():
    """One that nothing slows down, in a thread of its own."""
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(1) as thread:
        folder, ready, stop = Path(name), Future(), Future()
        pair = folder / "relay.crt", folder / "relay.key"
        certificate.write(certificate.make(["127.0.0.1", "localhost"], 365), *pair)
        ended = thread.submit(asyncio.run, serve(folder, pair, ready, stop))
        try:
            while not ready.done() and not ended.done():
                time.sleep(0.05)
            yield Relay((ready if ready.done() else ended).result(), pair[0])
        finally:
            stop.set_result(None)
            ended.result()


async def serve(folder, pair, ready, stop):
    limits = Settings(mails_per_minute=0, requests_per_minute=0, recipients_per_day=0)
    unlimited = {"mails_per_minute": 0, "recipients_per_day": 0}
    account = {"name": "scanner", "address": "scanner@example.com", "default": True, **unlimited}
    tls = {"certificate_file": str(pair[0]), "private_key_file": str(pair[1]), "tls": "starttls"}
    plain, secure = {"address": "127.0.0.1:0"}, {"address": "localhost:0", "auth": "required", **tls}
    user = {"name": "shop", "password_hash": hash_password(PASSWORD)}
    tables = {"account": [account], "listener": [plain, secure], "user": [user]}
    async with whole_relay(folder / "state", limits, **tables) as whole:
        ready.set_result(whole)
        await asyncio.wrap_future(stop)


def run_client(client, relay, folder, *, before=()):
    """Send one message; why it did not arrive, or "" if it did.

    `before` is what has to stand before the script's own command: an overlay.
    """
    token = uuid.uuid4().hex
    environment = prepare(client, relay, folder, token)
    try:
        done = subprocess.run(
            [*before, "bash", "-eu", str(client.script)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no end after {LONGEST:.0f} s"
    if done.returncode:
        return f"exit code {done.returncode}: {done.stdout[-2000:]}"
    end = time.monotonic() + PATIENCE
    while (request := relay.find(token)) is None:
        if time.monotonic() > end:
            return f"nothing came: {done.stdout[-2000:]}"
        time.sleep(0.1)
    return "" if request["to"] == environment["TO"] else f"it went to {request['to']}"


def prepare(client, relay, folder, token):
    """The environment of a script, and the files that it names."""
    sender, recipient, subject = "scanner@example.com", "a@example.com", f"by {client.name}"
    message, sendmail = folder / "message.eml", folder / "sendmail"
    message.write_text(f"From: {sender}\nTo: {recipient}\nSubject: {subject}\n\n{token}\n")
    port, tls_port = relay.ports
    where = f"{relay.host}:{port}"
    sendmail.write_text(_SENDMAIL.format(root=ROOT, python=sys.executable, where=where))
    sendmail.chmod(0o755)
    usual = {name: os.environ[name] for name in ("PATH", "LANG", "TERM") if name in os.environ}
    return {
        **usual,
        "HOME": str(folder),
        "HOST": relay.host,
        "PORT": port,
        "TLS_PORT": tls_port,
        "CERTIFICATE": str(relay.certificate),
        "USER_NAME": "shop",
        "PASSWORD": PASSWORD,
        "FROM": sender,
        "TO": recipient,
        "SUBJECT": subject,
        "BODY": token,
        "MESSAGE": str(message),
        "SENDMAIL": str(sendmail),
        "PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),
    }
