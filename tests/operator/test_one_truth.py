"""One truth: each trouble really happens, and eight places say it, none against another.

Log, status, check, queue list, accounts, metrics, mail to the operator, alert.
"""

import asyncio
import contextlib
import os
import smtplib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from relay.cli import accounts, serve
from relay.cli.status import find_heading, say_headline
from relay.config.load import ConfigError, load
from relay.console.gauges import read_gauges
from relay.console.server import serving
from relay.host import certificate
from relay.host.clock import Clock
from relay.operator.check import check
from relay.operator.findings import Level
from relay.operator.state import GrantHealth, RelayState, as_json
from relay.operator.trouble import Health
from relay.outcome import TroubleKind
from relay.sandbox import Settings
from relay.service.running import _reload
from relay.spool import State
from relay.stores import open_grants
from tests.operator.test_alerts import Hook
from tests.support.relay import Relay, relaying, until

PATIENCE = 60.0  # seconds
OPERATOR = "operator@example.com"
TWO = [
    {"name": "scanner", "address": "scanner@example.com", "default": True},
    {"name": "erp", "address": "erp@example.com"},
]
Make = Callable[[Relay, Any], Awaitable[None]]


@dataclass(frozen=True)
class Trouble:
    """A trouble, and what it is to be seen by."""

    kind: TroubleKind
    make: Make
    name: str = "*"  # "*": whatever it is called
    health: Health = Health.BAD
    check: Level = Level.PROBLEM
    held: int = 0  # messages that every sum calls held
    grant: GrantHealth = GrantHealth.ALIVE  # of the account scanner
    mail: bool = True  # Works being down keeps it
    alert: bool = True
    sections: dict[str, Any] = field(default_factory=dict)
    settings: Settings | None = None
    wall: Callable[[], float] | None = None


async def put(relay, number=1, **more):
    return [await relay.put(subject=f"m{one}", **more) for one in range(number)]


async def look(relay):
    await relay.service.watches.watch.look()


async def kill_grant(relay, _):
    relay.sandbox.add_fault("token-death", times=0, account="scanner@example.com")
    await put(relay)
    await until(lambda: relay.service.standing.held, PATIENCE)
    await put(relay)


async def break_works(relay, _):
    relay.sandbox.add_fault("503", times=0)
    await put(relay, 2)
    await put(relay, sender="erp@example.com")  # one account's trouble is its own, two accounts' is Works'
    await until(lambda: relay.service.standing.outage, PATIENCE)
    relay.clock.move(16 * 60)
    relay.service.watches.alerts.look_soon()


async def fill_quota(relay, _):
    await relay.put("a@example.net", "b@example.net")
    await until(lambda: relay.service.standing.held, PATIENCE)


async def take_account_out(relay, _):
    relay.sandbox.add_fault("503")  # once: mail about the account must go
    queue_id = await relay.put(subject="m")
    await relay.reach(queue_id, State.DELAYED)
    relay.sandbox.faults.clear()  # before the operator gets mail: two that meet it are an outage
    config = relay.service.config
    left = config.account[1].model_copy(update={"default": True})
    await relay.service.reload(config.model_copy(update={"account": (left,)}))
    await until(lambda: "scanner" in relay.service.standing.held, PATIENCE)


async def fill_disk(relay, _):
    await until(lambda: relay.service.troubles.find(TroubleKind.NO_ROOM), PATIENCE)


async def spoil_configuration(relay, folder):
    path = folder / "relay.toml"
    path.write_text('[delivery]\nwait = "soon"\n')
    with pytest.raises(ConfigError):
        load(path, {})
    await _reload(relay.service, lambda: load(path, {}), asyncio.Lock())


async def spoil_certificate(relay, folder):
    (folder / "c.pem").write_bytes(certificate.make(["relay.test"], 90).certificate)
    await look(relay)


async def change_secret(relay, _):
    config = relay.service.config
    await relay.service.reload(
        config.model_copy(update={"works": config.works.model_copy(update={"client_id": "another"})})
    )


async def find_lost_file(relay, _):
    """A content file without a row, which `fill_in` has put there."""
    await until(lambda: relay.service.troubles.find(TroubleKind.DAMAGE, "1LOST"), PATIENCE)


async def hold_message(relay, _):
    relay.sandbox.add_fault("500")
    (queue_id,) = await put(relay)
    await relay.reach(queue_id, State.HELD)


async def forget_whose(relay, _):
    kept = relay.service.authorizer.grant("scanner")
    relay.keep_grant("scanner", replace(kept, whose=""))
    await relay.notice_grants()
    await look(relay)


