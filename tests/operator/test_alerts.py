"""Alerts: once for one trouble, again while it lasts, once when it is over, whatever one way does."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from structlog.testing import capture_logs

from relay.config.load import build
from relay.console.server import serving
from relay.host.documents import FileDocuments
from relay.operator.alerts import alerts as module
from relay.operator.alerts.planning import QUIET, SETTLED, Due, Event, Said, plan
from relay.operator.alerts.telling import find_untold
from relay.outcome import Trouble, TroubleKind
from tests.support.command import command
from tests.support.relay import relaying, until
from tests.support.toml import to_toml
from tests.support.works import Peer

HOUR = 3600.0
SECRET = "hook-s3cr3t-path"


class Hook:
    """A URL that takes alerts, or does not."""

    def __init__(self):
        self.status = 200
        self.alerts = []
        self.app = Starlette(routes=[Route("/{path:path}", self._take, methods=["POST"])])

    async def _take(self, request):
        if self.status == 200:
            self.alerts.append(await request.json())
        return Response(status_code=self.status)

    def told(self):
        return [(one["event"], one["kind"], one["name"]) for one in self.alerts]


@asynccontextmanager
async def hooked(folder, **sections):
    """A relay that tells a hook."""
    hook = Hook()
    async with serving(hook.app) as server:
        alert = {"url": f"{server.url}/{SECRET}", **sections.pop("alert", {})}
        async with relaying(folder, alert=alert, delivery={"wait": "0s"}, **sections) as relay:
            yield relay, hook


def hold(relay, name="scanner", reason="the grant is dead"):
    relay.service.troubles.begin(TroubleKind.ACCOUNT, name, reason)


async def test_a_dead_grant_is_told_with_the_remedy_and_that_it_is_over(tmp_path):
    """With one account and no fallback nobody was told, and devices heard 250 for months."""
    async with hooked(tmp_path / "state") as (relay, hook):
        relay.sandbox.add_fault("token-death", times=0)
        queue_id = await relay.put()
        await until(lambda: hook.alerts)
        first = hook.alerts[0]
        assert (first["event"], first["kind"], first["name"]) == ("begun", "account", "scanner")
        assert (first["health"], first["remedy"]) == ("bad", "sudo relay login scanner")
        assert first["text"].startswith("relay.test: account scanner: ")
        assert queue_id not in first["text"]
        state = await until(lambda: _told_of(relay, "account"))
        assert state.concerns[0].told[0].to == "alert url"
        relay.sandbox.faults.clear()
        await relay.log_in()
        await until(lambda: len(hook.alerts) == 2)
        assert hook.told()[1] == ("over", "account", "scanner")
        assert hook.alerts[1]["health"] == "ok"


async def _told_of(relay, kind):
    state = await relay.service.read_state()
    return state if any(one.kind == kind and one.told for one in state.concerns) else None


async def test_what_lasts_is_told_again_and_over_a_restart_nothing_twice(tmp_path):
    """A relay that is restarted again and again told each time; what passed meanwhile is told as over."""
    async with hooked(tmp_path / "state") as (relay, hook):
        hold(relay)
        await until(lambda: hook.alerts)
        # The same registry as after a restart, with the same memory on the disk.
        await until((tmp_path / "state" / "alerts.json").exists)
        relay.service.watches.alerts._memory = type(relay.service.watches.alerts._memory)(
            FileDocuments(tmp_path / "state")
        )
        relay.service.watches.alerts.look_soon()
        relay.clock.move(12 * HOUR + 1)
        relay.service.watches.alerts.look_soon()
        await until(lambda: len(hook.alerts) == 2)
        assert [event for event, *_ in hook.told()] == ["begun", "again"]


async def test_a_way_that_fails_is_seen_and_told_by_another(tmp_path, monkeypatch):
    """It fails alone, it is tried again, and its URL, a secret, is in no line of the log."""
    monkeypatch.setattr(module, "_AGAIN", 0.05)
    out = tmp_path / "alerts.jsonl"
    script = f"import sys; open({str(out)!r}, 'a').write(sys.stdin.read())"
    command = [sys.executable, "-c", script]
    with capture_logs() as logs:
        async with hooked(tmp_path / "state", alert={"command": command}) as (relay, hook):
            hook.status = 503
            hold(relay)

            def told():
                lines = out.read_text().splitlines() if out.exists() else []
                return [(one["event"], one["kind"], one["name"]) for one in map(json.loads, lines)]

            await until(lambda: ("begun", "alert", "url") in told(), 30)
            assert ("begun", "account", "scanner") in told()
            state = await relay.service.read_state()
            assert "HTTP 503" in next(one.reason for one in state.concerns if one.kind == "alert")
            hook.status = 200
            await until(lambda: ("over", "alert", "url") in told(), 30)
            assert ("begun", "account", "scanner") in hook.told()
    assert SECRET not in repr(logs)
    assert next(one["way"] for one in logs if one["event"] == "operator not told this way") == "alert url"


async def test_a_way_that_hangs_holds_up_no_other_and_no_mail(tmp_path):
    """Each has a task of its own."""

    async def hang(_, reader, writer):
        await asyncio.Event().wait()

    out = tmp_path / "told"
    command = [sys.executable, "-c", f"import sys; open({str(out)!r}, 'w').write(sys.stdin.read())"]
    async with Peer(hang).running() as peer:
        alert = {"url": f"http://127.0.0.1:{peer.port}/x", "command": command}
        async with relaying(tmp_path / "state", alert=alert) as relay:
            hold(relay, "erp")
            await until(lambda: out.exists() and out.read_text(), 30)
            assert (await relay.send())[0] == 250
            assert relay.sandbox.messages


async def test_a_command_gets_none_of_the_relays_secrets(tmp_path, monkeypatch):
    """Whoever writes a script for alerts need not be trusted with the app's secret."""
    monkeypatch.setenv("RELAY_WORKS__CLIENT_SECRET", "sandbox-secret")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    out = tmp_path / "environment"
    command = [sys.executable, "-c", f"import os; open({str(out)!r}, 'w').write('\\n'.join(os.environ))"]
    async with relaying(tmp_path / "state", alert={"command": command}) as relay:
        hold(relay)
        await until(lambda: relay.service.troubles.find(TroubleKind.ACCOUNT, "scanner").told, 30)
    names = out.read_text().splitlines()
    assert "PATH" in names
    assert not [name for name in names if name.startswith(("RELAY_", "CREDENTIALS"))]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["/nonexistent/program"], "cannot be run: No such file or directory"),
        ([sys.executable, "-c", "raise SystemExit(3)"], "ended with 3"),
    ],
)
async def test_a_command_that_does_not_work_is_told_why(tmp_path, command, words):
    async with relaying(tmp_path / "state", alert={"command": command}) as relay:
        hold(relay)
        found = await until(lambda: relay.service.troubles.find(TroubleKind.ALERT, "command"), 30)
        assert words in found.reason


