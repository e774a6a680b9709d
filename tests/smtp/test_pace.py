"""How long sessions may take: by a clock of the test, and at the socket with a short patience."""

import random
import time

import pytest

from relay.smtp.timeouts import Pace
from tests.support.at_once import at_once
from tests.support.smtp import LOOPBACK, House


def play(arrivals, seconds):
    """When a sender of these (second, octets) is cut, looked at once a second; None: not within these."""
    pace = Pace(idle=300.0)
    pace.begin_content(1000.0)
    arrivals = iter(arrivals)
    at, octets = next(arrivals, (seconds, 0))
    for now in range(seconds):
        while at <= now:
            pace.count(1000.0 + at, octets)
            at, octets = next(arrivals, (seconds, 0))
        if pace.is_over(1000.0 + now):
            return now
    return None


def steady(octets, every, seconds, first=None):
    """The same for one that sends so many octets every so many seconds."""
    first = every if first is None else first
    return play(((first + n * every, octets) for n in range(int(seconds / every))), seconds)


@pytest.mark.parametrize(
    ("octets", "every"),
    [(500, 1), (50, 0.1), (5_000, 10), (30_000, 60), (100_000, 200), (600, 1), (501, 1)],
)
@pytest.mark.parametrize("first", [0, 0.3, None])
def test_500_octets_a_second_are_never_cut(octets, every, first):
    """Two hours of it: 4 MB by a line of 1995, or pages of a slow scanner with long pauses."""
    assert steady(octets, every, 7_200, first) is None


@pytest.mark.parametrize(("octets", "every"), [(500, 1), (5_000, 10), (50_000, 100)])
def test_a_network_that_shakes_makes_no_sender_slow(octets, every):
    shaking = random.Random(1)
    arrivals = [(n * every + shaking.uniform(0, 0.3), octets) for n in range(int(7_200 / every))]
    assert play(arrivals, 7_200) is None


def test_who_thinks_before_the_first_octet_is_not_slow():
    assert steady(500, 1, 7_200, first=200) is None


@at_once
@pytest.mark.parametrize(
    ("octets", "every"),
    [
        *((499, 1), (498, 1), (4_990, 10), (49.9, 0.1), (29_940, 60), (99_800, 200)),
        *((480, 1), (100, 1), (1, 1), (1, 60), (1_000, 10), (0, 1)),
    ],
)
@pytest.mark.parametrize("first", [0, 0.3, None])
def test_slower_content_is_cut_within_300_seconds(octets, every, first):
    """Of becoming slow: a block that comes late is taken for what came before it."""
    late = every if first is None else first
    assert steady(octets, every, 2_000, first) <= 300 + late


def test_thinking_first_and_sending_slowly_then_is_one_slowness():
    assert steady(1, 1, 2_000, first=200) <= 300


def test_who_was_fast_and_becomes_slow_is_cut_within_300_seconds():
    fast = [(n, 10_000) for n in range(500)]
    assert 500 < play(fast + [(500 + n, 499) for n in range(1_000)], 1_500) <= 800
    assert 500 < play(fast + [(500 + 60 * n, 1) for n in range(1, 20)], 1_500) <= 800


def test_who_pauses_and_makes_up_for_it_is_not_cut():
    """A scanner that warms up for three minutes in the middle of a page."""
    fast = [(n, 10_000) for n in range(100)]
    assert play(fast + [(280 + n, 5_000) for n in range(1_000)], 1_200) is None


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


def test_a_device_that_gives_up_after_bare_line_ends_is_explained_too(hasty):
    """Most devices wait for a reply for less time than the relay waits for an end."""
    with hasty.connect() as client:
        client.greet()
        client.ask("MAIL FROM:<scanner@example.com>")
        client.ask("RCPT TO:<a@example.net>")
        client.ask("DATA")
        client.send(b"Subject: x\n\nx\n.\n")
    hasty.wait_for_line('"event": "session hung up"')
    (line,) = [line for line in hasty.lines() if line["event"] == "session hung up"]
    assert "ended its data with a bare line end" in line["hint"]


def test_chunks_of_an_octet_are_no_way_round(hasty):
    """Each BDAT is accepted, but the content that they carry comes at four octets a second."""
    with hasty.connect() as client:
        client.greet()
        client.ask("MAIL FROM:<scanner@example.com>")
        client.ask("RCPT TO:<a@example.net>")
        until = time.monotonic() + 10
        answer = "250"
        while answer.startswith("250"):
            assert time.monotonic() < until
            client.send("BDAT 1\r\nx")
            answer = client.reply()[:9]
            time.sleep(0.25)
        assert answer == "421 4.4.2"