async def age_grant(relay, _):
    kept = relay.service.authorizer.grant("scanner")
    relay.keep_grant("scanner", replace(kept, refresh_issued_at=relay.clock.now() - 80 * 86400))
    await relay.notice_grants()


async def send_too_much(relay, _):
    await put(relay)
    with pytest.raises(smtplib.SMTPDataError):
        await relay.send()
    await look(relay)


async def look_only(relay, _):
    await look(relay)


HANDS = {"set by": 0.0}


async def set_clock(relay, _):
    await look(relay)
    HANDS["set by"] = -7200.0
    await look(relay)


async def break_converter(relay, _):
    def begin():
        raise OSError(12, "Cannot allocate memory")

    converter = relay.service.courier._tools.converter
    converter._begin = begin
    for child in converter._idle:
        child._process.popen.kill()
    await put(relay, body="line of text\r\n" * 60_000)
    await until(lambda: relay.service.troubles.find(TroubleKind.CONVERTER), PATIENCE)


async def answer_by_a_proxy(relay, _):
    relay.sandbox.add_fault("wrong-content-type", status=403, times=0, account="scanner@example.com")
    await put(relay, 6)
    await until(lambda: relay.service.standing.held, PATIENCE)


async def wait_long(relay, _):
    relay.sandbox.add_fault("503", times=0)
    (queue_id,) = await put(relay)
    await relay.reach(queue_id, State.DELAYED)
    relay.clock.move(3700)
    await look(relay)


async def lose_way(relay, _):
    await age_grant(relay, _)  # something to tell
    await until(lambda: relay.service.troubles.find(TroubleKind.ALERT, "command"), PATIENCE)


async def tell_nobody(relay, _):
    relay.sandbox.add_fault("400")
    queue_id = await relay.put(sender="somebody@example.net")
    await relay.reach(queue_id, State.FAILED)


async def take_console_port(relay, _):
    pass  # `console_of` does


def tls(days):
    """A listener whose certificate is good for so many days; the test fills in the folder."""
    return {"certificate_days": days}


ACCOUNT = TroubleKind.ACCOUNT
TROUBLES = {
    "dead grant": Trouble(ACCOUNT, kill_grant, "scanner", held=2, grant=GrantHealth.DEAD),
    "works down": Trouble(TroubleKind.API, break_works, "", mail=False),
    "quota": Trouble(ACCOUNT, fill_quota, "scanner", held=1, settings=Settings(recipients_per_day=1)),
    "unconfigured account": Trouble(ACCOUNT, take_account_out, "scanner", held=1),
    "disk": Trouble(
        TroubleKind.NO_ROOM, fill_disk, "", mail=False, sections={"spool": {"keep_free": "1000000GB"}}
    ),
    "certificate soon": Trouble(
        TroubleKind.CERTIFICATE, look_only, health=Health.WARN, check=Level.WARNING, sections=tls(6)
    ),
    "certificate not used": Trouble(
        TroubleKind.CERTIFICATE, spoil_certificate, health=Health.WARN, sections=tls(90)
    ),
    "restart needed": Trouble(TroubleKind.RESTART, change_secret, "", Health.WARN, check=Level.WARNING),
    "certificate expired": Trouble(TroubleKind.CERTIFICATE, look_only, sections=tls(-1)),
    "refused reload": Trouble(
        TroubleKind.NOT_RELOADED, spoil_configuration, "", Health.WARN, check=Level.WARNING
    ),
    "damage": Trouble(TroubleKind.DAMAGE, find_lost_file, "1LOST", sections={"lost": True}),
    "message held": Trouble(
        TroubleKind.MESSAGE_HELD,
        hold_message,
        health=Health.WARN,
        check=Level.WARNING,
        held=1,
        sections={"delivery": {"on_unknown": "hold"}},
    ),
    "unverified": Trouble(
        TroubleKind.UNVERIFIED,
        forget_whose,
        "scanner",
        Health.WARN,
        check=Level.WARNING,
        grant=GrantHealth.UNVERIFIED,
    ),
    "consent due": Trouble(
        TroubleKind.GRANT_EXPIRES,
        age_grant,
        "scanner",
        Health.WARN,
        check=Level.WARNING,
        grant=GrantHealth.DUE,
    ),
    "source over its limit": Trouble(
        TroubleKind.OVER_LIMIT,
        send_too_much,
        "127.0.0.1",
        Health.WARN,
        check=Level.WARNING,
        sections={"limits": {"messages_per_hour": 1}},
    ),
    "clock": Trouble(
        TroubleKind.CLOCK,
        set_clock,
        "",
        Health.WARN,
        check=Level.WARNING,
        wall=lambda: time.time() + HANDS["set by"],
    ),
    "converter": Trouble(TroubleKind.CONVERTER, break_converter, "", Health.WARN, check=Level.WARNING),
    "console": Trouble(
        TroubleKind.CONSOLE, take_console_port, "", Health.WARN, check=Level.WARNING, sections={"console": {}}
    ),
    "waiting long": Trouble(
        TroubleKind.WAITING_LONG, wait_long, "", Health.WARN, check=Level.WARNING, mail=False
    ),
    "no way to tell": Trouble(
        TroubleKind.ALERT,
        lose_way,
        "command",
        Health.WARN,
        check=Level.WARNING,
        grant=GrantHealth.DUE,
        sections={"alert": {"command": ["/nonexistent/program"]}},
    ),
    "sender not told": Trouble(
        TroubleKind.NOT_TOLD, tell_nobody, mail=False, sections={"delivery": {"notify": ""}}
    ),
    "proxy": Trouble(ACCOUNT, answer_by_a_proxy, "scanner", held=6),
}


