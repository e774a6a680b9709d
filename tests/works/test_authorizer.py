"""Grants against the simulated Works' token endpoint: refreshed ahead, once, and never lost."""

import asyncio
import contextlib
import json
import shutil
import stat
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from relay.console.server import serving
from relay.grants import Grant, GrantError, GrantReplacedError, Mark
from relay.sandbox import Sandbox, Settings
from relay.works.auth.authorizer import Authorizer
from relay.works.auth.errors import TokenError
from relay.works.auth.escrow import Escrow, Renewed
from relay.works.auth.files import FileGrants, GrantFiles
from relay.works.auth.keeping import Keeping
from relay.works.auth.oauth import AuthServer, read_life
from relay.works.diagnosis import Failure
from tests.support.works import Peer, grant_of, keeping, works_at

HOUR = 3600.0


class Setting:
    """A simulated Works, a store in a directory, and an authorizer between them."""

    def __init__(self, sandbox, port, directory):
        self.sandbox = sandbox
        self.works = works_at(port)
        self.directory = directory
        self.store = GrantFiles(directory)
        self.file = directory / "grants" / "scanner.json"
        self.told = []
        self.warned = []
        self.shift = 0.0  # seconds that the relay's clock is ahead

    def clock(self):
        return time.time() + self.shift

    def start(self, store=None):
        """A relay that starts: it knows what is stored and nothing else."""
        kept = Keeping(store, Escrow(self.directory)) if store else keeping(self.directory)
        note = lambda account, trouble: self.told.append((account, trouble))  # noqa: E731
        warn = lambda account, days: self.warned.append((account, days))  # noqa: E731
        return Authorizer(AuthServer(self.works), kept, note, self.clock, warn)

    def consent(self, **more):
        grant = grant_of(self.sandbox.issue_grant("scanner@example.com"), now=self.clock(), **more)
        self.store.write("scanner", grant)
        return grant

    def works_takes(self, token):
        from relay.sandbox.answers import Refusal

        try:
            self.sandbox.grants.authenticate(f"Bearer {token}")
        except Refusal:
            return False
        return True


@contextlib.asynccontextmanager
async def setting(directory, **settings):
    sandbox = Sandbox(Settings(**settings))
    try:
        async with serving(sandbox.app) as server:
            yield Setting(sandbox, server.port, directory)
    finally:
        sandbox.close()
    await asyncio.sleep(0)


async def test_a_live_token_is_given_without_asking_anybody(tmp_path):
    async with setting(tmp_path) as one:
        grant = one.consent()
        one.works.auth_url = "http://127.0.0.1:1"
        assert await one.start().token("scanner") == grant.access_token


async def test_without_a_consent(tmp_path):
    async with setting(tmp_path) as one:
        with pytest.raises(TokenError) as caught:
            await one.start().token("scanner")
        assert caught.value.failure is Failure.NO_GRANT
        assert caught.value.refused
        assert one.told == [("scanner", Failure.NO_GRANT)]


@pytest.mark.parametrize("rotation", [False, True])
async def test_an_expired_token_is_refreshed_and_stored_before_use(tmp_path, rotation):
    async with setting(tmp_path, rotation=rotation) as one:
        before = one.consent(expires_at=time.time() - 5)
        token = await one.start().token("scanner")
        stored = one.store.read("scanner")
        assert stored.access_token == token != before.access_token
        assert one.works_takes(token)
        assert stored.rotation is rotation
        assert (stored.refresh_token != before.refresh_token) is rotation
        assert (stored.refresh_issued_at > before.refresh_issued_at) is rotation
        assert stored.consented_at == before.consented_at
        assert stored.refresh_started_at is None


@pytest.mark.parametrize("callers", [20])
async def test_twenty_simultaneous_401s_make_one_refresh(tmp_path, callers):
    async with setting(tmp_path, rotation=True) as one:
        grant = one.consent()
        authorizer = one.start()
        tokens = await asyncio.gather(
            *[authorizer.token("scanner", rejected=grant.access_token) for _ in range(callers)]
        )
        assert len(set(tokens)) == 1
        assert tokens[0] != grant.access_token
        assert [g.refreshes for g in one.sandbox.grants.grants] == [1]
        # One who comes late with the old token does not make another.
        assert await authorizer.token("scanner", rejected=grant.access_token) == tokens[0]
        assert [g.refreshes for g in one.sandbox.grants.grants] == [1]


