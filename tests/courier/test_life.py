"""Sessions that wait, outages, starts and stops, and commands beside a running relay."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from tests_courier import grant_of, relaying, to_toml, tree, until

from relay.config.model import Works
from relay.console.server import serving
from relay.courier.judgement.expiry import Patience
from relay.host.clock import Clock
from relay.outcome import Action, Blame, Outcome, Scope
from relay.sandbox import Sandbox, Settings
from relay.service import Service, _lasting
from relay.spool import State
from relay.works.auth.files import FileGrants
from relay.works.diagnosis import Failure, diagnose_failure

DOWN = Outcome(Action.DELAYED, "4.4.1", Blame.REMOTE, "down", if_repeated=Scope.API)
UP = Outcome(Action.RELAYED, "2.0.0", Blame.REMOTE, "taken", http_status=202)
HOUR = 3600.0


async def quickly(relay, **more):
    """Submit, and be answered long before the session's patience ends."""
    async with asyncio.timeout(5):
        code, text = await relay.send(**more)
    assert (code, text.partition(",")[0]) == (250, "2.0.0 queued"), text


async def test_nobody_waits_for_an_account_in_trouble(tmp_path):
    async with relaying(tmp_path / "state", grants=[], delivery={"wait": "60s"}) as relay:
        await until(lambda: relay.service.courier.held)
        await quickly(relay)


@pytest.mark.parametrize(("grants", "why"), [([], "nobody has consented"), (None, "no longer valid")])
async def test_an_account_in_trouble_says_the_whole_command_that_helps(tmp_path, grants, why):
    """`relay login` alone asks which account; known before any message, or found out by one."""
    with structlog.testing.capture_logs() as lines:
        listed = await find_trouble(tmp_path, grants)
    for text in (listed, str(lines)):
        assert why in text
        assert "run: relay login scanner" in text
        assert text.count("run: relay login") == text.count("run: relay login scanner")


async def find_trouble(tmp_path, grants):
    async with relaying(tmp_path / "state", grants=grants, delivery={"wait": "0s"}) as relay:
        relay.sandbox.add_fault("token-death", at="mail")
        await relay.put()
        await until(lambda: relay.service.courier.held)
        config = tmp_path / "relay.toml"
        config.write_text(to_toml(tree("http://127.0.0.1:1", tmp_path / "state")))
        return (await command(config, "queue", "list")).stdout


async def test_nobody_waits_while_works_is_down(tmp_path):
    async with relaying(tmp_path / "state", delivery={"wait": "60s"}) as relay:
        relay.sandbox.add_fault("503", times=0)
        await quickly(relay)
        await quickly(relay)
        assert relay.service.pacing.circuit.down_since is not None
        await quickly(relay)
        relay.sandbox.faults.clear()
        relay.pass_time(31)
        await until(lambda: relay.service.pacing.circuit.down_since is None)
        assert "relayed" in (await relay.send())[1]


async def test_nobody_waits_behind_a_queue_that_is_longer_than_the_wait(tmp_path):
    """What is ahead is counted, not only what the budget allows this second."""
    account = [{"name": "a", "address": "scanner@example.com", "default": True, "mails_per_minute": 6}]
    async with relaying(tmp_path / "state", account=account, delivery={"wait": "15s"}) as relay:
        for _ in range(3):
            await relay.send()
        # The fourth to go waits ten seconds: within its patience. Those behind it need not wait at all.
        waiting = asyncio.create_task(relay.send())
        await asyncio.sleep(0.3)
        await quickly(relay)
        relay.pass_time(11)
        assert "relayed" in (await waiting)[1]


@pytest.mark.parametrize("standstill", ["account", "disk"])
async def test_what_is_due_and_cannot_go_does_not_keep_the_loop_busy(tmp_path, standstill):
    """A message whose time has come ended every sleep at once: a whole core, as long as it could not go."""
    async with relaying(tmp_path / "state", delivery={"wait": "0s"}) as relay:
        relay.sandbox.add_fault("503")
        queue_id = await relay.put()
        await relay.reach(queue_id, State.DELAYED)
        spool, courier = relay.service.spool, relay.service.courier
        if standstill == "account":
            courier.stop_account("scanner", diagnose_failure(Failure.NO_GRANT))
        else:
            spool._space.blocked = True
        rounds, pacing = [], relay.service.pacing
        next_free = pacing.next_free
        pacing.next_free = lambda *one, **more: rounds.append(None) or next_free(*one, **more)
        relay.pass_time(200)
        await asyncio.sleep(0.5)
        assert (await relay.entry(queue_id)).state is State.DELAYED
        assert len(rounds) < 20
        courier.stop_account("scanner", None)
        spool._space.blocked = False
        await relay.reach(queue_id, State.RELAYED)


