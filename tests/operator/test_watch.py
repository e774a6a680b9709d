"""What nobody reports is looked for, and told as a trouble like others."""

import asyncio
import contextlib
import smtplib
import socket
import time
from dataclasses import dataclass, field, replace

import httpx2 as httpx
import pytest
from structlog.testing import capture_logs

from relay.cli import serve
from relay.config.load import ConfigError
from relay.conversion.pool import Converter
from relay.host import certificate
from relay.host.clock import Clock
from relay.operator.trouble import Troubles
from relay.operator.watch import Watch
from relay.outcome import TroubleKind
from relay.service.running import _reload
from relay.spool import SpoolError, State
from relay.stores import open_grants
from relay.works.auth.consent import confirm
from relay.works.auth.files import GrantFiles
from tests.support.relay import relaying, until
from tests.support.whole_relay import whole_relay


def look(relay):
    return relay.service.watches.watch.look()


async def test_a_source_over_its_limit_and_mail_that_waits_for_an_hour(tmp_path):
    """Each is one trouble, however often it is seen, and over when it is."""
    limits = {"messages_per_hour": 1}
    async with relaying(tmp_path / "state", limits=limits, delivery={"wait": "0s"}) as relay:
        relay.sandbox.add_fault("503", times=0)
        await relay.put()
        with pytest.raises(smtplib.SMTPDataError, match="450"):
            await relay.send()
        relay.clock.move(3700)
        await look(relay)
        await look(relay)
        found = {one.kind: one for one in relay.service.troubles.current}
        assert found[TroubleKind.OVER_LIMIT].name == "127.0.0.1"
        assert found[TroubleKind.WAITING_LONG].reason == "the oldest message has waited for more than an hour"
        relay.sandbox.faults.clear()

        async def is_over():
            await relay.service.verbs.queue_discard(every=True)  # what is just being tried, a moment later
            await look(relay)
            return relay.service.troubles.find(TroubleKind.WAITING_LONG) is None

        await until(is_over, 30)
        assert TroubleKind.WAITING_LONG in {one.kind for one in relay.service.troubles.ended}


async def until_held(relay, queue_id):
    async def is_held():
        with contextlib.suppress(SpoolError):  # it is just being tried
            await relay.service.spool.hold(queue_id)
        return (await relay.entry(queue_id)).state is State.HELD

    await until(is_held, 30)


async def test_a_messages_trouble_ends_with_the_message_and_when_it_was_told(tmp_path):
    """That a sender was not told stood there until a restart, also when the message was long gone."""
    troubles = (TroubleKind.NOT_TOLD, TroubleKind.MESSAGE_HELD)
    async with relaying(tmp_path / "state", delivery={"wait": "0s"}) as relay:
        relay.sandbox.add_fault("503", times=0)
        queue_id = await relay.put()
        registry = relay.service.troubles
        await until_held(relay, queue_id)
        registry.begin(TroubleKind.MESSAGE_HELD, queue_id, "it waits for a person")
        registry.begin(TroubleKind.NOT_TOLD, "1GONE", "it failed")
        await look(relay)
        assert [(one.kind, one.name) for one in registry.current if one.kind in troubles] == [
            (TroubleKind.MESSAGE_HELD, queue_id)
        ]
        await relay.service.spool.discard(queue_id)
        registry.begin(TroubleKind.MESSAGE_HELD, queue_id, "it waits for a person")
        await look(relay)
        assert registry.find(TroubleKind.MESSAGE_HELD, queue_id) is None


async def test_that_a_sender_was_not_told_is_over_when_the_operator_knows(tmp_path):
    """Nothing else ends it: the message stays failed for as long as failed mail is kept."""
    one_by_one = {"works": {"recipients_per_mail": 1}, "delivery": {"wait": "0s", "notify": ""}}
    async with relaying(tmp_path / "state", **one_by_one) as relay:
        relay.sandbox.add_fault("400", times=0)
        queue_id = await relay.put(sender="somebody@example.net")
        await relay.reach(queue_id, State.FAILED)
        registry = relay.service.troubles
        await until(lambda: registry.find(TroubleKind.NOT_TOLD, queue_id))
        await look(relay)
        assert registry.find(TroubleKind.NOT_TOLD, queue_id)
        registry.note_told(TroubleKind.NOT_TOLD, queue_id, "alert url")
        await look(relay)
        assert registry.find(TroubleKind.NOT_TOLD, queue_id)
        relay.clock.move(3700)
        await look(relay)
        assert registry.find(TroubleKind.NOT_TOLD, queue_id) is None


async def test_a_grant_that_nobody_verified_is_told_until_somebody_does(tmp_path):
    """Mail in the name of the wrong mailbox is worse than none, and nobody noticed."""
    async with relaying(tmp_path / "state") as relay:
        kept = GrantFiles(relay.service.config.state_dir)
        kept.write("scanner", replace(kept.read("scanner"), whose=""))
        await relay.notice_grants()
        await look(relay)
        assert relay.service.troubles.find(TroubleKind.UNVERIFIED, "scanner")
        await confirm(open_grants(relay.service.config).store, "scanner")
        await relay.notice_grants()
        await look(relay)
        assert relay.service.troubles.find(TroubleKind.UNVERIFIED, "scanner") is None


@dataclass
class Hands:
    """A wall clock that somebody sets."""

    set_by: float = 0.0
    state: object = field(default=None)

    def wall(self):
        return time.time() + self.set_by


