"""Every remedy that is printed is carried out here, as it is printed, on the trouble that it is printed for.

A text of the relay with a command that no case has carried out makes the first test red: a new remedy needs a
case. The relay, its control socket and the simulated Works are real; what the machine must not be told is
recorded (`tests.support.shell`). Left out is `pip install` of an extra, which would fetch it.
"""

import asyncio
import json
import os
import re
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from relay.cli.help import find_pages
from relay.config.load import load
from relay.host import certificate
from relay.host.clock import Clock
from relay.operator.remedies import find_remedy
from relay.outcome import Trouble, TroubleKind
from relay.service import Service
from relay.service.running import _reload
from relay.spool import State
from relay.works.auth.files import GrantFiles
from tests.cli import test_install, test_sandbox, test_setup
from tests.cli.test_login import click, ended, follow
from tests.cli.test_remedies import COMMANDS, DATA, ROOT, SOURCES, calls, parses, texts
from tests.postgres import test_move, test_schema
from tests.service import test_life
from tests.support.ports import free_port
from tests.support.relay import Relay, relaying, tree, until
from tests.support.shell import REAL, STAND_INS, Shell, shape
from tests.support.toml import to_toml

TWO = [
    {"name": "scanner", "address": "scanner@example.com", "default": True},
    {"name": "erp", "address": "erp@example.com"},
]
_LINE = re.compile(rf"(?:sudo )?\b(?:relay (?:{COMMANDS})\b|(?:{'|'.join(STAND_INS | REAL)})\b)[^,;()→`\n]*")
# What a test elsewhere carries out, because it needs what is not here.
ELSEWHERE = {
    "relay install": test_install.test_it_installs_once_and_changes_nothing_again,
    "relay setup": test_setup.test_a_person_answers,
    "relay serve": test_life.test_sighup_takes_what_is_right_and_refuses_what_is_wrong,
    "relay sandbox": test_sandbox.test_each_mail_has_one_line_for_people,
    "relay spool migrate": test_schema.test_tables_are_made_once,
    "relay spool move": test_move.test_everything_goes_there_in_its_order,
}
# Names of commands in a sentence, and the shape that carries them out.
MENTIONED = {
    "relay login": "relay login X",
    "relay trace": "relay trace X",
    "relay queue": "relay queue list",
    "relay learn X": "relay learn",  # "relay learn shows …"
    "relay doctor --json X": "relay doctor --json",
}


@dataclass
class House:
    """A relay, its relay.toml, and its administrator's terminal."""

    relay: Relay
    shell: Shell
    parts: dict = field(default_factory=dict)  # of relay.toml

    def write(self, **parts):
        self.parts |= parts
        self.shell.config.write_text(to_toml(self.parts))

    async def concern(self, kind, name=""):
        """The trouble, as `relay status` shows it, once it is there."""

        async def find():
            await self.relay.service.watches.watch.look()
            state = await self.relay.service.read_state()
            return next((one for one in state.concerns if (one.kind, one.name) == (kind, name)), None)

        return await until(find)

    async def over(self, kind, name=""):
        async def is_over():
            await self.relay.service.watches.watch.look()
            return self.relay.service.troubles.find(kind, name) is None

        await until(is_over)

    async def remedy(self, kind, name="", given="", code=0):
        """Carry out what is printed for this trouble, every command of it; the outputs."""
        concern = await self.concern(kind, name)
        lines = commands(concern.remedy)
        assert lines, concern
        return [await self.shell.type(line, given, code) for line in lines]

    async def log_in(self, line, address="scanner@example.com"):
        """Carry out a login as it is printed; a person agrees."""
        words = line.removeprefix("sudo ").split()
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *words),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env={**os.environ, "RELAY_CONFIG": str(self.shell.config), "DISPLAY": ""},
        )
        location = await click((await process.stdout.readline()).decode().strip(), login_id=address)
        if "--paste" in words:
            process.stdin.write(location.encode() + b"\n")
        else:
            assert (await follow(location)).status_code == 200
        code, _, said = await ended(process)
        assert code == 0, said
        self.shell.ran.add(shape(words))
        await self.relay.notice_grants(words[2])

    async def held(self, number=2, account="scanner"):
        """Send until the account's mail waits for a person."""
        ids = [await self.relay.put(sender=f"{account}@example.com") for _ in range(number)]
        await until(lambda: account in self.relay.service.standing.held)
        return ids


def is_ours(line):
    return line.removeprefix("sudo ").startswith("relay ")


def commands(text):
    """The command lines in a text, without the sentence that goes on behind them."""
    for line in _LINE.findall(text.replace("&&", ",")):
        words = line.split()
        if not is_ours(line):
            yield line.strip()
            continue
        start = words.index("relay") + 1
        end = next((n for n in range(len(words), start, -1) if parses(words[start:n])), None)
        if end is not None:
            yield " ".join(words[:end])


