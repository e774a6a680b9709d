"""The commands in poor surroundings: no locale, closed streams, a full disk behind the output."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MESSAGE = "From: a@example.com\nTo: b@example.com\nSubject: =?UTF-8?B?8J+YgOODhuOCueODiA==?=\n\nhello\n"
# The locale C without Python's own remedies for it (PEP 538, PEP 540): output is ASCII.
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def shell(line, **environment):
    """Run a line of shell in which $RELAY is the command."""
    relay = f"{sys.executable} -m relay"
    return subprocess.run(
        ["/bin/bash", "-c", line.replace("$RELAY", relay)],
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )


def says(done, code, *words):
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    assert done.returncode == code, done.stderr.decode()
    for word in words:
        assert word in done.stderr + done.stdout


@pytest.fixture
def message(tmp_path):
    path = tmp_path / "message.eml"
    path.write_text(MESSAGE)
    return path


def test_a_locale_without_kanji_ends_no_command(message):
    """Who looks at a Japanese message by a serial console sees the characters' numbers, not a traceback."""
    says(shell(f"$RELAY explain {message}", **ASCII), 0, rb"\u30c6\u30b9\u30c8")
    done = shell(f"$RELAY explain {message} --json", **ASCII)
    assert json.loads(done.stdout)["request"]["subject"] == "😀テスト"


def test_the_sandbox_needs_no_locale():
    """What it keeps is written in UTF-8: a Japanese subject was an internal error there."""
    done = shell("$RELAY sandbox --once", **ASCII)
    says(done, 0)
    assert json.loads(done.stdout)["subject"].startswith("スキャン")


@pytest.mark.parametrize(
    "words", ["--version", "explain MESSAGE --json", "explain MESSAGE", "sandbox --once"]
)
def test_standard_output_that_is_closed(message, words):
    """Its number must not go to a socket or the event loop: that ended in an assertion of C."""
    says(shell(f"$RELAY {words.replace('MESSAGE', str(message))} >&-"), 0)


@pytest.mark.parametrize(
    ("words", "code"), [("explain -", 0), ("passwd", 64), ("sendmail -t", 64), ("explain - --json", 0)]
)
def test_standard_input_that_is_closed(words, code):
    """It is an empty one."""
    says(shell(f"$RELAY {words} <&-"), code)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
@pytest.mark.parametrize("words", ["--help", "explain MESSAGE", "explain MESSAGE --json", "sandbox --once"])
def test_an_output_that_cannot_be_written(message, words):
    """EX_IOERR and a sentence: a script that keeps what is printed must hear that it has only half."""
    done = shell(f"$RELAY {words.replace('MESSAGE', str(message))} >/dev/full")
    says(done, 74, b"the output cannot be written: No space left on device")


@pytest.mark.parametrize("words", ["--help", "explain MESSAGE --json", "sandbox --once"])
def test_a_reader_that_has_seen_enough(message, words):
    """`relay … | head -1` is quiet, and says nothing of ports."""
    done = shell(f"$RELAY {words.replace('MESSAGE', str(message))} | head -c 1 >/dev/null")
    says(done, 0)
    assert b"cannot" not in done.stderr
