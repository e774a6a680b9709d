"""Learning: unknown devices are let in for a while, their mail is held, and nobody opens a relay by it."""

import asyncio
import smtplib
import tomllib

import pytest

from relay.config.load import build
from relay.devices.learning import Admission, Learning, LearningRefused
from relay.operator import calling
from relay.outcome import Hold
from relay.spool import State
from tests.support.doctor import client_context, running

NOT_US = {"networks": ["192.168.1.0/24"]}
LOGIN = {"auth": "required", "auth_without_tls": True}


async def ask(service, verb, **arguments):
    return await calling.call(service.config.state_dir / "control.sock", verb, **arguments)


def send(port, count=1):
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        for _ in range(count):
            client.mail("scan@device.example")
            client.rcpt("b@example.com")
            code, text = client.data("From: scan@device.example\r\n\r\nx")
            yield code, text.decode()


async def is_refused(service):
    """Whether a stranger comes no further than MAIL."""

    def knock():
        try:
            with smtplib.SMTP("127.0.0.1", service.server.addresses[0][1], timeout=10) as client:
                return client.mail("scan@device.example")[0] == 530
        except smtplib.SMTPConnectError as error:
            return error.smtp_code == 554

    return await asyncio.to_thread(knock)


async def send_off_loop(service, count=1):
    return await asyncio.to_thread(lambda: list(send(service.server.addresses[0][1], count)))


@pytest.mark.parametrize("listener", [NOT_US, LOGIN, {**NOT_US, **LOGIN}])
async def test_an_unknown_device_from_first_knock_to_adoption(tmp_path, listener):
    """Refused; learned, and its mail held; adopted, and its mail goes; from then on like any other."""
    async with running(tmp_path, listener) as service:
        assert await is_refused(service)
        await ask(service, "learn", network="127.0.0.0/8", seconds=60)
        ((code, text),) = await send_off_loop(service)
        assert (code, text.partition(",")[0]) == (250, "2.0.0 held until this device is adopted")
        (entry,) = await service.spool.list([State.HELD], 10)
        assert entry.hold is Hold.DEVICE
        (device,) = (await ask(service, "learning"))["waiting"]
        assert (device["address"], device["reverse_path"]) == ("127.0.0.1", "scan@device.example")

        answer = await ask(service, "learn_adopt", address="127.0.0.1")
        assert answer["released"] == [entry.queue_id]
        assert await service.spool.list([State.HELD], 10) == []
        await ask(service, "learn_stop")
        ((code, text),) = await send_off_loop(service)
        assert (code, text.partition(",")[0]) == (250, "2.0.0 queued")

        adopted = tomllib.loads((tmp_path / "learned.toml").read_text())["device"]
        assert [(d["address"], d["listener"]) for d in adopted] == [
            ("127.0.0.1", service.config.listener[0].address)
        ]
        if "auth" not in listener:
            await ask(service, "learn_forget", address="127.0.0.1")
            assert await is_refused(service)
            with pytest.raises(calling.Refused, match="was not adopted here"):
                await ask(service, "learn_forget", address="127.0.0.1")


@pytest.mark.parametrize("verb", ["queue_release", "queue_retry"])
@pytest.mark.parametrize("which", [{"every": True}, {"account": "scanner"}])
async def test_letting_everything_go_trusts_no_unknown_device(tmp_path, verb, which):
    """`relay queue release --all` after an outage must not adopt whoever knocked meanwhile."""
    async with running(tmp_path, NOT_US) as service:
        await ask(service, "learn", network="127.0.0.1/32", seconds=60)
        await send_off_loop(service)
        (entry,) = await service.spool.list([State.HELD], 10)
        assert (await ask(service, verb, **which))["done"] == []
        assert (await service.spool.show(entry.queue_id)).state is State.HELD
        assert (await ask(service, verb, **which, unknown_devices=True))["done"] == [entry.queue_id]