def find_printed():
    """The shape of every command that a text of the relay prints, and where."""
    found = {}
    for path, call in calls():
        if path.startswith("relay/") and path not in DATA:
            for line in commands(f"relay {call}"):
                found.setdefault(shape(line.split()), path)
    for path in SOURCES:
        for text in texts(path):
            if text in STAND_INS:
                continue  # the program's name, for running it
            for line in commands(text):
                if not is_ours(line):
                    found.setdefault(shape(line.removeprefix("sudo ").split()), path.relative_to(ROOT))
    return found


@asynccontextmanager
async def house(folder, settings=None, grants=None, **sections):
    state = folder / "state"
    sections = {"account": TWO, "delivery": {"wait": "0s", "on_unknown": "hold"}, **sections}
    port = free_port()
    works = sections.pop("works", {}) | {"redirect_url": f"http://localhost:{port}/callback"}
    async with relaying(state, settings, grants=grants, works=works, **sections) as relay:
        shell = Shell(folder / "relay.toml")
        one = House(relay, shell)
        url = relay.service.config.works.api_url.removesuffix("/v1.0")
        one.write(**tree(url, state, works=works, **sections))

        async def systemctl(verb):
            if verb == "reload":
                await _reload(relay.service, lambda: load(shell.config, {}), asyncio.Lock())
            elif verb == "restart":
                await relay.service.stop()
                relay.service = Service(load(shell.config, {}), clock=Clock.of(relay.clock.now))
                await relay.service.start()

        shell.on_systemctl = systemctl
        first = relay.service
        try:
            yield one
        finally:
            if relay.service is not first:
                await relay.service.stop()


async def accounts(folder):
    """An account's mail waits: each cause has its remedy, and its mail goes when that is done."""
    async with house(folder, grants=["erp"]) as one:
        relay, shell = one.relay, one.shell
        waits = await one.held(1)
        concern = await one.concern(TroubleKind.ACCOUNT, "scanner")
        (line,) = commands(concern.remedy)
        await one.log_in(line)
        await one.over(TroubleKind.ACCOUNT, "scanner")
        await relay.reach(waits[0], State.RELAYED)

        relay.sandbox.add_fault("token-death", account="scanner@example.com")
        waits = await one.held(1)
        await one.log_in("sudo relay login scanner --paste")
        await relay.reach(waits[0], State.RELAYED)

        for fault, more, number in (
            ("403", {}, 2),
            ("wrong-content-type", {"status": 403}, 6),
            ("404", {}, 1),
            ("quota", {}, 1),
        ):
            relay.sandbox.add_fault(fault, times=0, account="scanner@example.com", **more)
            waits = await one.held(number)
            for name in ("accounts", "queue list --state held", "status"):
                assert "scanner" in (await shell.type(f"sudo relay {name}", code=None)).out
            relay.sandbox.faults.clear()
            await one.remedy(TroubleKind.ACCOUNT, "scanner", code=None)
            if fault == "quota":  # it passes by itself
                await shell.type("sudo relay queue release --account scanner")
            relay.pass_time(120)  # what was refused as its own, before the account was in trouble
            for queue_id in waits:
                await relay.reach(queue_id, State.RELAYED)
            await one.over(TroubleKind.ACCOUNT, "scanner")

        # It leaves relay.toml while its mail waits, and nobody wants that any more.
        relay.sandbox.add_fault("503", times=0, account="erp@example.com")
        left = await relay.put(sender="erp@example.com")
        await relay.reach(left, State.DELAYED)
        one.write(account=TWO[:1])
        await shell.type("sudo systemctl reload relay")
        await one.remedy(TroubleKind.ACCOUNT, "erp", given="y\n")
        await one.over(TroubleKind.ACCOUNT, "erp")
        assert (await relay.entry(left)).state is State.DISCARDED
        return shell.ran


