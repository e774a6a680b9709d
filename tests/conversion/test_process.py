"""The process before it is needed: small, and gone with whoever started it."""

import subprocess
import sys

AHEAD = """
from relay.conversion.process import start_ahead, take
start_ahead()
process = take()
modules = open(f"/proc/{process.pid}/maps").read()
print(process.pid, "pybase64" in modules, flush=True)
"""


def test_one_that_nobody_needed_ends_without_a_word():
    """The relay may end before it listens: a second one is running, say."""
    done = subprocess.run(
        [sys.executable, "-c", AHEAD], capture_output=True, text=True, timeout=30, check=True
    )
    pid, loaded = done.stdout.split()
    assert int(pid) > 0  # it shares our standard error: `run` came back, so it is gone
    assert loaded == "False"
    assert not done.stderr
