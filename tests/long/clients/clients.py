"""Real client programs: which there are, whether they are here, and one run of one of them against a relay.

Each is a script in `programs/`, named for the program. Comments say what it needs:

    # debian: PACKAGE …    Debian's packages
    # python: MODULE       a library of the environment that runs this
    # pip: PACKAGE …       libraries for an environment of its own
    # npm: PACKAGE …       the same for node
    # program: NAME        something else on the path
    # alone                writes into /etc, or brings a mail server: only where the file system is an overlay

It finds what to send, and where, in the environment: HOST, PORT, FROM, TO, SUBJECT, BODY, and MESSAGE, a file
that has it all. SENDMAIL is `relay sendmail`, PYTHON this Python. The folder that it runs in is its HOME.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

ROOT = Path(__file__).parents[3]
FOLDER = Path(__file__).parent / "programs"
PATIENCE = 30.0  # seconds until what was sent has to be there
LONGEST = 300.0  # seconds for a script
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
    """A relay against a simulated Works, in a process of its own."""

    host: str
    port: str
    messages: str

    def find(self, token):
        """The request whose body has the token; None if none came."""
        with build_opener(ProxyHandler({})).open(self.messages, timeout=PATIENCE) as answer:
            requests = [one["request"] for one in json.loads(answer.read())]
        return next((one for one in requests if token in one["body"]), None)


@contextmanager
def running_relay():
    """One that nothing slows down."""
    ports, limits = ("--smtp-port=0", "--http-port=0"), ("--mails-per-minute=0", "--requests-per-minute=0")
    process = subprocess.Popen(
        [sys.executable, "-m", "relay", "sandbox", "--json", *ports, *limits],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        where = json.loads(process.stdout.readline())
        host, _, port = where["smtp"].rpartition(":")
        yield Relay(host, port, where["messages"])
    finally:
        process.terminate()
        process.communicate()


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
    where = f"{relay.host}:{relay.port}"
    sendmail.write_text(_SENDMAIL.format(root=ROOT, python=sys.executable, where=where))
    sendmail.chmod(0o755)
    usual = {name: os.environ[name] for name in ("PATH", "LANG", "TERM") if name in os.environ}
    return {
        **usual,
        "HOME": str(folder),
        "HOST": relay.host,
        "PORT": relay.port,
        "FROM": sender,
        "TO": recipient,
        "SUBJECT": subject,
        "BODY": token,
        "MESSAGE": str(message),
        "SENDMAIL": str(sendmail),
        "PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),
    }