async def test_a_clock_that_was_set_is_told_for_an_hour():
    hands, boot = Hands(), [0.0]
    troubles = Troubles(hands.wall)
    clock = Clock(lambda: 1e9 + boot[0] + hands.set_by, time.monotonic, lambda: boot[0])

    async def read():
        @dataclass
        class State:
            now: float = clock.wall()
            accounts: tuple = ()
            certificates: tuple = ()
            queue: None = None

        return State()

    watch = Watch(read, None, dict, troubles, clock)
    await watch.look()
    assert troubles.current == []
    hands.set_by = -7200.0
    with capture_logs() as logs:
        await watch.look()
    assert "set back by 7,200 seconds" in troubles.find(TroubleKind.CLOCK).reason
    assert [one["kind"] for one in logs] == ["clock"]
    boot[0] += 3600
    await watch.look()
    assert troubles.current == []


async def test_a_configuration_that_cannot_be_used_stays_visible(tmp_path):
    """It was a line in the log, and the next restart, a month later, found no relay."""

    def spoiled():
        raise ConfigError(["relay.toml, line 3: delivery.wait: expected a span of time"])

    async with whole_relay(tmp_path / "state") as relay:
        config = relay.service.config
        await _reload(relay.service, spoiled, asyncio.Lock())
        assert "line 3" in relay.service.troubles.find(TroubleKind.NOT_RELOADED).reason
        await _reload(relay.service, lambda: config, asyncio.Lock())
        assert relay.service.troubles.find(TroubleKind.NOT_RELOADED) is None

        # A fault of ours ended the task, and nobody knew that the reload had not been one.
        await _reload(relay.service, lambda: 1 / 0, asyncio.Lock())
        assert "a fault of the relay" in relay.service.troubles.find(TroubleKind.NOT_RELOADED).reason
        await _reload(relay.service, lambda: config, asyncio.Lock())
        assert relay.service.troubles.find(TroubleKind.NOT_RELOADED) is None


async def test_what_a_reload_cannot_change_is_told_until_a_restart(tmp_path):
    """A new client_secret was a warning in the log; the second reload took the new one for the one in use."""
    async with whole_relay(tmp_path / "state") as relay:
        service, old = relay.service, relay.service.config
        works = old.works.model_copy(update={"client_id": "another"})
        await service.reload(old.model_copy(update={"works": works}))
        for more in ({}, {"hostname": "other.test"}):
            await service.reload(service.config.model_copy(update=more))
            found = service.troubles.find(TroubleKind.RESTART)
            assert found.reason == "what changed in [works] holds from the next start on"
        await service.reload(old)
        assert service.troubles.find(TroubleKind.RESTART) is None


async def test_a_renewed_certificate_that_does_not_fit_is_told_until_one_does(tmp_path, monkeypatch):
    """It was a line in the log; what clients saw expired a month later. The console's is watched alike."""
    pair = [tmp_path / "c.pem", tmp_path / "k.pem"]
    certificate.write(certificate.make(["relay.test"], 90), *pair)
    files = dict(zip(("certificate_file", "private_key_file"), map(str, pair), strict=True))
    listener, console = {"address": "127.0.0.1:0", "tls": "starttls"}, {"address": "127.0.0.1:0"}
    sections = {"listener": [listener | files], "console": console | files}
    async with whole_relay(tmp_path / "state", **sections) as relay, serve._open_console(relay.service):
        service, newer = relay.service, certificate.make(["relay.test"], 200)
        pair[0].write_bytes(newer.certificate)
        await look(relay)
        found = [one for one in service.troubles.current if one.kind is TroubleKind.CERTIFICATE]
        address, port = service.server.addresses[0][:2]
        assert {one.name.partition(" ")[0] for one in found} == {f"{address}:{port}", "console"}
        for one in found:
            assert "the private key is not this certificate's" in one.reason
            assert one.deadline < time.time() + 91 * 86400  # of what clients see
        pair[1].write_bytes(newer.private_key)
        state = await service.read_state()  # which says so before the next look ends the trouble
        assert state.concerns == ()
        await look(relay)
        assert service.troubles.current == []
        assert {round((one.expires - time.time()) / 86400) for one in state.certificates} == {200}


async def test_a_converter_that_cannot_be_started_is_told():
    """Large mail waited, each for a reason of its own in the log, and nothing else said so."""
    told = []

    def begin():
        raise OSError(12, "Cannot allocate memory")

    converter = Converter(begin, told.append)
    converter.start()
    await until(lambda: told)
    assert "Cannot allocate memory" in told[0]
    await converter.stop()


async def test_a_console_whose_port_is_taken_keeps_nobodys_mail(tmp_path, monkeypatch):
    """It ended the relay, at the next start of the machine for instance; now it is tried again."""
    monkeypatch.setattr(serve, "_CONSOLE_AGAIN", 0.05)
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    async with whole_relay(tmp_path / "state", console={"address": f"127.0.0.1:{port}"}) as relay:
        troubles = relay.service.troubles
        async with serve._open_console(relay.service):
            assert "cannot listen" in troubles.find(TroubleKind.CONSOLE).reason
            taken.close()
            await until(lambda: troubles.find(TroubleKind.CONSOLE) is None, 30)
            async with httpx.AsyncClient(trust_env=False) as http:
                assert (await http.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200