async def grants(folder):
    """A grant of which nobody knows whose it is, one that dies soon, and an app that Works refuses."""
    async with house(folder) as one:
        relay, shell = one.relay, one.shell
        kept = await until(lambda: relay.service.authorizer.grant("scanner"))
        relay.keep_grant("scanner", replace(kept, whose=""))
        await relay.notice_grants()
        await one.remedy(TroubleKind.UNVERIFIED, "scanner")
        await relay.notice_grants()
        await one.over(TroubleKind.UNVERIFIED, "scanner")

        relay.keep_grant("scanner", replace(kept, refresh_issued_at=relay.clock.now() - 80 * 86400))
        await relay.notice_grants()
        concern = await one.concern(TroubleKind.GRANT_EXPIRES, "scanner")
        (line,) = commands(concern.remedy)
        await one.log_in(line)
        await one.over(TroubleKind.GRANT_EXPIRES, "scanner")

        # The secret is another one from the next start on, and the grant needs it then.
        right = one.parts["works"]
        one.write(works=right | {"client_secret": "not this one"})
        await shell.type("sudo systemctl reload relay")
        await one.remedy(TroubleKind.RESTART)
        kept = GrantFiles(folder / "state").read("scanner")
        relay.keep_grant("scanner", replace(kept, expires_at=relay.clock.now()))
        await relay.notice_grants()
        waits = await one.held(1)
        concern = await one.concern(TroubleKind.ACCOUNT, "scanner")
        assert "client_secret" in concern.reason
        one.write(works=right)
        await one.remedy(TroubleKind.ACCOUNT, "scanner")
        await relay.reach(waits[0], State.RELAYED)
        return shell.ran


async def messages(folder):
    """Messages that wait for a person, or that failed; and those of a source that sends too many."""
    limits = {"messages_per_hour": 5}
    async with house(folder, limits=limits, works={"recipients_per_mail": 1}) as one:
        relay, shell = one.relay, one.shell

        async def hold():
            relay.sandbox.add_fault("500", times=1)
            queue_id = await relay.put()
            await relay.reach(queue_id, State.HELD)
            return queue_id

        queue_id = await hold()
        await one.remedy(TroubleKind.MESSAGE_HELD, queue_id, given="y\n")
        await relay.reach(queue_id, State.RELAYED)
        await one.over(TroubleKind.MESSAGE_HELD, queue_id)
        # As the mail to the operator says it.
        queue_id = await hold()
        await shell.type(f"sudo relay queue retry {queue_id}", given="y\n")
        await relay.reach(queue_id, State.RELAYED)
        queue_id = await hold()
        await shell.type(f"sudo relay queue discard {queue_id}", given="y\n")
        await one.over(TroubleKind.MESSAGE_HELD, queue_id)

        relay.sandbox.add_fault("400", times=0)
        queue_id = await relay.put(sender="somebody@example.net")
        await relay.reach(queue_id, State.FAILED)
        (told,) = await one.remedy(TroubleKind.NOT_TOLD, queue_id)
        assert "malformed" in told.out
        assert queue_id in (await shell.type("sudo relay queue list --state failed")).out
        relay.sandbox.faults.clear()
        await shell.type(f"sudo relay queue retry {queue_id}")
        await one.over(TroubleKind.NOT_TOLD, queue_id)

        await relay.put()
        with pytest.raises(Exception, match="450"):
            await relay.send()
        (told,) = await one.remedy(TroubleKind.OVER_LIMIT, "127.0.0.1")
        assert "has sent all the messages that it may in an hour" in told.out

        relay.sandbox.add_fault("503", times=0)
        one.write(limits={})
        await shell.type("sudo systemctl reload relay")
        queue_id = await relay.put()
        await relay.reach(queue_id, State.DELAYED)
        relay.clock.move(3700)
        (told,) = await one.remedy(TroubleKind.WAITING_LONG)
        assert queue_id in told.out
        return shell.ran


async def machine(folder):
    """What is wrong with relay.toml, with certificates, and with the machine."""
    (folder / "state").mkdir()
    pair = folder / "state" / "relay-certificate.pem", folder / "state" / "relay-key.pem"
    certificate.write(certificate.make(["relay.test"], 3), *pair)
    files = dict(zip(("certificate_file", "private_key_file"), map(str, pair), strict=True))
    lost = folder / "state" / "spool" / "content" / "1LOST"
    lost.parent.mkdir(parents=True)
    lost.write_bytes(b"somebody's mail")
    os.utime(lost, (1e9, 1e9))
    listener = {"address": "127.0.0.1:0", "tls": "starttls", **files}
    alert = {"command": [str(folder / "tell")]}
    async with house(folder, listener=[listener], alert=alert) as one:
        relay, shell = one.relay, one.shell
        place = (await relay.service.read_state()).certificates[0].place
        await one.concern(TroubleKind.CERTIFICATE, place)
        await shell.type("sudo relay certificate --force")
        await one.over(TroubleKind.CERTIFICATE, place)
        assert (await shell.type("sudo relay certificate --force relay.example.com")).out.startswith(
            "made for"
        )
        pair[0].unlink()
        pair[1].unlink()
        await shell.type("sudo relay certificate relay.example.com")
        pair[0].unlink()
        pair[1].unlink()
        await shell.type("sudo relay certificate")

        # The program is missing until somebody puts it there.
        told = await one.concern(TroubleKind.ALERT, "command")
        (folder / "tell").write_text("#!/bin/sh\ncat > /dev/null\n")
        await shell.type(f"chmod 700 {folder / 'tell'}")
        (line,) = commands(told.remedy)
        assert "ended with 0" in (await shell.type(line)).out

        await one.remedy(TroubleKind.DAMAGE, "1LOST")
        shell.config.write_text("[delivery]\nwait = soon\n")
        await shell.type("sudo systemctl reload relay")
        concern = await one.concern(TroubleKind.NOT_RELOADED)
        look, again = commands(concern.remedy)
        assert "line" in (await shell.type(look, code=78)).err or True
        one.write()
        await shell.type(again)
        await one.over(TroubleKind.NOT_RELOADED)

        one.write(delivery={"redirect_all": ["me@example.com"]})
        await shell.type("sudo systemctl reload relay")
        concern = await one.concern(TroubleKind.REDIRECTED)
        one.write(delivery={})
        for line in commands(concern.remedy):
            await shell.type(line)
        assert not (await relay.service.read_state()).listeners[0].remarks
        assert all(one.kind != TroubleKind.REDIRECTED for one in (await relay.service.read_state()).concerns)
        return shell.ran