@contextlib.asynccontextmanager
async def console_of(relay) -> AsyncIterator[None]:
    """The console, as `relay serve` opens it, where there is one."""
    if not relay.service.config.console.address:
        yield
        return
    async with serve._open_console(relay.service):
        yield


def fill_in(trouble, folder, hook_url, taken):
    """The configuration in which the trouble happens."""
    given = dict(trouble.sections)
    sections = {
        "account": TWO,
        "alert": {"url": hook_url, **given.pop("alert", {})},
        "delivery": {"wait": "0s", "notify": OPERATOR, **given.pop("delivery", {})},
    }
    if days := given.pop("certificate_days", 0):
        pair = (folder / "c.pem", folder / "k.pem")
        certificate.write(certificate.make(["relay.test"], days), *pair)
        keys = dict(zip(("certificate_file", "private_key_file"), map(str, pair), strict=True))
        sections["listener"] = [{"address": "127.0.0.1:0", "tls": "starttls", **keys}]
    if given.pop("lost", False):
        lost = folder / "state" / "spool" / "content" / "1LOST"
        lost.parent.mkdir(parents=True)
        lost.write_bytes(b"somebody's mail")
        os.utime(lost, (1e9, 1e9))
    if "console" in given:
        given["console"] = {"address": f"127.0.0.1:{taken.getsockname()[1]}"}
    return sections | given


def read_metrics(state: RelayState):
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(generate_latest(read_gauges(state)).decode())
        for sample in family.samples
    }


def said_to_operator(relay):
    letters = [relay.sandbox.request(one.id) for one in relay.sandbox.messages]
    return [one for one in letters if one["to"] == OPERATOR]


@pytest.mark.parametrize("case", TROUBLES)
async def test_every_place_says_it(tmp_path, case):
    trouble, hook, HANDS["set by"] = TROUBLES[case], Hook(), 0.0
    with socket.create_server(("127.0.0.1", 0)) as taken, capture_logs() as logs:
        async with serving(hook.app) as server:
            sections = fill_in(trouble, tmp_path, f"{server.url}/hook", taken)
            clock = trouble.wall and Clock(trouble.wall, time.monotonic)
            async with (
                relaying(tmp_path / "state", trouble.settings, at=clock, **sections) as relay,
                console_of(relay),
            ):
                await until(lambda: relay.service.authorizer.grant("scanner"), PATIENCE)
                await trouble.make(relay, tmp_path)
                concern = await until(lambda: find(relay, trouble), PATIENCE)
                await look_everywhere(relay, trouble, concern, hook, logs)


async def find(relay, trouble):
    """The trouble, as the state has it, when all that is said beside it has settled."""
    state = await relay.service.read_state()
    settled = state.queue.states[State.HELD] == trouble.held and not relay.service.courier.under_way
    found = [one for one in state.concerns if one.kind == trouble.kind and trouble.name in ("*", one.name)]
    return found[0] if found and settled else None