async def test_a_fault_of_ours_in_a_claim_does_not_end_all_sending(tmp_path):
    """The loop ended, mail was taken on, and only /readyz knew that none of it went out."""
    async with relaying(tmp_path / "state", delivery={"wait": "0s"}) as relay:
        spool = relay.service.spool
        claim = spool.claim

        async def broken(*_):
            spool.claim = claim
            raise KeyError("a fault of ours")

        spool.claim = broken
        relay.service.courier.wake()
        await relay.reach(await relay.put(), State.RELAYED)
        assert relay.service.courier.working


async def test_a_restart_counts_a_slow_request_from_its_answer(tmp_path):
    """Works may have counted it just before it answered: a minute from its start is too short."""
    account = [{"name": "scanner", "address": "scanner@example.com", "default": True, "mails_per_minute": 1}]
    async with relaying(tmp_path / "state", account=account, delivery={"wait": "0s"}) as relay:
        relay.sandbox.add_fault("latency", seconds=0.5)
        queue_id = await relay.put()
        await until(lambda: relay.service.courier.under_way)
        await asyncio.sleep(0.2)
        relay.clock.move(40)
        await relay.reach(queue_id, State.RELAYED)
        await relay.service.stop()
        again = Service(relay.service.config, clock=Clock.of(relay.clock.now), listen=False)
        await again.start()
        assert 55 < again.pacing.next_free("scanner") <= 60
        await again.stop()


async def test_a_stop_lets_a_refresh_under_way_be_stored(tmp_path):
    """With rotation the old refresh token is dead by then: cut off, a restart would lock the account out."""
    async with relaying(tmp_path / "state", Settings(rotation=True)) as relay:
        service, grants = relay.service, relay.service.grants
        before = grants.load("scanner")
        relay.sandbox.add_fault("latency", seconds=4, at="token")
        relay.clock.move(13 * HOUR)
        await until(lambda: grants.load("scanner").refresh_started_at is not None)
        began = time.monotonic()
        await service.stop()
        assert time.monotonic() - began < 10
        stored = grants.load("scanner")
        assert (stored.refresh_started_at, stored.rotation) == (None, True)
        assert stored.refresh_token != before.refresh_token


async def test_a_stop_cuts_off_what_does_not_end_and_says_that_it_is_unknown(tmp_path):
    async with relaying(tmp_path / "state", delivery={"wait": "0s"}) as relay:
        relay.sandbox.add_fault("no-answer", seconds=60)
        queue_id = await relay.put()
        await until(lambda: relay.service.courier.under_way and relay.sandbox.messages)
        await relay.service.courier.stop(0.1)
        entry = await relay.entry(queue_id)
        assert (entry.state, entry.unknowns) == (State.DELAYED, 1)


class FakeClock:
    def __init__(self):
        self.now = 1e9
        self.jump = 0.0

    def clock(self):
        return Clock(lambda: self.now + self.jump, lambda: self.now)


def test_nothing_is_given_up_while_the_api_was_down_for_four_hours():
    fake = FakeClock()
    patience = Patience(fake.clock(), 5 * 24 * HOUR)
    patience.learn(UP)
    fake.now += 10 * HOUR
    assert not patience.excuses("a")
    patience.learn(DOWN)
    fake.now += 3.9 * HOUR
    patience.learn(DOWN)
    assert not patience.excuses("a")
    fake.now += 0.2 * HOUR
    assert patience.excuses("a")
    patience.learn(UP)
    assert patience.excuses("a")  # an old message still deserves its chance
    fake.now += 4.1 * HOUR
    assert not patience.excuses("a")


@pytest.mark.parametrize("jump", [0.0, -10 * HOUR])
def test_an_outage_that_goes_on_at_the_start_has_lasted_since_the_start(jump):
    """The grace ends four hours after it, and the first attempt came a quarter of an hour later: no gap."""
    fake = FakeClock()
    patience = Patience(fake.clock(), 24 * HOUR)
    if jump:
        patience.learn(UP)
        fake.now, fake.jump = fake.now + 10 * HOUR, jump
        assert patience.excuses("a")
    fake.now += 0.25 * HOUR
    patience.learn(DOWN)
    for _ in range(100):
        fake.now += 0.25 * HOUR
        assert patience.excuses("a")
        patience.learn(DOWN)