async def test_a_cancelled_caller_does_not_cancel_the_refresh(tmp_path):
    """With rotation on, an answer thrown away locks the account out."""
    async with setting(tmp_path, rotation=True) as one:
        one.consent(expires_at=time.time() - 5)
        one.sandbox.add_fault("latency", seconds=0.3, at="token")
        authorizer = one.start()
        caller = asyncio.create_task(authorizer.token("scanner"))
        await asyncio.sleep(0.1)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await authorizer.aclose()
        assert one.works_takes(one.store.read("scanner").access_token)
        assert one.store.read("scanner").refresh_started_at is None


async def test_started_is_durable_before_the_request(tmp_path):
    """Whoever is killed in between has to find that the stored refresh token may be dead."""
    found = []

    async def look_and_grant(peer, reader, writer):
        await peer.read_request(reader)
        found.append(one.store.read("scanner").refresh_started_at)
        writer.write(granted("new"))

    async with setting(tmp_path) as one, Peer(look_and_grant).running() as peer:
        one.consent(expires_at=time.time() - 5)
        one.works.auth_url = f"http://127.0.0.1:{peer.port}/oauth2/v2.0"
        assert await one.start().token("scanner") == "new"
        assert found == [pytest.approx(time.time(), abs=60)]


async def test_refreshed_at_half_of_its_life(tmp_path):
    async with setting(tmp_path) as one:
        before = one.consent()
        authorizer = one.start()
        one.shift = 11 * HOUR
        await authorizer.check("scanner")
        assert one.store.read("scanner").access_token == before.access_token
        one.shift = 13 * HOUR
        await authorizer.check("scanner")
        assert one.store.read("scanner").access_token != before.access_token


async def test_an_idle_account_with_rotation_lives_on_for_a_year(tmp_path):
    async with setting(tmp_path, rotation=True) as one:
        one.consent()
        authorizer = one.start()
        for _ in range(10):
            one.shift += 36 * 86400
            one.sandbox.clock.move(36 * 86400)
            await authorizer.check("scanner")
        assert one.works_takes(await authorizer.token("scanner"))
        assert one.store.read("scanner").refresh_expires_at > one.clock() + 89 * 86400


async def test_interrupted_before_the_request_costs_nothing(tmp_path):
    """ "Refresh has started" is found at the start, and the refresh token is still good."""
    async with setting(tmp_path, rotation=True) as one:
        before = one.consent(refresh_started_at=time.time() - 1)
        authorizer = one.start()
        await authorizer.check("scanner")
        assert one.store.read("scanner").access_token != before.access_token
        assert one.told == []


async def test_interrupted_after_the_request_the_access_token_carries_on(tmp_path):
    """The rotated refresh token died with the process: tried once, then the access token while it lives."""
    async with setting(tmp_path, rotation=True) as one:
        before = one.consent(refresh_started_at=time.time() - 1)
        one.sandbox.grants.refresh(before.refresh_token)  # its answer was never stored
        authorizer = one.start()
        await authorizer.check("scanner")
        assert one.told == [("scanner", Failure.TOKEN_REFUSED)]
        assert authorizer.can_send("scanner")
        assert await authorizer.token("scanner") == before.access_token
        assert one.works_takes(before.access_token)
        # The dead refresh token is not tried over and over.
        one.sandbox.close()
        one.works.auth_url = "http://127.0.0.1:1"
        one.shift = 100.0
        await authorizer.check("scanner")
        assert authorizer.trouble("scanner") is Failure.TOKEN_REFUSED
        one.shift = 25 * HOUR
        assert not authorizer.can_send("scanner")
        with pytest.raises(TokenError) as caught:
            await authorizer.token("scanner")
        assert caught.value.failure is Failure.TOKEN_REFUSED


async def test_a_login_mends_a_dead_grant_while_the_relay_runs(tmp_path):
    async with setting(tmp_path, rotation=True) as one:
        dead = one.consent(expires_at=time.time() - 5)
        one.sandbox.grants.kill(one.sandbox.grants.of_refresh_token(dead.refresh_token))
        authorizer = one.start()
        with pytest.raises(TokenError):
            await authorizer.token("scanner")
        fresh = one.consent()
        await authorizer.check("scanner")
        assert one.told == [("scanner", Failure.TOKEN_REFUSED), ("scanner", None)]
        assert await authorizer.token("scanner") == fresh.access_token