async def test_a_bot_tells_when_every_grant_is_dead(tmp_path):
    """It goes by the service account: RS256, the scope bot.message, 201."""
    async with relaying(tmp_path / "state") as relay:
        bot = relay.sandbox.bots.describe()
        key = tmp_path / "key.pem"
        key.write_text(bot.pop("private_key"))
        config = relay.service.config
        alert = config.alert.model_copy(update=bot | {"private_key_file": str(key)})
        await relay.service.reload(config.model_copy(update={"alert": alert}))
        relay.sandbox.add_fault("token-death", times=0)
        await relay.put()
        said = await until(lambda: relay.sandbox.bots.said, 30)
        assert said[0]["text"].startswith("relay.test: account scanner: ")
        assert "sudo relay login scanner" in said[0]["text"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # in Apprise and what it imports
async def test_apprise_tells(tmp_path):
    """One of its hundred services, over a real socket; a URL that it does not know is told as that."""
    hook = Hook()
    async with serving(hook.app) as server:
        urls = [server.url.replace("http://", "json://") + "/x", "nonsense://x"]
        async with relaying(tmp_path / "state", alert={"urls": urls}) as relay:
            hold(relay)
            await until(lambda: hook.alerts, 30)
            assert "account scanner: the grant is dead" in hook.alerts[0]["message"]
            found = await until(lambda: relay.service.troubles.find(TroubleKind.ALERT, "apprise 2"), 30)
            assert "does not know such a URL" in found.reason


NOW = 1e9
DEAD = Trouble(TroubleKind.ACCOUNT, "scanner", "the grant is dead", NOW - 5)
DOWN = Trouble(TroubleKind.API, "", "down", NOW - 5, person=False)
KEY = ("account", "scanner")


def planned(troubles, said=(), ended=(), **more):
    settings = {"now": NOW, "every": 12 * HOUR, "settled_at": NOW - HOUR, "way": "url"} | more
    return [(one.event, one.key, one.at) for one in plan(troubles, ended, dict(said), **settings)]


@pytest.mark.parametrize(
    ("troubles", "said", "more", "expected"),
    [
        ([DEAD], {}, {}, [(Event.BEGUN, KEY, NOW)]),
        # An outage is told of when it lasts; what else passes by itself is not.
        ([DOWN], {}, {}, [(Event.BEGUN, ("api", ""), NOW - 5 + 900)]),
        ([replace(DEAD, person=False)], {}, {}, []),
        # Once, then again when it is time, or never.
        ([DEAD], {KEY: Said(NOW - 60, DEAD.sort)}, {}, [(Event.AGAIN, KEY, NOW - 60 + 12 * HOUR)]),
        ([DEAD], {KEY: Said(NOW - 60, DEAD.sort)}, {"every": 0.0}, []),
        # Another reason is news, but no storm.
        ([DEAD], {KEY: Said(NOW - 60, "else")}, {}, [(Event.CHANGED, KEY, NOW - 60 + QUIET)]),
        # What comes back at once is told again after a while.
        ([DEAD], {KEY: Said(NOW - 60, "", over=True)}, {}, [(Event.BEGUN, KEY, NOW - 60 + QUIET)]),
        # Over: at once, or when all that still holds has been found again after a start.
        ([], {KEY: Said(NOW - 60, DEAD.sort)}, {"ended": {KEY}}, [(Event.OVER, KEY, NOW)]),
        (
            [],
            {KEY: Said(NOW - 60, DEAD.sort)},
            {"settled_at": NOW + SETTLED},
            [(Event.OVER, KEY, NOW + SETTLED)],
        ),
        ([], {KEY: Said(NOW - 60, "", over=True)}, {}, []),
        # Damage is news and no state: it is not over because a restart forgot it.
        ([], {("damage", "x"): Said(NOW - 60, "damaged")}, {}, []),
        # A clock that was set back tells at once rather than in a year.
        ([DEAD], {KEY: Said(NOW + 9 * HOUR, DEAD.sort)}, {}, [(Event.AGAIN, KEY, NOW)]),
        # A way does not tell of itself.
        ([Trouble(TroubleKind.ALERT, "url", "HTTP 500", NOW)], {}, {}, []),
    ],
)
def test_what_is_due(troubles, said, more, expected):
    assert planned(troubles, said, **more) == expected


def test_what_is_due_first_comes_first():
    first, second = plan([DOWN, DEAD], (), {}, now=NOW, every=0.0, settled_at=0.0, way="url")
    assert isinstance(first, Due)
    assert (first.trouble, second.trouble) == (DEAD, DOWN)


async def run_check(folder, *arguments, **sections):
    path = folder / "relay.toml"
    sections.setdefault(
        "works", {"api_url": "http://127.0.0.1:9/v1.0", "auth_url": "http://127.0.0.1:9/oauth2"}
    )
    account = {"name": "scanner", "address": "scanner@example.com", "default": True}
    path.write_text(to_toml({"state_dir": str(folder / "state"), "account": [account], **sections}))
    done = await command(path, "check", *arguments, "--json")
    return done.returncode, json.loads(done.stdout or "null"), done.stderr


async def test_check_sends_a_trial_by_every_way(tmp_path):
    """Whoever sets it up learns now, and not at three in the morning, what each way answers."""
    hook = Hook()
    async with serving(hook.app) as server:
        alert = {"url": f"{server.url}/{SECRET}", "command": ["/nonexistent/program"]}
        code, answers, errors = await run_check(tmp_path, "--alert", alert=alert)
    assert (code, [(one["way"], one["told"]) for one in answers]) == (69, [("url", True), ("command", False)])
    assert [one["event"] for one in hook.alerts] == ["trial"]
    assert SECRET not in errors + json.dumps(answers)
    assert (await run_check(tmp_path, "--alert"))[0] == 69


@pytest.mark.parametrize(
    ("sections", "level"),
    [
        ({}, "warning"),
        # Mail about the one account's grant would go by that grant.
        ({"delivery": {"notify": "admin@example.com"}}, "warning"),
        ({"delivery": {"notify": "admin@example.com", "fallback": "127.0.0.1:25"}}, "ok"),
        ({"alert": {"command": ["/bin/true"]}}, "ok"),
    ],
)
def test_check_warns_of_what_nobody_would_be_told(sections, level):
    account = {"name": "scanner", "address": "scanner@example.com"}
    config = build({"state_dir": "/tmp/none", "account": [account], **sections}, environ={})
    assert find_untold(config) == (["scanner"] if level == "warning" else [])
