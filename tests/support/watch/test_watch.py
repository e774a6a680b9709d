"""The watch over the suite's secrets sees a leak: in another process, below its log level, in disguise."""

import base64
import os
import subprocess
import sys

from tests.support.watch import secrets_watch

# A process as tests start them; what it does wrong is what must be seen.
_PROCESS = """
import sys
from relay.config.model import Log
from relay.host.logs import set_up
from relay.host.passwords import hash_password
from relay.reply import Reply
import structlog
hash_password("planted pässword 1")
hash_password("another planted one")
set_up(Log(level="warning"))
log = structlog.get_logger("leak")
log.debug({log})
Reply(250, "2.0.0", {reply}).encode()
"""


def run(folder, *, log="'nothing'", reply="'nothing'"):
    done = subprocess.run(
        [sys.executable, "-c", _PROCESS.format(log=log, reply=reply)],
        env=os.environ | {secrets_watch.FOLDER: str(folder), "PYTEST_CURRENT_TEST": "test_that_leaks (call)"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == "", "it was asked for warnings only"
    return set(secrets_watch.search(folder))


def test_what_is_clean_is_found_clean(tmp_path):
    assert run(tmp_path) == set()
    assert {"password", "log", "reply"} <= set(secrets_watch.count(tmp_path))


def test_a_password_in_a_log_at_debug_is_seen(tmp_path):
    leak = ("password", "test_that_leaks", "log", "test_that_leaks")
    assert run(tmp_path, log="'trying', password='planted pässword 1'") == {leak}


def test_a_password_in_a_reply_is_seen_in_every_disguise(tmp_path):
    leak = ("password", "test_that_leaks", "reply", "test_that_leaks")
    coded = [base64.b64encode(b"\0user\0"[:shift] + b"another planted one").decode() for shift in range(4)]
    for number, text in enumerate(["another planted one", "another%20planted%20one", *coded]):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert run(folder, reply=repr(f"unknown command {text}")) == {leak}, text


def test_what_hypothesis_invents_is_no_secret(tmp_path):
    """It drew "account released" as a body once, and every log that said so was a leak."""
    for test in (
        "tests/message/test_properties.py::test_x (call)",
        "tests/message/test_text.py::test_y (call)",
    ):
        subprocess.run(
            [sys.executable, "-c", 'from relay.mail import Mail; Mail("", "account released", "text")'],
            env=os.environ | {secrets_watch.FOLDER: str(tmp_path), "PYTEST_CURRENT_TEST": test},
            timeout=60,
            check=True,
        )
    planted = list(secrets_watch.read(tmp_path, planted=True))
    assert planted == [("body", "tests/message/test_text.py::test_y", "account released")]


def test_a_line_that_a_kill_cut_off_is_searched_and_breaks_nothing(tmp_path):
    """A killed process leaves half a line; the whole search ended with it, after every test had passed."""
    (tmp_path / "planted-password.1.1").write_text('["test_a", "hunter2hunter2"]\n["test_a", "hun')
    (tmp_path / "log.2.2").write_text('["test_b", "all is well"]\n["test_b", "it was hunter2hunter2 and th')
    found = secrets_watch.search(tmp_path)
    assert set(found) == {("password", "test_a", "log", "a process that was killed")}