async def test_a_login_during_a_refresh_is_not_overwritten(tmp_path):
    async with setting(tmp_path, rotation=True) as one:
        one.consent(expires_at=time.time() - 5)
        one.sandbox.add_fault("latency", seconds=0.3, at="token")
        authorizer = one.start()
        caller = asyncio.create_task(authorizer.token("scanner"))
        await asyncio.sleep(0.1)
        fresh = grant_of(one.sandbox.issue_grant("scanner@example.com"))
        await keeping(tmp_path).begin("scanner", fresh)
        await caller
        assert one.store.read("scanner") == fresh
        assert await authorizer.token("scanner") == fresh.access_token


async def test_two_processes_refresh_once(tmp_path):
    async with setting(tmp_path, rotation=True) as one:
        one.consent(expires_at=time.time() - 5)
        first, second = await asyncio.gather(one.start().token("scanner"), one.start().token("scanner"))
        assert first == second
        assert [g.refreshes for g in one.sandbox.grants.grants] == [1]


async def test_an_auth_server_that_is_down_is_not_a_dead_grant(tmp_path):
    async with setting(tmp_path) as one:
        one.consent(expires_at=time.time() - 5)
        one.sandbox.add_fault("503", at="token", times=1)
        authorizer = one.start()
        with pytest.raises(TokenError) as caught:
            await authorizer.token("scanner")
        assert caught.value.failure is Failure.TOKEN_UNAVAILABLE
        assert not caught.value.refused
        one.shift = 3.0  # it is not asked again at once
        assert one.works_takes(await authorizer.token("scanner"))
        assert one.told == [("scanner", Failure.TOKEN_UNAVAILABLE), ("scanner", None)]


async def test_a_grant_that_cannot_be_renewed_for_an_hour_is_a_persons_matter(tmp_path):
    """A dead grant that is answered with 500 looks like an outage: nobody would ever hear of it."""
    async with setting(tmp_path) as one:
        one.consent(expires_at=time.time() + 2 * HOUR, issued_at=time.time() - HOUR * 23)
        one.sandbox.add_fault("500", at="token", times=0)
        authorizer = one.start()
        for one.shift in (0.0, 1.5 * HOUR):
            await authorizer.check("scanner")
            assert authorizer.can_send("scanner")  # as long as its token lives, nothing is wrong
        for one.shift in (2.1 * HOUR, 2.2 * HOUR):
            with pytest.raises(TokenError) as caught:
                await authorizer.token("scanner")
        assert caught.value.failure is Failure.TOKEN_OVERDUE
        one.sandbox.faults.clear()
        one.shift = 2.3 * HOUR  # it is tried on
        assert one.works_takes(await authorizer.token("scanner"))
        told = [failure for _, failure in one.told]
        assert told == [Failure.TOKEN_UNAVAILABLE, Failure.TOKEN_OVERDUE, None]


async def test_while_the_auth_server_is_down_a_live_token_goes_on(tmp_path):
    async with setting(tmp_path) as one:
        grant = one.consent()
        one.shift = 13 * HOUR
        one.works.auth_url = "http://127.0.0.1:1"
        authorizer = one.start()
        await authorizer.check("scanner")
        assert await authorizer.token("scanner") == grant.access_token


@pytest.mark.parametrize("return_codes", [False, True])
@pytest.mark.parametrize(
    ("wrong", "failure"), [("client_secret", Failure.APP_REFUSED), ("refresh_token", Failure.TOKEN_REFUSED)]
)
async def test_refusals_in_both_shapes(tmp_path, return_codes, wrong, failure):
    async with setting(tmp_path, return_code_errors=return_codes) as one:
        more = {"refresh_token": "no-such"} if wrong == "refresh_token" else {}
        one.consent(expires_at=time.time() - 5, **more)
        if wrong == "client_secret":
            from pydantic import SecretStr

            one.works.client_secret = SecretStr("wrong-secret")
        with pytest.raises(TokenError) as caught:
            await one.start().token("scanner")
        assert caught.value.refused
        if not return_codes:
            assert caught.value.failure is failure
        assert "wrong-secret" not in f"{caught.value!r} {caught.value.diagnostic}"
        assert "no-such" not in f"{caught.value!r} {caught.value.diagnostic}"