async def devices(folder):
    """A device that nobody let in, and one that cannot log in."""
    listener = {"address": "127.0.0.1:0", "networks": ["10.0.0.0/8"]}
    async with house(folder, listener=[listener]) as one:
        relay, shell = one.relay, one.shell
        with pytest.raises(Exception, match="554"):
            await relay.send()
        said = (await shell.type("relay doctor 127.0.0.1")).out
        (line,) = commands(said)
        await shell.type(f"{line}")
        queue_id = await relay.put()
        assert "127.0.0.1" in (await shell.type("relay learn")).out
        line, *_ = commands((await shell.type("relay doctor 127.0.0.1")).out)
        await shell.type(line)
        await relay.reach(queue_id, State.RELAYED)
        await shell.type("relay learn --stop")
        assert json.loads((await shell.type("relay doctor --json")).out)["clients"]
        assert (await shell.type("relay passwd", given="s3cret\n")).out.startswith("$argon2id$")
        assert queue_id in (await shell.type("relay trace --to a@example.net")).out
        return shell.ran


async def looking(folder):
    """What only tells, and what the system is told."""
    async with house(folder, delivery={}) as one:
        relay, shell = one.relay, one.shell
        assert "relayed" in (await shell.type("relay test me@example.com")).out
        await shell.type(f"relay trace {(await relay.service.spool.list((State.RELAYED,), 1))[0].queue_id}")
        await shell.type("relay help")
        for topic in find_pages():
            await shell.type(f"relay help {topic}")
        message = folder / "a.eml"
        message.write_text("From: scanner@example.com\nTo: a@example.net\nSubject: x\n\ny\n")
        await shell.type(f"relay send {message}")
        secret = folder / "secret"
        secret.write_text("x")
        secret.chmod(0o666)
        for line in (
            f"chmod go-w {secret}",
            f"chmod o-r {secret}",
            f"chgrp relay {secret} && chmod 640 {secret}",
            f"chmod 600 {secret}",
        ):
            await shell.type(line)
        assert secret.stat().st_mode & 0o777 == 0o600
        both = "relay.socket relay.service"
        await shell.type(f"sudo systemctl enable --now {both}")
        await shell.type(f"systemctl enable {both} && systemctl stop {both} && systemctl start {both}")
        await shell.type("systemctl edit")
        await relay.service.stop()
        for line in [*commands((await shell.type("relay status", code=69)).out)][:2]:
            await shell.type(line)  # the relay does not run
        await shell.type("sudo systemctl restart relay")
        for kind in TroubleKind:  # what is for the machine alone: timedatectl, journalctl
            for line in commands(find_remedy(Trouble(kind, "", "", 0.0))):
                if not is_ours(line) and "systemctl" not in line:
                    await shell.type(line)
        return shell.ran


CASES = (accounts, grants, messages, machine, devices, looking)
# What each has carried out; a run of one case alone does not ask for the others'.
RAN = {}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_remedies_help(tmp_path, case):
    RAN[case] = await case(tmp_path)


def test_every_command_that_is_printed_was_carried_out():
    """By a case above, or by the test that ELSEWHERE names: a remedy that nobody has tried does not help."""
    if len(RAN) < len(CASES):
        pytest.skip("not every case was run")
    carried_out = set().union(*RAN.values(), ELSEWHERE)
    missing = {
        one: str(where) for one, where in find_printed().items() if MENTIONED.get(one, one) not in carried_out
    }
    assert missing == {}
