"""What the security scripts share: a relay in a process of its own, and a report."""

import argparse
import asyncio
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from relay.host.certificate import make, write
from tests.support.ports import free_port

# Runs `relay serve` and, told to, without uvloop; measures how long the event loop is held.
_LAUNCH = """
import asyncio, json, os, sys, time
if {plain}:
    sys.modules["uvloop"] = None
from relay import service
serve = service.serve
async def watched(*arguments):
    held = []
    async def sample():
        while True:
            before, worked = time.perf_counter(), time.thread_time()
            await asyncio.sleep(0.001)
            held.append((time.time(), time.perf_counter() - before - 0.001, time.thread_time() - worked))
    task = asyncio.create_task(sample())
    try:
        await serve(*arguments)
    finally:
        task.cancel()
        with open({report!r}, "w") as file:
            json.dump(held, file)
if {measure}:
    service.serve = watched
from relay.cli import main
sys.argv = ["relay", "serve", "--config", {config!r}]
main()
"""
_CONFIG = """
hostname = "relay.example.com"
state_dir = "{folder}/state"
[works]
client_id = "i"
client_secret = "s"
api_url = "http://127.0.0.1:9"
auth_url = "http://127.0.0.1:9"
[[account]]
name = "scanner"
address = "scanner@example.com"
default = true
[console]
address = ""
[delivery]
wait = 0
[log]
format = "json"
"""


class Relay:
    """A relay that runs."""

    def __init__(self, process, folder, port, log):
        self.process = process
        self.folder = folder
        self.port = port
        self.log = log

    @property
    def rss(self):
        """Octets of memory that are its own."""
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return 1024 * sum(int(x) for x in re.findall(r"Private_\w+:\s+(\d+)", text))

    def log_lines(self):
        return self.log.read_text().splitlines()

    def held(self):
        """For each millisecond: when, how late the loop came, how long it worked; after the end."""
        return json.loads((self.folder / "held.json").read_text())


@contextmanager
def relay(*, listener="", more="", uvloop=True, measure=False, files=None, tls=False):
    """Start `relay serve` with one listener on a free port of loopback."""
    with tempfile.TemporaryDirectory(prefix="relay-security-") as name:
        folder = Path(name)
        port = free_port()
        text = _CONFIG.format(folder=folder) + more
        text += f'\n[[listener]]\naddress = "127.0.0.1:{port}"\n{listener}\n'
        if tls:
            paths = folder / "cert.pem", folder / "key.pem"
            write(make(["localhost", "127.0.0.1"], 30), *paths)
            text += f'certificate_file = "{paths[0]}"\nprivate_key_file = "{paths[1]}"\n'
        config = folder / "relay.toml"
        config.write_text(text)
        code = _LAUNCH.format(
            plain=not uvloop, measure=measure, report=str(folder / "held.json"), config=str(config)
        )
        log = folder / "log"

        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

        with log.open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-c", code],
                stderr=stderr,
                preexec_fn=limit if files else None,  # noqa: PLW1509 - no threads here
            )
        try:
            _wait(process, port, log)
            yield Relay(process, folder, port, log)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process, port, log):
    for _ in range(300):
        if process.poll() is not None:
            raise SystemExit(log.read_text())
        if "serving" in log.read_text():
            return
        time.sleep(0.05)
    raise SystemExit("the relay did not start")


def percentile(values, share):
    values = sorted(values)
    return values[min(int(len(values) * share), len(values) - 1)] if values else 0.0


def raise_file_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


async def command(reader, writer, line, wait=20.0):
    """One command and the last line of its reply."""
    if line is not None:
        writer.write(line.encode() + b"\r\n")
    async with asyncio.timeout(wait):
        while True:
            answer = await reader.readline()
            if answer[3:4] != b"-":
                return answer.decode()


def main(measure, description):
    """Run a script: --short is the suite's form; the exit code says whether the figures are reached."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--short", action="store_true", help="the bounded form of the test suite")
    options = parser.parse_args()
    result = measure(short=options.short)
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        for name, value in result.items():
            print(f"{name:34} {value}")
    sys.stdout.flush()
    os._exit(0 if result["reached"] else 1)
