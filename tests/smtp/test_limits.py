"""Limits: on sessions, messages, recipients, memory and guesses; each with the reply that the table says."""

import asyncio
import base64
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import structlog

from relay import reply
from relay.config.model import Limits
from relay.host.documents import FileDocuments
from relay.host.passwords import hash_password
from relay.reply import Rejected
from relay.smtp import policy
from relay.smtp.known_logins import KnownLogins
from relay.smtp.limits import Notes, Rates, Sessions, name_source
from relay.smtp.logins import Logins
from tests.support.smtp import LOOPBACK, PASSWORD, House

PLAIN = {"address": "127.0.0.1:0", "networks": LOOPBACK}
LOGIN = PLAIN | {"auth": "optional", "auth_without_tls": True}


def credentials(user, password):
    return "AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode()


@pytest.fixture(scope="module")
def tight(tmp_path_factory):
    """A relay with little of everything."""
    kinds = {"open": PLAIN, "login": LOGIN}
    limits = {
        "sessions": 12,
        "sessions_per_address": 4,
        "recipients": 3,
        "messages_per_hour": 5,
        "errors": 5,
        "login_failures": 6,
        "login_delay": "0s",
    }
    with House(tmp_path_factory.mktemp("tight"), kinds=kinds, limits=limits) as running:
        yield running


def test_sessions_of_one_address_are_limited(tight):
    clients = [tight.connect(source="127.0.0.2") for _ in range(4)]
    assert all(client.reply().startswith("220") for client in clients)
    with tight.connect(source="127.0.0.2") as late:
        assert late.reply().startswith("421 4.7.0")
        assert late.is_closed()
    with tight.connect(source="127.0.0.3") as other:
        assert other.reply().startswith("220")
    clients[0].ask("QUIT")
    clients[0].close()
    assert until_welcome(tight, "127.0.0.2")
    for client in clients:
        client.close()


def wait_until_empty(house):
    until = time.monotonic() + 5
    while house.service.server.guard.sessions.count and time.monotonic() < until:
        time.sleep(0.01)


def until_welcome(house, source):
    until = time.monotonic() + 2
    while time.monotonic() < until:
        with house.connect(source=source) as client:
            if client.reply().startswith("220"):
                return True
    return False


def test_sessions_in_all_are_limited_and_normal_again_soon(tight):
    wait_until_empty(tight)
    clients = [tight.connect(source=f"127.0.1.{n // 3}") for n in range(30)]
    codes = [client.reply()[:3] for client in clients]
    assert codes.count("220") == 12
    assert codes.count("421") == 18
    for client in clients:
        client.close()
    assert until_welcome(tight, "127.0.1.20")


def test_recipients_over_the_limit_hear_452_and_the_others_get_the_message(tight):
    with tight.connect(source="127.0.2.1") as client:
        assert "LIMITS RCPTMAX=3" in client.greet()
        client.ask("MAIL FROM:<scanner@example.com>")
        answers = [client.ask(f"RCPT TO:<a{n}@example.net>") for n in range(5)]
        assert [answer[:9] for answer in answers] == ["250 2.1.5"] * 3 + ["452 4.5.3"] * 2
        client.ask("DATA")
        client.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        assert client.reply().startswith("250")


def test_messages_an_hour_of_one_source_are_limited(tight):
    with tight.connect(source="127.0.3.1") as client:
        client.greet()
        for _ in range(5):
            assert client.send_mail(b"x").startswith("250")
        client.ask("MAIL FROM:<scanner@example.com>")
        client.ask("RCPT TO:<a@example.net>")
        assert client.ask("DATA").startswith("450 4.7.1")
    with tight.connect(source="127.0.3.2") as client:
        client.greet()
        assert client.send_mail(b"x").startswith("250")


def test_three_wrong_passwords_end_a_connection(tight):
    with tight.connect("login", source="127.0.4.1") as client:
        client.greet()
        answers = [client.ask(credentials("scanner", "wrong")) for _ in range(3)]
        assert [answer[:9] for answer in answers] == ["535 5.7.8", "535 5.7.8", "421 4.7.0"]
        assert client.is_closed()


