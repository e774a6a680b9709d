"""A disk that has little left: `keep_free` stays free, whatever clients send at the same time."""

import asyncio
import os
import smtplib
import socket
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from relay import metrics, reply
from relay.outcome import TroubleKind
from tests.support.relay import relaying, until

MEGABYTE = 2**20
KEEP, ROOM = 20 * MEGABYTE, 21 * MEGABYTE


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """The octets that are left of a disk of the test's own: what lies in the spool takes them."""
    spool = tmp_path / "state" / "spool"

    def left():
        files = [path for name in ("incoming", "content") for path in Path(spool, name).glob("*")]
        return ROOM - sum(path.stat().st_size for path in files if path.exists())

    found = os.statvfs(tmp_path)

    def look(_):
        values = [*found]
        values[0] = values[1] = 1  # f_bsize, f_frsize
        values[3] = values[4] = max(left(), 0)  # f_bfree, f_bavail
        return os.statvfs_result(values)

    monkeypatch.setattr("relay.spool.sqlite.disk.os.statvfs", look)
    return left


class Device:
    """Announces a size or none, and sends so much; then it takes its time."""

    def __init__(self, address, size=""):
        self._socket = socket.create_connection(address, timeout=10)
        self._replies = self._socket.makefile("rb")
        self._replies.readline()
        said = [
            self.ask(line) for line in ("HELO x", f"MAIL FROM:<s@example.com>{size}", "RCPT TO:<a@b.example>")
        ]
        assert [line[:3] for line in said] == [b"250"] * 3
        self.answer = self.ask("DATA")

    def ask(self, line):
        self._socket.sendall(line.encode() + b"\r\n")
        return self._replies.readline()

    def send(self, octets):
        self._socket.sendall((b"x" * 76 + b"\r\n") * (octets // 78))

    def end(self):
        return self.ask("\r\n.")

    def close(self):
        self._replies.close()
        self._socket.close()


async def test_content_that_arrives_leaves_keep_free(tmp_path, disk):
    """Looked at only before and after, four scans at once filled the disk, for as long as they liked."""

    def attack(address):
        devices = [Device(address) for _ in range(4)]
        for _ in range(16):
            for device in devices:
                device.send(MEGABYTE // 2)
        for device in devices:  # all of it is there; none has ended
            device.send(78)
        left = disk()
        answers = [device.end()[:9] for device in devices]
        for device in devices:
            device.close()
        return left, answers

    async with relaying(tmp_path / "state", spool={"keep_free": KEEP}, delivery={"wait": "0s"}) as relay:
        left, answers = await asyncio.to_thread(attack, relay.service.server.addresses[0])
        assert left >= KEEP - MEGABYTE
        assert answers == [b"452 4.3.1"] * 4
        assert disk() == ROOM
        await until(lambda: relay.service.spool.room().accepting)  # a look is good for a moment
        assert (await relay.send())[0] == 250


async def test_what_is_announced_and_does_not_fit_is_refused_before_it_comes(tmp_path, disk):
    def ask(address, size):
        device = Device(address, f" SIZE={size}")
        device.close()
        return device.answer[:9]

    async with relaying(tmp_path / "state", spool={"keep_free": KEEP}) as relay:
        address = relay.service.server.addresses[0]
        assert await asyncio.to_thread(ask, address, 2 * MEGABYTE) == b"452 4.3.1"
        assert (await asyncio.to_thread(ask, address, MEGABYTE // 2)).startswith(b"354")
        assert disk() == ROOM


async def test_a_full_disk_is_never_silent(tmp_path, disk, monkeypatch):
    """Everybody heard 452 at RCPT, and the log had no line at any level."""
    heard = []
    with capture_logs() as lines:
        async with relaying(tmp_path / "state", spool={"keep_free": f"{KEEP}B"}) as relay:
            relay.service.troubles.subscribe(heard.append)
            assert (await relay.send())[0] == 250
            refused = metrics.REGISTRY.get_sample_value("relay_refusals_total", {"code": "452"})
            monkeypatch.setattr(f"{__name__}.ROOM", KEEP - 1)
            troubles = relay.service.troubles
            await until(lambda: troubles.find(TroubleKind.NO_ROOM))
            assert metrics.REGISTRY.get_sample_value("relay_accepting") == 0
            with pytest.raises(smtplib.SMTPResponseException):
                await relay.put()
            assert metrics.REGISTRY.get_sample_value("relay_refusals_total", {"code": "452"}) == refused + 1
            monkeypatch.setattr(f"{__name__}.ROOM", KEEP + 2 * MEGABYTE)
            await until(lambda: not troubles.find(TroubleKind.NO_ROOM))
            assert metrics.REGISTRY.get_sample_value("relay_accepting") == 1
            assert metrics.REGISTRY.get_sample_value("relay_free_octets") > KEEP
    assert [(one.kind, one.ended is None) for one in heard] == [
        (TroubleKind.NO_ROOM, True),
        (TroubleKind.NO_ROOM, False),
    ]
    levels = {line["event"]: line["log_level"] for line in lines}
    assert levels["new mail is refused"] == "error"
    assert levels["new mail is taken again"] == "info"
    assert "told to come again" in levels


def test_every_refusals_code_is_counted_from_zero():
    codes = {
        str(one.code) for one in vars(reply).values() if isinstance(one, reply.Reply) and one.code >= 400
    }
    for code in codes:
        assert metrics.REGISTRY.get_sample_value("relay_refusals_total", {"code": code}) is not None, code