@pytest.mark.parametrize("verb", ["queue_release", "queue_retry"])
async def test_mail_of_an_unknown_device_goes_when_it_is_named(tmp_path, verb):
    async with running(tmp_path, NOT_US) as service:
        await ask(service, "learn", network="127.0.0.1/32", seconds=60)
        await send_off_loop(service)
        (entry,) = await service.spool.list([State.HELD], 10)
        assert (await ask(service, verb, queue_ids=[entry.queue_id]))["done"] == [entry.queue_id]


async def test_nothing_of_a_learned_device_is_sent(tmp_path):
    """Neither by the courier nor after a restart: held stays held until a person decides."""
    async with running(tmp_path, NOT_US) as service:
        await ask(service, "learn", network="127.0.0.1/32", seconds=60)
        await send_off_loop(service)
        assert await service.spool.claim(["scanner"], 2e9) is None
    async with running(tmp_path, NOT_US) as service:
        assert await service.spool.claim(["scanner"], 2e9) is None
        assert (await ask(service, "learning"))["windows"] == []
        assert len((await ask(service, "learning"))["waiting"]) == 1
        await ask(service, "learn_refuse", address="127.0.0.1")
        assert (await ask(service, "learning"))["waiting"] == []


async def test_a_learned_device_cannot_fill_the_spool(tmp_path):
    async with running(tmp_path, NOT_US) as service:
        await ask(service, "learn", network="127.0.0.1/32", seconds=60)
        for _ in range(20):
            ((code, _text),) = await send_off_loop(service)
            assert code == 250

        def knock():
            with smtplib.SMTP("127.0.0.1", service.server.addresses[0][1], timeout=10) as client:
                return client.mail("scan@device.example")

        code, text = await asyncio.to_thread(knock)
        assert (code, text[:5]) == (450, b"4.7.1")


@pytest.mark.parametrize(
    "network", ["0.0.0.0/0", "8.8.8.0/24", "::/0", "2a00::/16", "::ffff:0:0/96", "::ffff:192.168.1.0/120"]
)
def test_a_public_network_is_never_learned(network):
    with pytest.raises(LearningRefused, match="is public"):
        Learning().open(network, 60)


@pytest.mark.parametrize("seconds", [0, -1, 24 * 3600 + 1])
def test_a_window_closes(seconds):
    with pytest.raises(LearningRefused, match="24h"):
        Learning().open("192.168.1.0/24", seconds)


def test_the_window_is_over_when_its_time_is():
    now = [1000.0]
    learning = Learning(lambda: now[0])
    config = build({"listener": [{"address": "127.0.0.1:2525"}]}, {})
    learning.open("192.168.1.0/24", 60)
    judge = lambda: learning.judge(config, config.listener[0], "192.168.1.7")  # noqa: E731
    assert judge() is Admission.LEARNED
    now[0] += 61
    assert judge() is Admission.STRANGER


def test_mapped_addresses_are_their_ipv4_selves():
    learning = Learning()
    config = build({"listener": [{"address": "127.0.0.1:2525", "networks": ["192.168.1.0/24"]}]}, {})
    assert learning.judge(config, config.listener[0], "::ffff:192.168.1.7") is Admission.KNOWN
    assert learning.judge(config, config.listener[0], "::ffff:8.8.8.8") is Admission.STRANGER
    assert learning.judge(config, config.listener[0], "nonsense") is Admission.STRANGER


@pytest.mark.parametrize("address", ["8.8.8.8", "2a00::1", "192.168.1.0/24", "printer"])
def test_only_a_private_address_is_a_device(tmp_path, address):
    from relay.config.load import ConfigError

    with pytest.raises(ConfigError, match=r"\[\[device\]\] no\. 1, address: expected"):
        build({"device": [{"address": address}]}, {})


async def test_a_login_is_still_asked_of_those_that_are_not_learned(tmp_path, certificate):
    """Also over TLS, and also while another network is being learned."""
    listener = {"tls": "starttls", "auth": "required", **certificate}
    async with running(tmp_path, listener) as service:
        await ask(service, "learn", network="192.168.1.0/24", seconds=60)

        def knock():
            with smtplib.SMTP("127.0.0.1", service.server.addresses[0][1]) as client:
                client.starttls(context=client_context())
                client.ehlo()
                return client.mail("a@example.com")

        assert (await asyncio.to_thread(knock))[0] == 530