async def look_everywhere(relay, trouble, concern, hook, logs):
    # Mail and alert: each told once, with the same remedy, and noted with the trouble.
    if trouble.mail:
        await until(lambda: said_to_operator(relay), PATIENCE)
        told = await until(lambda: told_of(relay, concern, OPERATOR), PATIENCE)
        assert len(told) == 1
    if trouble.alert:
        await until(lambda: [one for one in hook.alerts if one["kind"] == concern.kind], PATIENCE)
        (alert,) = [one for one in hook.alerts if (one["kind"], one["name"]) == (concern.kind, concern.name)]
        assert (alert["event"], alert["remedy"], alert["health"]) == ("begun", concern.remedy, concern.health)
        assert await until(lambda: told_of(relay, concern, "alert url"), PATIENCE)

    # What is said about it has gone: from now on nothing moves, and two looks see the same.
    state, listed = await until(lambda: look_twice(relay), PATIENCE)
    tree, config = as_json(state), relay.service.config
    (concern,) = [one for one in state.concerns if (one.kind, one.name) == (concern.kind, concern.name)]

    # Status: nothing is green, the worst heads all, and what a person must do is printed.
    assert concern.health is trouble.health
    assert state.health is not Health.OK
    assert bool(concern.remedy) is concern.person
    headline = say_headline(tree["headline"])
    if trouble.kind is TroubleKind.API:
        assert headline.startswith("Works is down since ")
        assert "next try" in headline
    elif len(state.concerns) == 1:
        assert concern.reason.lower() in headline.lower()

    # Log: a line of warning or error.
    loud = [one for one in logs if one["log_level"] in ("warning", "error")]
    assert any(is_about(one, concern) for one in loud), loud

    # Queue list: the same sums, the same head.
    assert listed["total"] == listed["counts"]["held"] == trouble.held
    assert {one["state"] for one in listed["messages"]} <= {"held"}
    assert listed["held_accounts"].keys() == relay.service.standing.held.keys()
    # A probe may have moved the next try meanwhile.
    assert (await find_heading(config)).partition(", next try")[0] == headline.partition(", next try")[0]

    # Accounts.
    rows = await accounts._describe_all(config, open_grants(config), relay.clock.now())
    for row in rows:
        own = next(one for one in tree["accounts"] if one["name"] == row["name"])
        assert (row["state"], row["held"]) == (own["grant"]["health"], own["hold"])
        assert bool(row["problem"]) or not (own["hold"] and own["hold"]["person"])
    states = {row["name"]: row["state"] for row in rows}
    assert states.get("scanner", GrantHealth.ALIVE) == trouble.grant

    # Check: as bad as the trouble is.
    findings = [one async for one in check(config)]
    assert trouble.check in [one.level for one in findings if names(one, concern)], findings

    # Metrics.
    values = read_metrics(state)
    assert values["relay_troubles", trouble.kind.value] >= 1
    assert values["relay_health", "ok"] == 0
    assert values["relay_queue_messages", "held"] == trouble.held
    assert values["relay_works_down",] == (state.outage is not None)
    for account in state.accounts:
        if account.address:
            held = bool(account.hold and account.hold.person)
            assert values["relay_account_held", account.name] == held


async def look_twice(relay):
    """The state and the queue's list, when both are of the same moment."""
    state = await relay.service.read_state()
    listed = await relay.service.verbs.queue_list(["held"], 100)
    again = await relay.service.read_state()
    same = as_json(state.queue) == as_json(again.queue) and listed["counts"] == as_json(state.queue)["states"]
    moving = state.queue.states[State.SENDING] and state.outage is None
    return (again, listed) if same and not moving else None


def told_of(relay, concern, to):
    one = relay.service.troubles.find(TroubleKind(concern.kind), concern.name)
    return one and [at for whom, at in one.told if whom == to]


def is_about(line, concern):
    """Whether a line of the log tells of it: by its reason, or by its name."""
    text = repr(line)
    own = {
        TroubleKind.NOT_RELOADED: "not reloaded",
        TroubleKind.GRANT_EXPIRES: "grant dies soon",
        TroubleKind.OVER_LIMIT: "source over its limit",
        TroubleKind.ACCOUNT: "account in trouble",
        TroubleKind.DAMAGE: "put aside",
        TroubleKind.ALERT: "operator not told this way",
        TroubleKind.NOT_TOLD: "nobody could be told",
    }
    return concern.reason in text or (concern.name in text and own.get(concern.kind, "-") in line["event"])


def names(finding, concern):
    """Whether a finding of the check is about it."""
    places = {
        TroubleKind.ACCOUNT: f"account {concern.name}",
        TroubleKind.GRANT_EXPIRES: f"account {concern.name}",
        TroubleKind.UNVERIFIED: f"account {concern.name}",
        TroubleKind.CERTIFICATE: "listener",
    }
    place = places.get(concern.kind, f"{concern.kind} {concern.name}".rstrip())
    return finding.subject.startswith(place) or concern.reason in finding.text