def test_an_address_that_guesses_is_locked_out_and_the_device_elsewhere_is_not(tight):
    """The device logged in before; whoever guesses at its name from elsewhere does not disturb it."""
    with tight.connect("login", source="127.0.5.1") as device:
        device.greet()
        assert device.ask(credentials("scanner", PASSWORD)).startswith("235")
    heard = guess(tight, "127.0.5.2", 40)
    assert heard <= 6
    with tight.connect("login", source="127.0.5.2") as client:
        client.greet()
        assert client.ask(credentials("scanner", PASSWORD)).startswith("421 4.7.0")
    with tight.connect("login", source="127.0.5.1") as device:
        device.greet()
        assert device.ask(credentials("scanner", PASSWORD)).startswith("235")


def guess(house, source, tries):
    """So many guesses, four at once; how many were heard."""

    def one(number):
        while True:
            with house.connect("login", source=source) as client:
                if client.reply().startswith("220"):
                    return client.ask(credentials("scanner", f"guess {number}"))[:3]
            time.sleep(0.02)  # four sessions of one address are all there are

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(one, range(tries)))
    return answers.count("535")


def test_hashing_does_not_hold_the_loop(tight):
    """While no password can be hashed at all, everybody else is served."""
    release = threading.Event()
    blocked = [policy._HASHING.submit(release.wait, 10) for _ in range(2)]
    with tight.connect("login", source="127.0.6.1") as waiting, tight.connect(source="127.0.6.2") as other:
        waiting.greet()
        waiting.send(credentials("scanner", PASSWORD) + "\r\n")
        other.greet()
        assert other.send_mail(b"Subject: x\r\n\r\nx").startswith("250")
        assert not any(future.done() for future in blocked)
        release.set()
        assert waiting.reply().startswith("235")


async def log_in(logins, address, user, *, right=False):
    """Whether the attempt was heard."""
    attempt = await logins.begin(address, user)
    if attempt is None:
        return False
    with attempt:
        if right:
            attempt.succeed()
    return True


async def test_login_failures_are_judged_by_address_user_and_pair():
    now = [0.0]
    logins = Logins(most=3, delay=1.0, now=lambda: now[0])
    assert await log_in(logins, "a", "device", right=True)
    assert [await log_in(logins, "a", "other") for _ in range(4)] == [True, True, True, False]
    # The device behind the same address logs in as before; its own failures count for it.
    assert await log_in(logins, "a", "device", right=True)
    assert [await log_in(logins, "a", "device") for _ in range(4)] == [True, True, True, False]
    now[0] = 3601.0
    assert await log_in(logins, "a", "other")


async def test_no_mixture_of_users_passes_sixty_guesses_an_hour_from_one_address():
    logins = Logins(most=20, delay=1.0, now=lambda: 0.0)
    for user in range(20):
        assert await log_in(logins, "a", f"u{user}", right=True)
    heard = [await log_in(logins, "a", f"u{n % 20}") for n in range(1_000)]
    assert heard.count(True) == 60


async def test_right_passwords_at_once_are_all_heard_and_none_of_them_counts():
    """Forty logins of one program at once: half heard of too many failures, and nineteen stayed counted."""
    logins = Logins(most=3, delay=1.0, now=lambda: 0.0)

    async def one(*, right):
        attempt = await logins.begin("a", "u")
        if attempt is None:
            return False
        with attempt:
            await asyncio.sleep(0)
            if right:
                attempt.succeed()
        return True

    assert all(await asyncio.gather(*(one(right=True) for _ in range(40))))
    assert logins.wait("a", "u") == 0.0
    heard = await asyncio.gather(*(one(right=False) for _ in range(40)))
    assert heard.count(True) == 3
    assert not await one(right=True)


def test_many_devices_that_log_in_at_once_are_all_let_in(tmp_path):
    """A right password was answered with "too many failed logins" while twenty others were looked at."""
    with House(tmp_path) as house:
        clients = [house.connect("login", timeout=30) for _ in range(30)]
        for client in clients:
            client.greet()
        for client in clients:
            client.send(credentials("scanner", PASSWORD) + "\r\n")
        assert [client.reply()[:3] for client in clients] == ["235"] * 30
        for client in clients:
            client.close()


async def test_refusals_take_longer_and_longer():
    logins = Logins(most=60, delay=1.0, now=lambda: 0.0)
    waits = []
    for _ in range(7):
        await log_in(logins, "a", "u")
        waits.append(logins.wait("a", "u"))
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 16.0, 16.0]


async def test_thousands_of_addresses_guessing_at_one_user_are_heard_once_each():
    """The user's count slows strangers down. It refuses whoever has a failure of his own, and nobody else."""
    logins = Logins(most=20, delay=0.0, now=lambda: 0.0)
    for _ in range(2):
        heard = [await log_in(logins, f"a{n}", "scanner") for n in range(4_000)]
    assert heard.count(True) == 0
    assert await log_in(logins, "printer", "scanner", right=True)


