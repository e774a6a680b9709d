"""How long sessions may take: by a clock of the test, and at the socket with a short patience."""

import time

import pytest
from tests_smtp import LOOPBACK, House

from relay.smtp.pace import Pace


def steady(octets, every, seconds):
    """When a sender of so many octets every so many seconds is cut; None: not within these seconds."""
    pace = Pace(idle=300.0)
    pace.begin_content(1000.0)
    sent = 1000.0
    for now in range(1000, 1000 + seconds):
        if now - sent >= every:
            pace.count(float(now), octets)
            sent = float(now)
        if pace.is_over(float(now)):
            return now - 1000
    return None


@pytest.mark.parametrize(("octets", "every"), [(500, 1), (5_000, 10), (30_000, 60), (100_000, 200), (600, 1)])
def test_500_octets_a_second_are_never_cut(octets, every):
    """Twenty hours of it: 36 MB by a line of 1995, or pages of a slow scanner with long pauses."""
    assert steady(octets, every, 72_000) is None


@pytest.mark.parametrize(("octets", "every"), [(480, 1), (100, 1), (1, 1), (1, 60), (1_000, 10), (0, 1)])
def test_slower_content_is_cut_within_300_seconds(octets, every):
    assert steady(octets, every, 1_000) <= 300


def test_a_stall_is_cut_within_300_seconds_however_fast_it_was_before():
    pace = Pace(idle=300.0)
    pace.begin_content(0.0)
    for now in range(100):
        pace.count(float(now), 10_000_000)
    assert not pace.is_over(250.0)
    assert pace.is_over(99.0 + 300.0)


def test_the_relays_own_work_is_not_the_clients_delay():
    pace = Pace(idle=300.0)
    with pace.working():
        assert not pace.is_over(10_000.0)
    assert pace.is_over(10_000.0)


@pytest.fixture(scope="module")
def hasty(tmp_path_factory):
    """A relay that has one second for each step."""
    kinds = {"open": {"address": "127.0.0.1:0", "networks": LOOPBACK}}
    with House(tmp_path_factory.mktemp("hasty"), kinds=kinds, limits={"idle": "1s"}) as running:
        yield running


def test_an_idle_session_is_told_421_and_closed(hasty):
    with hasty.connect() as client:
        client.greet()
        assert client.reply().startswith("421 4.4.2")
        assert client.is_closed()


def test_noop_for_ever_is_no_progress(hasty):
    with hasty.connect() as client:
        client.greet()
        until = time.monotonic() + 10
        answer = "250"
        while answer.startswith("250"):
            assert time.monotonic() < until
            answer = client.ask("NOOP")
            time.sleep(0.2)
        assert answer.startswith("421 4.4.2")


def test_a_command_octet_by_octet_is_no_progress(hasty):
    with hasty.connect() as client:
        client.reply()
        with pytest.raises(OSError):  # noqa: PT012, PT011 - cut by either end of the socket
            for octet in b"NOOP" * 50:
                client.send(bytes([octet]))
                time.sleep(0.1)
        assert client.reply().startswith("421 4.4.2")


def test_a_steady_sender_outlives_the_patience(hasty):
    """Three seconds at a kilobyte a second, with one second of patience."""
    with hasty.connect() as client:
        client.greet()
        client.ask("MAIL FROM:<scanner@example.com>")
        client.ask("RCPT TO:<a@example.net>")
        client.ask("DATA")
        for _ in range(15):
            client.send(b"x" * 198 + b"\r\n")
            time.sleep(0.2)
        client.send(b".\r\n")
        assert client.reply().startswith("250 2.0.0 relayed")


def test_a_slow_sender_hears_421_and_nothing_is_kept(hasty):
    before = len(hasty.sandbox.messages)
    with hasty.connect() as client:
        client.greet()
        client.ask("MAIL FROM:<scanner@example.com>")
        client.ask("RCPT TO:<a@example.net>")
        client.ask("DATA")
        with pytest.raises(OSError):  # noqa: PT012, PT011
            for _ in range(60):
                client.send(b"x")
                time.sleep(0.1)
            client.sock.settimeout(0.01)
            while True:
                client.send(b"x")
        assert client.reply().startswith("421 4.4.2")
    assert len(hasty.sandbox.messages) == before
    assert not list((hasty.folder / "spool" / "incoming").iterdir())


def test_an_end_of_data_with_bare_line_ends_is_explained_in_the_log(hasty):
    """The device hangs, as it would anywhere; its owner learns why."""
    with hasty.connect() as client:
        client.greet()
        client.ask("MAIL FROM:<scanner@example.com>")
        client.ask("RCPT TO:<a@example.net>")
        client.ask("DATA")
        client.send(b"Subject: x\n\nx\n.\n")
        assert client.reply().startswith("421 4.4.2")
    hasty.wait_for_line("ended its data with a bare line end")
