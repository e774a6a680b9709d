"""The log as systemd's journal reads it."""

import json
import os
import subprocess
import sys

import pytest

WRITE = """
import structlog
from relay.config.model import Log
from relay.host import logs
logs.set_up(Log(format=%r))
log = structlog.get_logger("x")
log.info("usual")
log.warning("odd")
log.error("wrong", reason="a\\nb")
"""


def write(form, *, journal):
    """What such a process writes to a pipe, which may be the journal's."""
    reader, writer = os.pipe()
    status = os.fstat(writer)
    stream = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}" if journal else "1:2"}
    subprocess.run(
        [sys.executable, "-c", WRITE % form], stderr=writer, env={**os.environ, **stream}, check=True
    )
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as text:
        return text.read().splitlines()


@pytest.mark.parametrize("form", ["json", "console"])
def test_the_journal_is_told_each_lines_priority(form):
    """`journalctl -p warning -u relay` was empty: every line had the same one."""
    lines = write(form, journal=True)
    assert [line[:3] for line in lines[:3]] == ["<6>", "<4>", "<3>"]


def test_another_stream_gets_the_lines_as_they_are():
    """A variable that was inherited says nothing of a stream that was redirected (systemd.exec(5))."""
    assert [json.loads(line)["level"] for line in write("json", journal=False)] == [
        "info",
        "warning",
        "error",
    ]