async def test_strangers_wait_before_they_are_heard_when_a_user_is_guessed_at():
    """A printer that had not logged in since the restart was locked out for as long as strangers guessed."""
    logins = Logins(most=20, delay=30.0, now=lambda: 0.0)
    assert await log_in(logins, "known", "scanner", right=True)
    for n in range(100):
        assert await log_in(logins, f"a{n}", "scanner")
    stranger = asyncio.create_task(logins.begin("printer", "scanner"))
    assert await log_in(logins, "known", "scanner", right=True)  # this one does not wait
    assert not stranger.done()
    stranger.cancel()
    await asyncio.wait([stranger], timeout=5)
    assert stranger.cancelled()


async def test_the_count_of_a_user_cannot_be_washed_out():
    """Three thousand IPv6 sites with invented users made room for 400 guesses instead of 100."""
    logins = Logins(most=20, delay=0.0, now=lambda: 0.0)
    for n in range(100):
        await log_in(logins, f"a{n}", "scanner")
    assert not await log_in(logins, "a1", "scanner")
    for n in range(25_000):
        await log_in(logins, f"b{n}", f"invented{n}")
    await log_in(logins, "fresh", "other")
    assert not await log_in(logins, "fresh", "scanner")


async def test_whoever_has_logged_in_is_known_after_a_restart(tmp_path):
    now = [1000.0]

    def known():
        return KnownLogins(FileDocuments(tmp_path), now=lambda: now[0])

    first = known()
    logins = Logins(most=3, delay=0.0, known=first)
    for user in ("device", "other"):
        assert await log_in(logins, "a", user, right=True)
    await first._shared.settle()
    assert (tmp_path / "logins.json").stat().st_mode & 0o777 == 0o600
    again = known()
    assert ("a", "device") in again
    assert ("b", "device") not in again
    logins = Logins(most=3, delay=0.0, known=again)
    assert [await log_in(logins, "a", "guessed") for _ in range(4)] == [True, True, True, False]
    assert await log_in(logins, "a", "device", right=True)  # the neighbour's guesses are not its own
    now[0] += 401 * 86400
    assert ("a", "device") not in known()


async def test_known_logins_are_bounded_by_age(tmp_path):
    now = [0.0]
    known = KnownLogins(FileDocuments(tmp_path), now=lambda: now[0])
    for n in range(10_010):
        now[0] += 1
        known.add("a", f"u{n}")
    await known._shared.settle()
    kept = json.loads((tmp_path / "logins.json").read_bytes())["logins"]
    assert [kept[0], len(kept)] == [["a", "u10", 11], 10_000]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"logins": 5}', '{"logins": [["a"]]}', '{"logins": [[1, 2, "x"]]}']
)
async def test_a_damaged_list_of_known_logins_stops_nothing(tmp_path, text):
    (tmp_path / "logins.json").write_text(text)
    known = KnownLogins(FileDocuments(tmp_path))
    known.add("a", "u")
    await known._shared.settle()
    assert ("a", "u") in KnownLogins(FileDocuments(tmp_path))


async def test_known_logins_that_cannot_be_written_are_said(tmp_path):
    known = KnownLogins(FileDocuments(tmp_path / "nowhere"))
    with structlog.testing.capture_logs() as lines:
        known.add("a", "u")
        await known._shared.settle()
    assert ("a", "u") in known
    assert [line["event"] for line in lines] == ["document not written"]


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_a_source_is_an_address_or_a_site(address, source):
    assert name_source(address) == source


def test_rates_forget_after_an_hour():
    now = [0.0]
    rates = Rates(now=lambda: now[0])
    assert [rates.take("a", 2) for _ in range(3)] == [True, True, False]
    now[0] = 3600.0
    assert rates.take("a", 2)
    assert all(rates.take("b", 0) for _ in range(1000))


def test_sessions_that_left_are_forgotten():
    sessions = Sessions(Limits(sessions=2, sessions_per_address=1))
    for number in range(1000):
        assert sessions.enter(f"s{number}")
        assert not sessions.enter(f"s{number}")
        sessions.leave(f"s{number}")
    assert sessions.count == 0
    assert not sessions._by_source