UNAVAILABLE = Failure.TOKEN_UNAVAILABLE
SAID = [
    (400, {"error": "invalid_grant"}, Failure.TOKEN_REFUSED, "HTTP 400 invalid_grant"),
    (401, {"error": "invalid_client"}, Failure.APP_REFUSED, "HTTP 401 invalid_client"),
    (400, {"returnCode": "99", "returnMessage": "x"}, Failure.TOKEN_REFUSED, "HTTP 400 99"),
    (400, {"error": "an_error_of_its_own"}, Failure.TOKEN_REFUSED, "HTTP 400"),
    (
        400,
        {"error": "temporarily_unavailable"},
        Failure.TOKEN_UNAVAILABLE,
        "HTTP 400 temporarily_unavailable",
    ),
    (400, {"error": "server_error"}, Failure.TOKEN_UNAVAILABLE, "HTTP 400 server_error"),
    (500, {"error": "server_error"}, Failure.TOKEN_UNAVAILABLE, "HTTP 500 server_error"),
    (503, {"error": "invalid_grant"}, Failure.TOKEN_UNAVAILABLE, "HTTP 503 invalid_grant"),
    (429, {"error": "invalid_client"}, Failure.TOKEN_UNAVAILABLE, "HTTP 429 invalid_client"),
    (400, {"error": "refresh-token-1"}, Failure.TOKEN_REFUSED, "HTTP 400"),
    (400, {"returnCode": "refresh-token-1"}, Failure.TOKEN_REFUSED, "HTTP 400"),
    (400, {"message": "Bad Request"}, Failure.TOKEN_UNAVAILABLE, "HTTP 400"),
    (403, {"message": "Forbidden by the gateway"}, Failure.TOKEN_UNAVAILABLE, "HTTP 403"),
    (200, {"message": "OK"}, Failure.TOKEN_UNAVAILABLE, "HTTP 200"),
    (200, {"error": "invalid_request"}, Failure.TOKEN_REFUSED, "HTTP 200 invalid_request"),
]


@pytest.mark.parametrize(("status", "answer", "failure", "said"), SAID)
async def test_what_the_auth_servers_refusals_mean(status, answer, failure, said):
    """A server that was not well meant "log in again", and the log took what an answer echoed."""
    octets = json.dumps(answer).encode()

    async def refuse(peer, reader, writer):
        await peer.read_request(reader)
        head = b"HTTP/1.1 %d No\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % (status, len(octets)) + octets)

    async with Peer(refuse).running() as peer:
        with pytest.raises(TokenError) as caught:
            await AuthServer(works_at(peer.port)).refresh("refresh-token-1")
    assert (caught.value.failure, caught.value.diagnostic) == (failure, said)


async def test_the_clock_set_back_does_not_stop_refreshing(tmp_path):
    async with setting(tmp_path) as one:
        before = one.consent()
        one.shift = -5 * 86400
        authorizer = one.start()
        await authorizer.check("scanner")
        assert one.store.read("scanner").access_token != before.access_token


async def test_the_clock_set_forth_refreshes(tmp_path):
    async with setting(tmp_path) as one:
        one.consent()
        one.shift = 5 * 86400
        assert one.works_takes(await one.start().token("scanner"))


async def test_short_lives_do_not_make_a_refresh_for_every_message(tmp_path):
    async with setting(tmp_path, access_token_life=20) as one:
        one.consent()
        authorizer = one.start()
        for _ in range(5):
            await authorizer.token("scanner")
        assert [g.refreshes for g in one.sandbox.grants.grants] == [0]


async def test_the_last_use_is_remembered(tmp_path):
    async with setting(tmp_path) as one:
        one.consent()
        authorizer = one.start()
        await authorizer.token("scanner")
        assert authorizer.grant("scanner").used_at == pytest.approx(time.time(), abs=5)
        await authorizer.aclose()
        assert one.store.read("scanner").used_at == pytest.approx(time.time(), abs=5)


async def test_a_store_that_cannot_be_written_uses_no_new_token(tmp_path):
    """What is not stored is lost in a crash: with rotation the account would be locked out."""
    async with setting(tmp_path, rotation=True) as one:
        one.consent(expires_at=time.time() - 5)

        class Full(FileGrants):
            async def mark(self, account, of, mark, at):
                raise GrantError("no room")

        authorizer = one.start(Full(tmp_path))
        with pytest.raises(TokenError) as caught:
            await authorizer.token("scanner")
        assert caught.value.failure is Failure.TOKEN_UNAVAILABLE
        assert [g.refreshes for g in one.sandbox.grants.grants] == [0]


