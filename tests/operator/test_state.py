"""The relay's state: one record, whoever shows it."""

import asyncio
import json
from dataclasses import replace
from datetime import datetime

import pytest

from relay.cli.status import _print_concerns, say_headline
from relay.host import certificate
from relay.host.clock import Clock
from relay.operator.reading import Reader
from relay.operator.state import GrantHealth, as_json
from relay.operator.trouble import Health
from relay.outcome import TroubleKind
from relay.spool import State
from relay.stores import open_grants
from relay.works.auth.files import GrantFiles
from tests.support.command import command
from tests.support.relay import relaying, until
from tests.support.toml import to_toml
from tests.support.whole_relay import tree, whole_relay

NOBODYS = {"whose": ""}


def kinds(state):
    return [concern.kind for concern in state.concerns]


async def test_all_is_well(tmp_path):
    """Green is said only where nothing is red, and of mail that went."""
    async with whole_relay(tmp_path / "state") as relay:
        state = await relay.service.read_state()
        assert (state.health, state.concerns) == (Health.OK, ())
        assert state.accounts[0].grant.health is GrantHealth.ALIVE
        assert state.disk.accepting
        assert state.listeners[0].sessions == 0
        assert json.loads(json.dumps(as_json(state)))["queue"]["states"]["held"] == 0


async def test_a_dead_grant_is_dead_and_its_mail_is_held(tmp_path):
    """The rows stand as queued; the list said held, its sums queued, and the account had 89 days left."""
    async with relaying(tmp_path / "state", delivery={"wait": "0s"}) as relay:
        relay.sandbox.add_fault("token-death", times=0)
        first = await relay.put()
        await until(lambda: relay.service.standing.held)
        second = await relay.put()
        state = await relay.service.read_state()
        assert state.queue.states[State.HELD] == 2
        assert state.queue.states[State.QUEUED] == state.queue.states[State.DELAYED] == 0
        assert state.queue.waiting == 2
        account = state.accounts[0]
        assert (account.grant.health, account.grant.days_left) == (GrantHealth.DEAD, 0)
        assert account.hold.person
        assert account.hold.next_probe > state.now
        assert state.health is Health.BAD
        assert state.concerns[0].remedy == "sudo relay login scanner"
        listed = await relay.service.verbs.queue_list(states=["held"], limit=10)
        assert {one["queue_id"] for one in listed["messages"]} == {first, second}
        assert listed["counts"]["held"] == 2


async def test_works_is_down(tmp_path):
    """It heads everything, whatever else is wrong, with since when, the next try and how many wait."""
    async with relaying(tmp_path / "state", delivery={"wait": "0s"}) as relay:
        relay.sandbox.add_fault("503", times=0)
        for _ in range(3):
            await relay.put()
        await until(lambda: relay.service.standing.outage)
        state = await relay.service.read_state()
        assert state.health is Health.BAD
        assert (state.headline.text, state.headline.waiting) == ("Works is down", 3)
        assert state.headline.since <= state.now < state.headline.next_try
        said = say_headline(as_json(state)["headline"])
        assert said.startswith("Works is down since ")
        assert said.endswith("; 3 messages wait")


@pytest.mark.parametrize(
    ("age", "more", "health", "days"),
    [
        (0, {}, GrantHealth.ALIVE, 90),
        (0, NOBODYS, GrantHealth.UNVERIFIED, 90),
        (78.5, {}, GrantHealth.DUE, 11),
        (91, {}, GrantHealth.DEAD, 0),
    ],
)
async def test_a_stopped_relay_tells_of_its_grants(tmp_path, age, more, health, days):
    """No "-10 days", no "89 days" of what is dead, no "may send" of what nobody has verified."""
    async with relaying(tmp_path / "state") as relay:
        config = relay.service.config
        kept = GrantFiles(config.state_dir).read("scanner")
    issued = kept.refresh_issued_at - age * 86400 + 60
    aged = replace(kept, refresh_issued_at=issued, expires_at=issued + 60, **more)
    GrantFiles(config.state_dir).write("scanner", aged)
    state = await Reader(None, open_grants(config), Clock()).read(config)
    grant = state.accounts[0].grant
    assert (grant.health, grant.days_left) == (health, days)
    assert state.health is Health.BAD
    assert state.headline.text == "the relay does not run"
    expected = {
        GrantHealth.ALIVE: [],
        GrantHealth.UNVERIFIED: [TroubleKind.UNVERIFIED],
        GrantHealth.DUE: [TroubleKind.GRANT_EXPIRES],
        GrantHealth.DEAD: [TroubleKind.ACCOUNT],
    }
    assert kinds(state) == [kind.value for kind in expected[health]]


@pytest.mark.parametrize(
    ("days", "health", "words"),
    [(60, Health.OK, ""), (6, Health.WARN, "in at most 7 days"), (-1, Health.BAD, "has expired")],
)
async def test_a_certificate_is_watched(tmp_path, days, health, words):
    """It expired, devices went away, and every list said "ok"."""
    files = {"certificate_file": str(tmp_path / "c.pem"), "private_key_file": str(tmp_path / "k.pem")}
    certificate.write(certificate.make(["relay.test"], days), *map(tmp_path.joinpath, ("c.pem", "k.pem")))
    listener = {"address": "127.0.0.1:0", "tls": "starttls", **files}
    async with whole_relay(tmp_path / "state", listener=[listener]) as relay:
        state = await relay.service.read_state()
    assert state.health is health
    assert state.listeners[0].certificate_days == days - 1  # whole ones
    assert words in (state.concerns[0].reason if state.concerns else "")


async def test_the_command_shows_it_beside_a_relay_and_without(tmp_path):
    """One screen, local times for people, UTC in JSON, and an exit code for scripts."""
    path = tmp_path / "relay.toml"
    async with whole_relay(tmp_path / "state") as relay:
        path.write_text(to_toml(tree(relay.http, tmp_path / "state")))
        done, plain = await asyncio.gather(command(path, "status"), command(path, "status", "--json"))
        assert done.returncode == 0, done.stderr
        assert "Mail is taken and sent" in done.stdout
        assert "scanner (default), scanner@example.com: grant alive" in done.stdout
        state = json.loads(plain.stdout)
        assert state["health"] == "ok"
        assert datetime.fromisoformat(state["now"]).utcoffset().total_seconds() == 0
    done = await command(path, "status")
    assert done.returncode == 69
    assert "The relay does not run" in done.stdout


def test_hundreds_of_a_kind_leave_room_for_the_rest(capsys):
    """One screen: five are named, and how many more there are."""
    held = {
        "kind": "message held",
        "name": "1M8",
        "health": "warn",
        "reason": "nobody knows whether it was sent",
        "remedy": "sudo relay trace 1M8",
        "since": "2026-11-29T17:14:00+00:00",
        "told": [],
    }
    _print_concerns([held] * 300 + [held | {"kind": "console", "name": ""}])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 * 2 + 1 + 2
    assert "295 more of this kind (message held)" in lines[10]