def test_a_flood_writes_three_lines_a_second_and_says_how_many_it_left_out(tight):
    now = [100.0]
    notes = Notes(now=lambda: now[0])
    start = len(tight.lines())
    for _ in range(1000):
        notes.write("session refused", client="192.0.2.7", reason="test")
    now[0] = 101.0
    notes.settle()
    lines = [line for line in tight.lines()[start:] if "refused" in str(line)]
    assert len(lines) == 4
    assert lines[-1]["count"] == 997


def test_new_content_waits_for_room_and_then_hears_452(tmp_path):
    """A byte budget for all sessions together: 4 KB here, one sender holds it, the next hears 452."""
    with (
        House(tmp_path, kinds={"open": PLAIN}, limits={"content": 4096}) as house,
        house.connect() as first,
        house.connect() as second,
    ):
        for client in (first, second):
            client.greet()
            client.ask("MAIL FROM:<scanner@example.com>")
            client.ask("RCPT TO:<a@example.net>")
        first.ask("DATA")
        first.send(b"x" * 8000 + b"\r\n")
        time.sleep(0.2)
        assert second.ask("DATA").startswith("452 4.3.1")
        first.send(b".\r\n")
        assert first.reply().startswith("250")
        assert second.ask("DATA").startswith("354")
        second.send(b"x\r\n.\r\n")
        assert second.reply().startswith("250")


def test_who_holds_more_memory_than_there_is_goes_and_the_others_stay(tmp_path):
    """Input that nobody reads, from clients that wait for a verdict, is bounded for all together."""
    with House(tmp_path, kinds={"open": PLAIN}, limits={"memory": 100_000}) as house:
        budget = house.service.server.guard.budget
        with house.connect() as quiet:
            quiet.greet()
            with house.connect() as greedy:
                greedy.greet()
                greedy.ask("MAIL FROM:<scanner@example.com>")
                answers = [greedy.ask(f"RCPT TO:<{'x' * 60}@{'y' * 60}.{n}.example.net>") for n in range(999)]
                assert "452 4.3.1" in {answer[:9] for answer in answers}
                assert budget.memory < 120_000
            assert quiet.ask("NOOP").startswith("250")
            assert quiet.send_mail(b"Subject: x\r\n\r\nx").startswith("250")
        assert budget.memory == 0
        assert budget.content == 0


def test_a_chunk_after_much_idle_chatter_is_still_taken(house):
    """A client that kept its connection alive with a hundred NOOPs was cut off at its first chunk:
    only chunks without octets are chatter."""
    with house.connect() as client:
        client.reply()
        client.ask("EHLO pool")
        for _ in range(100):
            assert client.ask("NOOP").startswith("250")
        client.ask("MAIL FROM:<scanner@example.com>")
        client.ask("RCPT TO:<a@example.net>")
        client.send(b"BDAT 20 LAST\r\nSubject: idle\r\n\r\nx\r\n")
        assert client.reply().startswith("250 2.0.0")


def test_a_client_that_asks_again_and_again_for_what_it_cannot_have_now_is_cut(tmp_path):
    """Each 450 was a step forward: DATA over the hourly limit could be sent for ever."""
    with House(tmp_path, limits={"messages_per_hour": 1}) as house, house.connect() as client:
        client.greet()
        assert client.send_mail(b"Subject: x\r\n\r\nx").startswith("250")
        client.ask("MAIL FROM:<scanner@example.com>")
        client.ask("RCPT TO:<a@example.net>")
        answers = [client.ask("DATA")[:3]]
        while answers[-1] == "450" and len(answers) < 1_000:
            answers.append(client.ask("DATA")[:3])
        assert answers[-1] == "421" or client.reply().startswith("421")
        assert len(answers) < 200
        assert client.is_closed()


async def test_passwords_wait_in_a_line_that_has_an_end():
    """Hashing takes 20 ms of a core each: whoever finds the line full hears 454 and is not counted."""
    hashing = policy.Hashing(most_waiting=2)
    right = hash_password("x")

    async def verify():
        try:
            return await hashing.verify(right, "x")
        except Rejected as rejected:
            return rejected.reply

    found = await asyncio.gather(*(verify() for _ in range(4)))
    assert sorted(map(str, found)) == sorted(map(str, [True, True, *[reply.LOGIN_UNAVAILABLE] * 2]))
    assert await verify() is True
    logins = Logins(2, 0.0)
    for _ in range(5):
        with await logins.begin("a", "u") as attempt:
            attempt.take_back()