async def has_been_tried(relay, queue_id, times):
    entry = await relay.entry(queue_id)
    return entry.state is State.DELAYED and entry.attempts == times


async def test_a_restart_within_an_outage_gives_nothing_up(tmp_path):
    """Works has been down all the time: no message has had its chance four hours after the start either."""
    delivery = {"wait": "0s", "give_up_after": "1d", "retry": ["15m*"]}
    tokens = Settings(access_token_life=30 * 86400)
    async with relaying(tmp_path / "state", tokens, delivery=delivery) as relay:
        relay.sandbox.add_fault("503", times=0)
        queue_id = await relay.put()
        await relay.reach(queue_id, State.DELAYED)
        relay.pass_time(2 * 86400)
        await until(lambda: has_been_tried(relay, queue_id, 2))
        await relay.service.stop()
        service = Service(relay.service.config, clock=Clock.of(relay.clock.now))
        again = replace(relay, service=service)
        await service.start()  # the message is due in a quarter of an hour
        try:
            for _ in range(20):
                again.pass_time(1000)
                await asyncio.sleep(0.05)
                assert (await again.entry(queue_id)).state is not State.FAILED
            assert (await again.entry(queue_id)).attempts > 15
        finally:
            await service.stop()


def test_nothing_is_given_up_while_its_account_was_in_trouble():
    fake = FakeClock()
    patience = Patience(fake.clock(), 5 * 24 * HOUR)
    fake.now += 10 * HOUR
    patience.learn_account("a", in_trouble=True)
    fake.now += 5 * HOUR
    assert patience.excuses("a")
    assert not patience.excuses("b")


@pytest.mark.parametrize("days", [-5, 5])
def test_a_clock_that_jumps_gives_nothing_up(days):
    """Five days forward every waiting message is too old at once; none of them has been tried for so long."""
    fake = FakeClock()
    patience = Patience(fake.clock(), 5 * 24 * HOUR)
    fake.now += 10 * HOUR
    fake.jump = days * 24 * HOUR
    assert patience.excuses("a")


def run_relay(config, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "relay", *arguments, "--config", config],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


async def command(config, *arguments):
    return await asyncio.to_thread(run_relay, config, *arguments)


async def test_the_verbs_work_beside_a_running_relay(tmp_path):
    async with relaying(tmp_path / "state", delivery={"wait": "0s"}) as relay:
        config = tmp_path / "relay.toml"
        config.write_text(to_toml(tree("http://127.0.0.1:1", tmp_path / "state")))
        relay.sandbox.add_fault("503", times=0)
        ids = [await relay.put(subject=str(number)) for number in range(3)]
        await relay.reach(ids[0], State.DELAYED)
        listed = json.loads((await command(config, "queue", "list", "--json")).stdout)
        assert [one["queue_id"] for one in listed["messages"]] == ids
        shown = await command(config, "queue", "show", ids[0])
        assert (shown.returncode, shown.stdout.split()[:4]) == (0, ["queue", "id", ids[0], "state"])
        held = await command(config, "queue", "hold", ids[0])
        assert held.stdout == f"{ids[0]} held\n", held.stderr
        again = await command(config, "queue", "hold", ids[0])
        assert again.returncode == 65
        relay.sandbox.faults.clear()
        relay.pass_time(3600)
        for queue_id in ids[1:]:
            await relay.reach(queue_id, State.RELAYED)
        assert (await relay.entry(ids[0])).state is State.HELD
        released = await command(config, "queue", "release", "--all", "--json")
        assert json.loads(released.stdout)["done"] == [ids[0]]
        await relay.reach(ids[0], State.RELAYED)
        told = await command(config, "trace", ids[0])
        for word in ("127.0.0.1", "scanner@example.com", "a@example.net", "HTTP 503", "HTTP 202", "held"):
            assert word in told.stdout
        assert "Hello" not in told.stdout
        life = json.loads((await command(config, "trace", ids[0], "--json")).stdout)
        assert [one["http_status"] for one in life["attempts"]][-1] == 202
    after = await command(config, "trace", ids[0], "--json")  # and without a running relay
    assert json.loads(after.stdout)["outcome"]["state"] == "relayed"