class Filling(FileGrants):
    """A store that takes no new grant while it is full."""

    full = True

    async def store(self, account, grant, *, replaces=None):
        if self.full:
            raise GrantError("no room")
        return await super().store(account, grant, replaces=replaces)


async def test_a_new_token_that_could_not_be_stored_is_in_escrow(tmp_path):
    """The disk fills between request and answer: with rotation the old refresh token is dead by then."""
    async with setting(tmp_path, rotation=True) as one:
        dead = one.consent(expires_at=time.time() - 5)
        token = await one.start(Filling(tmp_path)).token("scanner")
        assert one.works_takes(token)
        assert one.store.read("scanner").refresh_token == dead.refresh_token
        escrow = tmp_path / "escrow" / "scanner.json"
        assert stat.S_IMODE(escrow.stat().st_mode) == 0o600
        assert stat.S_IMODE(escrow.parent.stat().st_mode) == 0o700
        # Then the relay is killed: the next one sends with it, and gives it to the store.
        later = one.start()
        assert await later.token("scanner") == token
        await later.check("scanner")
        assert one.store.read("scanner").access_token == token
        one.shift = 25 * HOUR
        await later.token("scanner")
        assert one.told == []
        assert [g.refreshes for g in one.sandbox.grants.grants] == [2]


async def test_a_store_that_is_full_for_days_costs_no_grant(tmp_path):
    """Each refresh rotates: the store is offered the last one, in the place of what it had all the time."""
    async with setting(tmp_path, rotation=True) as one:
        one.consent()
        store = Filling(tmp_path)
        authorizer = one.start(store)
        for one.shift in (13 * HOUR, 26 * HOUR, 39 * HOUR):
            await authorizer.check("scanner")
        last = authorizer.grant("scanner")
        assert one.store.read("scanner").access_token != last.access_token
        one.shift += 61.0
        store.full = False
        await authorizer.check("scanner")
        assert one.store.read("scanner").access_token == last.access_token
        assert one.works_takes(await authorizer.token("scanner"))


async def test_a_new_token_that_is_nowhere_is_not_used_and_stored_later(tmp_path):
    """What is neither in the store nor in escrow is lost in a crash."""
    async with setting(tmp_path, rotation=True) as one:
        one.consent(expires_at=time.time() - 5)
        (tmp_path / "escrow").write_text("no folder")
        store = Filling(tmp_path)
        authorizer = one.start(store)
        with pytest.raises(TokenError):
            await authorizer.token("scanner")
        one.shift = 61.0
        store.full = False
        assert one.works_takes(await authorizer.token("scanner"))
        assert [g.refreshes for g in one.sandbox.grants.grants] == [1]


async def test_a_store_that_lost_its_last_writes_is_given_what_is_in_escrow(tmp_path):
    """A database went on without its last commits: its refresh token is one that was rotated away."""
    async with setting(tmp_path, rotation=True) as one:
        one.consent()
        authorizer = one.start()
        for one.shift in (13 * HOUR, 26 * HOUR):
            before = one.store.read("scanner")
            await authorizer.check("scanner")
        last = one.store.read("scanner")
        one.store.write("scanner", before)
        later = one.start()
        await later.check("scanner")
        assert one.store.read("scanner") == last
        assert one.told == []


async def test_what_is_in_escrow_is_tried_when_the_stored_token_is_refused(tmp_path):
    """The chain from the stored one to the good one has a gap; what is refused is not the last word."""
    async with setting(tmp_path, rotation=True) as one:
        first = one.consent()
        authorizer = one.start()
        for one.shift in [13 * HOUR * step for step in range(1, 7)]:
            await authorizer.check("scanner")
        one.store.write("scanner", first)
        later = one.start()
        await later.check("scanner")
        assert one.told == []
        assert one.works_takes(one.store.read("scanner").access_token)


async def test_a_new_consent_takes_nothing_from_escrow(tmp_path):
    """Another person consented: what is left of the old consent would send from the wrong mailbox."""
    async with setting(tmp_path, rotation=True) as one:
        one.consent(consented_at=1.0)
        authorizer = one.start()
        one.shift = 13 * HOUR
        await authorizer.check("scanner")
        fresh = one.consent(issued_at=time.time() - HOUR)
        assert (await keeping(tmp_path).load("scanner")).grant == fresh
        await keeping(tmp_path).begin("scanner", fresh)
        assert not [*(tmp_path / "escrow").iterdir()]


