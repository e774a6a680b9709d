"""The process before it is needed: small, and gone with whoever started it."""

import os
import subprocess
import sys
import time
from pathlib import Path

from relay.conversion import process

AHEAD = """
from relay.conversion.process import start_ahead, take
start_ahead()
process = take()
modules = open(f"/proc/{process.popen.pid}/maps").read()
print(process.popen.pid, "pybase64" in modules, flush=True)
"""


def test_one_that_nobody_needed_ends_without_a_word():
    """The relay may end before it listens: a second one is running, say."""
    done = subprocess.run(
        [sys.executable, "-c", AHEAD], capture_output=True, text=True, timeout=30, check=True
    )
    pid, loaded = done.stdout.split()
    deadline = time.monotonic() + 30
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(pid)
    assert loaded == "False"
    assert not done.stderr


def is_running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_it_has_nothing_of_the_relays():
    """Its environment had the client secret, and its working directory could hold a `relay` of somebody's."""
    os.environ["RELAY_WORKS__CLIENT_SECRET"] = "geheim"
    try:
        started = process.start()
    finally:
        del os.environ["RELAY_WORKS__CLIENT_SECRET"]
    try:
        at = Path(f"/proc/{started.popen.pid}")
        deadline = time.monotonic() + 30
        while b"-I" not in (at / "cmdline").read_bytes().split(b"\0") and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (at / "cwd").readlink() == Path("/")
        assert set((at / "environ").read_bytes().split(b"\0")) <= {b""} | {
            f"LD_LIBRARY_PATH={os.environ.get('LD_LIBRARY_PATH')}".encode()
        }
    finally:
        started.popen.kill()
        started.popen.wait()
        started.socket.close()


def test_a_process_that_died_before_it_was_needed_is_replaced():
    process.start_ahead()
    dead = process._ahead[-1]
    dead.popen.kill()
    dead.popen.wait()
    taken = process.take()
    assert taken is not dead
    taken.popen.kill()
    taken.popen.wait()
    taken.socket.close()
