"""`relay sendmail`, as cron and PHP call it."""

import asyncio
import sys
from pathlib import Path

import pytest

MESSAGE = b"From: scanner@example.com\nTo: a@example.com\nBcc: c@example.com\nSubject: cron\n\none\n.\ntwo\n"


async def sendmail(whole, *arguments, stdin=MESSAGE, program=(sys.executable, "-m", "relay", "sendmail")):
    host, port = whole.smtp
    process = await asyncio.create_subprocess_exec(
        *program, f"--server={host}:{port}", *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(stdin), 30)
    return process.returncode, output.decode()


async def test_recipients_from_the_fields(whole):
    code, output = await sendmail(whole, "-t", "-oi", "-f", "root@example.com", "b@example.com")
    assert (code, output) == (0, "")
    request = whole.last()
    assert request["to"] == "a@example.com"
    assert sorted(request["bcc"].split("; ")) == ["b@example.com", "c@example.com"]
    assert request["body"].split() == ["one", ".", "two"]


async def test_a_lone_dot_ends_the_message_without_i(whole):
    code, output = await sendmail(whole, "-f", "root@example.com", "a@example.com")
    assert (code, output) == (0, "")
    assert whole.last()["body"].split() == ["one"]


async def test_a_link_called_sendmail_is_sendmail(whole, tmp_path):
    link = tmp_path / "sendmail"
    link.write_text(f"#!{sys.executable}\nfrom relay.cli import main\nmain()\n")
    link.chmod(0o755)
    code, output = await sendmail(whole, "-i", "a@example.com", program=(sys.executable, link))
    assert (code, output) == (0, "")
    assert Path(link).name == "sendmail"


async def test_an_address_in_utf_8(whole):
    """It was a failure of Python's codec, and temporary, so that cron tried it for ever."""
    code, output = await sendmail(whole, "-i", "山田@example.com")
    assert code == 0, output
    assert whole.last()["to"] == "山田@example.com"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("-i",), 64, "no recipient"),
        (("-bs",), 64, "-bs"),
        (("-i", "a@b;c@d"), 65, "501 5.1.3"),
    ],
)
async def test_what_cannot_be_sent_says_why(whole, arguments, code, words):
    got, output = await sendmail(whole, *arguments)
    assert got == code, output
    assert words in output
    assert "Traceback" not in output


async def test_no_relay_is_a_temporary_failure(whole):
    code, output = await sendmail(whole, "--server=127.0.0.1:9", "-i", "a@example.com")
    assert code == 75
    assert "is the relay running?" in output