async def test_a_logout_during_a_refresh_ends_what_it_brings_too(tmp_path):
    """The tokens that came after the logout were good for 90 days, and nobody knew of them."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    class Slow(FileGrants):
        async def store(self, account, grant, *, replaces=None):
            reached.set()
            await go_on.wait()
            return await super().store(account, grant, replaces=replaces)

    async with setting(tmp_path, rotation=True) as one:
        one.consent(expires_at=time.time() - 5)
        authorizer = one.start(Slow(tmp_path))
        caller = asyncio.create_task(authorizer.token("scanner"))
        await asyncio.wait_for(reached.wait(), 30)
        await keeping(tmp_path).forget("scanner")
        go_on.set()
        with pytest.raises(TokenError):
            await caller
        await authorizer.aclose()
        assert one.store.read("scanner") is None
        assert not [*(tmp_path / "escrow").iterdir()]
        assert not one.sandbox.grants.grants


async def test_marks_change_no_version_and_survive_a_refresh(tmp_path):
    """Several processes read a grant when its version changes: a mark is nothing to read it again for."""
    async with setting(tmp_path) as one:
        grant, store = one.consent(), FileGrants(tmp_path)
        version = await store.version("scanner")
        await store.mark("scanner", grant.fingerprint, Mark.USED, 5.0)
        await store.mark("scanner", grant.fingerprint, Mark.REFRESH_STARTED, 6.0)
        assert await store.version("scanner") == version
        await store.confirm("scanner", grant.fingerprint, 7.0)
        assert await store.version("scanner") != version
        renewed = replace(grant, access_token="new", refresh_token="rotated")
        version = await store.store("scanner", renewed, replaces=grant.fingerprint)
        assert await store.version("scanner") == version
        assert await store.load("scanner") == replace(renewed, used_at=5.0, confirmed_at=7.0)


async def test_a_grant_that_was_replaced_is_neither_replaced_nor_marked(tmp_path):
    """Whoever was slow must not undo what somebody else has stored meanwhile."""
    async with setting(tmp_path) as one:
        grant, store = some_grant(), FileGrants(tmp_path)
        there = one.consent()
        for change in (
            store.store("scanner", grant, replaces=grant.fingerprint),
            store.mark("scanner", grant.fingerprint, Mark.USED, 5.0),
            store.confirm("scanner", grant.fingerprint, 5.0),
        ):
            with pytest.raises(GrantReplacedError):
                await change
        assert one.store.read("scanner") == there


async def test_what_is_sealed_is_read_by_the_key_alone(tmp_path):
    """With a database as the store, tokens on this disk are sealed as they are there."""

    class Turned:
        def close(self, octets):
            return b"sealed" + octets[::-1]

        def open(self, octets):
            if not octets.startswith(b"sealed"):
                raise ValueError
            return octets[6:][::-1]

    renewed = Renewed(some_grant(), "before")
    await Escrow(tmp_path, Turned()).put("scanner", renewed)
    assert b"secret" not in (tmp_path / "escrow" / "scanner.json").read_bytes()
    assert await Escrow(tmp_path, Turned()).read("scanner") == [renewed]
    assert await Escrow(tmp_path).read("scanner") == []


async def test_a_grant_that_can_be_read_again_is_read_again(tmp_path):
    """No file descriptor was left, or root's copy was given to its owner: the file itself did not change."""
    async with setting(tmp_path) as one:
        grant, readable = one.consent(), False

        class Unreadable(FileGrants):
            async def load(self, account):
                if not readable:
                    raise GrantError("Too many open files")
                return await super().load(account)

        authorizer = one.start(Unreadable(tmp_path))
        with pytest.raises(TokenError):
            await authorizer.token("scanner")
        readable = True
        await authorizer.check("scanner")
        assert await authorizer.token("scanner") == grant.access_token
        assert one.told == [("scanner", Failure.NO_GRANT), ("scanner", None)]


async def test_a_slow_look_does_not_bring_an_old_grant_back(tmp_path):
    """What a thread read before a login came to the event loop after it had been noticed."""
    async with setting(tmp_path) as one:
        one.consent(consented_at=1.0)
        was_read, go_on = asyncio.Event(), asyncio.Event()

        class Slow(FileGrants):
            async def load(self, account):
                grant = await super().load(account)
                if not was_read.is_set():
                    was_read.set()
                    await go_on.wait()
                return grant

        authorizer = one.start(Slow(tmp_path))
        looking = asyncio.create_task(authorizer.check("scanner"))
        await was_read.wait()
        new = one.consent()
        await authorizer.check("scanner")
        go_on.set()
        await looking
        assert authorizer.grant("scanner").access_token == new.access_token