async def test_a_large_message_goes_through_the_control_socket_block_by_block(tmp_path):
    from relay.operator import control

    async with relaying(tmp_path / "state", works={"attachment_limit": "0"}) as relay:
        large = tmp_path / "large.eml"
        large.write_bytes(b"Subject: large\r\n\r\n" + b"line of text\r\n" * 400_000)
        with large.open("rb") as file:
            answer = await control.call(
                tmp_path / "state" / "control.sock",
                "send",
                file,
                reverse_path="scanner@example.com",
                forward_paths=["a@example.net"],
            )
        assert answer["code"] == 250
        assert relay.subjects() == ["large"]


@pytest.fixture
async def served(tmp_path):
    """`relay serve` as a process: its configuration's path, the process, its log."""
    sandbox = Sandbox()
    async with serving(sandbox.app) as http:
        state = tmp_path / "state"
        state.mkdir()
        base = tree(http.url, state, log={"format": "json"})
        config = tmp_path / "relay.toml"
        config.write_text(to_toml(base))
        FileGrants(state).store("scanner", grant_of(sandbox, "scanner@example.com", time.time()))
        log = (tmp_path / "log").open("wb")
        process = subprocess.Popen(  # noqa: ASYNC220 - ended below
            [sys.executable, "-m", "relay", "serve", "--config", config], stderr=log
        )
        try:
            await until(lambda: find(tmp_path, "serving"), 20)
            yield config, base, process
        finally:
            process.kill()
            process.wait()
            log.close()
            sandbox.close()


def find(folder, event):
    lines = (folder / "log").read_text().splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [line for line in found if line["event"] == event]


async def test_a_second_relay_is_refused_in_a_sentence(served):
    config, _, _ = served
    done = await command(config, "serve")
    assert done.returncode == 69
    assert "another relay is using" in done.stderr
    assert "Traceback" not in done.stderr


async def test_sighup_takes_what_is_right_and_refuses_what_is_wrong(served, tmp_path):
    """A session that is open goes on, whatever the file says."""
    config, base, process = served
    port = find(tmp_path, "listening")[0]
    assert port
    config.write_text("hostname = 5\n")
    process.send_signal(signal.SIGHUP)
    refused = await until(lambda: find(tmp_path, "not reloaded"))
    assert "hostname" in str(refused[0]["problems"])
    config.write_text(to_toml(base | {"delivery": {"wait": "1s"}}))
    process.send_signal(signal.SIGHUP)
    await until(lambda: find(tmp_path, "reloaded"))
    config.write_text(to_toml(base | {"console": {"address": "127.0.0.1:0"}}))
    process.send_signal(signal.SIGHUP)
    again = await until(lambda: find(tmp_path, "restart needed"))
    assert "console" in again[0]["reason"]
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 10) == 0


def test_what_a_reload_takes_of_works_is_what_the_documents_say():
    """They promised all of it but the addresses, and a corrected client_secret changed nothing."""
    works = Works()
    changing = {
        name
        for name in Works.model_fields
        if _lasting(works.model_copy(update={name: "another"})) == _lasting(works)
    }
    page = Path(__file__).parents[2] / "docs" / "operations.md"
    (row,) = [line for line in page.read_text().splitlines() if line.startswith("| SIGHUP |")]
    assert {name for name in Works.model_fields if f"`{name}`" in row} == changing


async def test_a_new_account_of_a_reload_sends(tmp_path):
    async with relaying(tmp_path / "state") as relay:
        config = relay.service.config
        new = config.account[0].model_copy(
            update={"name": "erp", "address": "erp@example.com", "default": False}
        )
        relay.service.grants.store("erp", grant_of(relay.sandbox, "erp@example.com", relay.clock.now()))
        await relay.service.reload(config.model_copy(update={"account": (*config.account, new)}))
        await relay.put(sender="erp@example.com")
        assert relay.sandbox.messages[-1].account == "erp@example.com"


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("running", [True, False])
async def test_send_takes_a_file_of_any_size(tmp_path, ends, running):
    """By the running relay or without one; line ends become CRLF, also where two blocks meet."""
    lines = ["To: a@example.net", "From: scanner@example.com", "Subject: large", "", *["line"] * 200_000, ""]
    message = tmp_path / "large.eml"
    message.write_bytes(ends.join(lines).encode())
    async with relaying(tmp_path / "state") as relay:
        config = tmp_path / "relay.toml"
        works = relay.service.config.works
        config.write_text(to_toml(tree(works.api_url.removesuffix("/v1.0"), tmp_path / "state")))
        if not running:
            await relay.service.stop()
        done = await command(config, "send", str(message), "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["code"] == 250
        await until(lambda: relay.sandbox.messages)
        assert relay.sandbox.request(relay.sandbox.messages[-1].id)["body"].count("line") == 200_000
