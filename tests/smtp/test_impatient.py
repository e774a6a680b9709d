"""A client that leaves before the reply to its message: the doctor says what to set, the log has no stack.

The commonest complaint about printers: the panel says "failed", and the mail arrives.
"""

import asyncio
import socket
import struct
import time

import pytest

from relay.operator import calling
from tests.support.smtp import House, listeners

MESSAGE = b"From: scanner@example.com\r\nSubject: scan\r\n\r\nx\r\n.\r\n"
PATIENCE = 30.0  # seconds


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A relay that waits for a Works that does not answer."""
    folder = tmp_path_factory.mktemp("slow")
    kinds = {name: listeners(folder)[name] for name in ("open", "starttls-open")}
    with House(folder, kinds=kinds, delivery={"wait": "100s"}) as house:
        house.sandbox.add_fault("latency", seconds=200.0, times=0)
        yield house
        house.call(house.service.courier.stop(0.1))


def leave(house, source, *, tls, reset, ahead=b""):
    """Submit a message, and leave while Works is being asked."""
    before = len(house.sandbox.messages)
    with house.connect("starttls-open" if tls else "open", source=source) as client:
        client.greet()
        if tls:
            assert client.ask("STARTTLS").startswith("220")
            client.start_tls()
            client.ask("EHLO again")
        for line in ("MAIL FROM:<scanner@example.com>", "RCPT TO:<a@example.net>", "DATA"):
            assert client.ask(line)[0] in "23"
        client.send(MESSAGE + ahead)
        until = time.monotonic() + PATIENCE
        while len(house.sandbox.messages) == before:
            assert time.monotonic() < until
            time.sleep(0.01)
        if reset:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def ask_doctor(house, source):
    """What the doctor says of the last session from there, once it is over: its wait is ended."""

    async def ask():
        path = house.config.state_dir / "control.sock"
        while True:
            house.service.courier.verdicts.dismiss()  # again: the session may not have begun to wait
            clients = (await calling.call(path, "doctor", address=source))["clients"]
            if clients and clients[0]["last"]["ended"]:
                return clients[0]["last"]
            await asyncio.sleep(0.02)

    return house.call(asyncio.wait_for(ask(), PATIENCE), PATIENCE)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
@pytest.mark.parametrize("ahead", [b"", b"QUIT\r\n"], ids=["waits", "sends ahead"])
def test_who_leaves_before_the_reply_is_told_what_to_set(slow, tls, reset, ahead):
    """The advice was reached in hand-made records only: the reply was written before the end was seen, and a
    closed connection has no socket, of which each session made two kilobytes of traceback.
    """
    source = f"127.0.1.{1 + tls + 2 * reset + 4 * bool(ahead)}"
    leave(slow, source, tls=tls, reset=reset, ahead=ahead)
    last = ask_doctor(slow, source)
    assert [one["problem"] for one in last["advice"]] == ["impatient"]
    assert last["messages"] == 1
    assert [line for line in slow.lines() if line["level"] == "error" or "exception" in line] == []


def test_errors_are_counted_from_the_last_message_that_was_taken(tmp_path):
    """A newsletter of sixty messages with one wrong recipient in each lost all behind the fortieth."""
    with (
        House(tmp_path, kinds={"open": listeners(tmp_path)["open"]}, limits={"errors": 3}) as house,
        house.connect() as client,
    ):
        client.greet()
        for _ in range(5):
            assert client.ask("MAIL FROM:<scanner@example.com>").startswith("250")
            for wrong in ("RCPT TO:<a b@example.net>", "RCPT TO:<@>"):
                assert client.ask(wrong).startswith("5")
            assert client.ask("RCPT TO:<a@example.net>").startswith("250")
            assert client.ask("DATA").startswith("354")
            client.send(MESSAGE)
            assert client.reply().startswith("250")
        for _ in range(4):
            assert client.ask("RCPT").startswith("5")
        assert client.reply().startswith("421 4.7.0")