class Answers:
    """A token endpoint that gives these octets to every request."""

    def __init__(self, *blocks, pause=0.0):
        self.blocks, self.pause = blocks, pause

    async def __call__(self, peer, reader, writer):
        await peer.read_request(reader)
        for block in self.blocks:
            writer.write(block)
            await asyncio.sleep(self.pause)


def granted(token):
    body = json.dumps({"access_token": token, "expires_in": "86400"}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def test_a_refresh_that_gives_the_same_token_again_is_an_answer(tmp_path):
    """What the API refuses then is refused: a refresh for each message, and nobody told, helps nobody."""
    async with setting(tmp_path) as one, Peer(Answers(granted("the-same"))).running() as peer:
        one.consent(access_token="the-same")
        one.works.auth_url = f"http://127.0.0.1:{peer.port}/oauth2/v2.0"
        assert await one.start().token("scanner", rejected="the-same") == "the-same"
        assert len(peer.requests) == 1


async def test_a_token_endpoint_that_drips_is_given_up(tmp_path, monkeypatch):
    """Each octet would begin its patience anew; all mail of the account waits for it."""
    monkeypatch.setattr("relay.works.auth.oauth._LONGEST_CALL", 0.5)
    dripping = Answers(b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 100, pause=0.1)
    async with setting(tmp_path) as one, Peer(dripping).running() as peer:
        one.consent(expires_at=time.time() - 5)
        one.works.auth_url = f"http://127.0.0.1:{peer.port}/oauth2/v2.0"
        with pytest.raises(TokenError) as caught:
            async with asyncio.timeout(5):
                await one.start().token("scanner")
        assert caught.value.failure is Failure.TOKEN_UNAVAILABLE


async def test_a_refresh_that_takes_long_is_not_waited_for_by_a_message(tmp_path, monkeypatch):
    """Twenty messages of one account would keep every slot from the others' mail for as long as it takes."""
    monkeypatch.setattr("relay.works.auth.authorizer._WAIT_FOR_REFRESH", 0.2)
    async with setting(tmp_path, rotation=True) as one:
        one.consent(expires_at=time.time() - 5)
        one.sandbox.add_fault("latency", seconds=2, at="token")
        authorizer = one.start()
        with pytest.raises(TokenError) as caught:
            await authorizer.token("scanner")
        assert caught.value.failure is Failure.TOKEN_UNAVAILABLE
        await authorizer.aclose()
        assert one.works_takes(await authorizer.token("scanner"))
        assert [g.refreshes for g in one.sandbox.grants.grants] == [1]


async def test_a_login_that_brings_the_old_refresh_token_back_is_believed(tmp_path):
    """A consent may give the refresh token that was refused before: it is not refused for ever."""
    refusal = b'{"error": "invalid_grant"}'
    refused = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%b" % (len(refusal), refusal)
    endpoint = Answers(refused)
    async with setting(tmp_path) as one, Peer(endpoint).running() as peer:
        grant = one.consent(expires_at=time.time() - 5)
        one.works.auth_url = f"http://127.0.0.1:{peer.port}/oauth2/v2.0"
        authorizer = one.start()
        with pytest.raises(TokenError):
            await authorizer.token("scanner")
        endpoint.blocks = [granted("another")]
        one.store.write("scanner", replace(grant, consented_at=time.time()))
        await authorizer.check("scanner")
        assert await authorizer.token("scanner") == "another"


async def test_keep_alive_notices_and_refreshes(tmp_path):
    async with setting(tmp_path) as one:
        authorizer = one.start()
        keeper = asyncio.create_task(authorizer.keep_alive(["scanner"]))
        await asyncio.sleep(0.1)
        before = one.consent(refresh_started_at=time.time())
        async with asyncio.timeout(5):
            while one.store.read("scanner").access_token == before.access_token:
                await asyncio.sleep(0.1)
        keeper.cancel()
        await authorizer.aclose()
        assert one.told == [("scanner", Failure.NO_GRANT), ("scanner", None)]


@pytest.mark.parametrize("rotation", [False, True])
async def test_warnings_before_a_grant_dies_that_cannot_rotate(tmp_path, rotation):
    async with setting(tmp_path, rotation=rotation) as one:
        one.consent()
        authorizer = one.start()
        for _ in range(88 * 2 + 1):
            one.shift += 86400 / 2
            one.sandbox.clock.move(86400 / 2)
            await authorizer.check("scanner")
        marks = [] if rotation else [("scanner", days) for days in (30, 14, 7)]
        assert one.warned == marks
        one.shift += 86400
        await authorizer.check("scanner")
        assert one.warned == (marks if rotation else [*marks, ("scanner", 1)])


def test_a_grant_is_flushed_before_it_is_renamed_and_its_directory_after(tmp_path):
    """A kill proves nothing about a power cut; the order of the system calls does."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    script = (
        "import sys; from pathlib import Path; "
        "from relay.grants import Grant; from relay.works.auth.files import GrantFiles; "
        "GrantFiles(Path(sys.argv[1])).write('scanner', Grant('a', 2.0, 'r', 1.0, 1.0, 1.0))"
    )
    trace = tmp_path / "trace"
    calls = "trace=fsync,fdatasync,rename,renameat,renameat2,fchmod"
    subprocess.run(
        ["strace", "-f", "-y", "-e", calls, "-o", trace, sys.executable, "-c", script, str(tmp_path)],
        check=True,
    )
    lines = [line for line in trace.read_text().splitlines() if "grants" in line]
    names = [line.split("(")[0].split()[-1] for line in lines]
    renamed = next(at for at, name in enumerate(names) if name.startswith("rename"))
    assert "fsync" in names[:renamed]
    assert ".new" in next(line for line in lines if "fsync" in line)
    assert names[renamed + 1] == "fsync"
    assert "grants>" in lines[renamed + 1]


def some_grant(**more):
    tokens = {"access_token": "AAA-secret", "refresh_token": "RRR-secret", "expires_in": "86400"}
    return grant_of(tokens, now=1000.0, **more)


def test_no_token_in_a_repr():
    assert "secret" not in repr(some_grant())
    assert "secret" not in repr(TokenError(Failure.TOKEN_REFUSED, "HTTP 400"))


def test_a_grant_file_is_private_and_whole(tmp_path):
    store = GrantFiles(tmp_path)
    store.write("scanner", some_grant())
    path = tmp_path / "grants" / "scanner.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert store.read("scanner") == some_grant()
    assert sorted(p.name for p in path.parent.iterdir()) == ["scanner.json"]


def test_a_mailbox_of_two_lines_is_no_grants(tmp_path):
    """A planted one printed "relay: all is well" below the table of `relay accounts`."""
    store = GrantFiles(tmp_path)
    store.write("scanner", replace(some_grant(), whose="x\nrelay: all is well"))
    with pytest.raises(GrantError, match="relay login scanner"):
        store.read("scanner")


def test_a_later_version_of_the_file_can_have_more_keys(tmp_path):
    store = GrantFiles(tmp_path)
    store.write("scanner", some_grant())
    path = tmp_path / "grants" / "scanner.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"new_key": 1}))
    assert store.read("scanner") == some_grant()


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "{}", '{"access_token": 5}', "\xff", "null"])
def test_a_damaged_file_is_a_sentence_without_its_content(tmp_path, text):
    store = GrantFiles(tmp_path)
    store.write("scanner", some_grant())
    (tmp_path / "grants" / "scanner.json").write_text(text)
    with pytest.raises(GrantError, match="relay login scanner"):
        store.read("scanner")


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "", "a\0b"])
def test_a_name_cannot_leave_the_directory(tmp_path, name):
    with pytest.raises(GrantError):
        GrantFiles(tmp_path).write(name, some_grant())


@pytest.mark.parametrize(
    ("said", "life"),
    [
        ("86400", 86400.0),
        (86400, 86400.0),
        (3600.0, 3600.0),
        ("", 3600.0),
        (None, 3600.0),
        ("soon", 3600.0),
        (True, 3600.0),
        (-1, 3600.0),
        ("9" * 30, 3600.0),
        (10**12, 30 * 86400.0),
        pytest.param(10**400, 30 * 86400.0, id="400 digits"),
        (float("nan"), 3600.0),
    ],
)
def test_expires_in_is_a_string_or_a_number(said, life):
    assert read_life(said) == life


def test_half_life_and_death():
    grant = replace(some_grant(), refresh_issued_at=1000.0)
    assert grant.half_life_at == 1000.0 + 43200
    assert grant.refresh_expires_at == 1000.0 + 90 * 86400
    assert isinstance(grant, Grant)
