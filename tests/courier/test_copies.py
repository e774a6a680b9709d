"""An archive's copy of every message, and mail that goes elsewhere in place of its recipients."""

import asyncio
import json
from urllib.request import urlopen

import pytest
from click.testing import CliRunner

from relay.cli import group
from relay.config.load import build
from relay.console.app import build as build_console
from relay.console.server import serving
from relay.console.service import ServiceStatus
from relay.operator.check import check
from relay.operator.trouble import Health
from relay.outcome import TroubleKind
from relay.spool import State
from tests.support.relay import relaying, tree, until
from tests.support.toml import to_toml

ARCHIVE, TRIAL = "archive@example.com", "trial@example.com"


def requests(relay):
    return [relay.sandbox.request(one.id) for one in relay.sandbox.messages]


def everybody(request):
    fields = (request.get(name, "") for name in ("to", "cc", "bcc"))
    return {one for text in fields for one in text.split("; ") if one}


async def test_the_archive_gets_a_hidden_copy(tmp_path):
    async with relaying(tmp_path / "state", delivery={"always_bcc": [ARCHIVE]}) as relay:
        queue_id = await relay.put("a@example.net")
        (sent,) = requests(relay)
        assert (sent["to"], sent["bcc"]) == ("a@example.net", ARCHIVE)
        assert ARCHIVE not in sent["body"]
        assert (await relay.entry(queue_id)).relayed == {"a@example.net", ARCHIVE}


async def test_the_copies_are_no_secret_from_the_operator(tmp_path):
    async with relaying(tmp_path / "state", delivery={"always_bcc": [ARCHIVE]}) as relay:
        assert (await relay.service.read_state()).archive == (ARCHIVE,)
        app = build_console(ServiceStatus(relay.service), relay.service.config)
        async with serving(app) as console:
            page = await asyncio.to_thread(lambda: urlopen(console.url).read().decode())
    assert f"An unseen copy of every message goes to {ARCHIVE}." in page


async def test_hidden_recipients_and_the_archive_do_not_see_each_other(tmp_path):
    async with relaying(tmp_path / "state", delivery={"always_bcc": [ARCHIVE]}) as relay:
        await relay.put("a@example.net", content=b"Subject: x\r\n\r\nhello")
        (sent,) = requests(relay)
    assert (everybody(sent), sent["isSendSeparately"]) == ({"a@example.net", ARCHIVE}, True)


async def test_who_is_a_recipient_anyway_gets_one_copy(tmp_path):
    async with relaying(tmp_path / "state", delivery={"always_bcc": [ARCHIVE.upper()]}) as relay:
        await relay.put("a@example.net", ARCHIVE)
        (sent,) = requests(relay)
    assert [one.lower() for one in sorted(everybody(sent))] == ["a@example.net", ARCHIVE]


# One recipient a request, and each further request waits for the budget: a fault can come in between.
ONE_BY_ONE = {
    "works": {"recipients_per_mail": 1},
    "account": [
        {"name": "scanner", "address": "scanner@example.com", "default": True, "mails_per_minute": 2}
    ],
    "delivery": {"always_bcc": [ARCHIVE], "wait": "0s", "notify": "boss@example.com"},
}


async def put_half(relay, fault, *to):
    """Submit, and have the fault meet the second request."""
    queue_id = await relay.put(*to)
    await until(lambda: relay.sandbox.messages, 30)
    relay.sandbox.add_fault(fault)
    return queue_id


async def pass_until(relay, queue_id, state):
    async def over():
        relay.pass_time(31)
        return (await relay.entry(queue_id)).state is state

    await until(over, 30)


async def test_the_archive_gets_one_copy_of_a_message_that_takes_several_attempts(tmp_path):
    """Each request of it is recorded, the copy with it: what was sent is not sent again."""
    async with relaying(tmp_path / "state", **ONE_BY_ONE) as relay:
        queue_id = await put_half(relay, "429", "a@example.net", "b@example.net")
        await pass_until(relay, queue_id, State.RELAYED)
        assert sorted(one["to"] for one in requests(relay)) == ["a@example.net", ARCHIVE, "b@example.net"]


async def test_the_sender_hears_nothing_of_the_archive(tmp_path):
    """Its recipients have the message: a notice would tell of an address that nobody is shown."""
    async with relaying(tmp_path / "state", **ONE_BY_ONE) as relay:
        queue_id = await put_half(relay, "400", "a@example.net")
        await pass_until(relay, queue_id, State.FAILED)
        assert (await relay.entry(queue_id)).relayed == {"a@example.net"}
        await until(lambda: relay.service.troubles.find(TroubleKind.NOT_TOLD, queue_id))
        # The operator may have been told by now.
        assert {one["to"] for one in requests(relay)} - {"boss@example.com"} == {"a@example.net"}


async def test_redirected_mail_reaches_nobody_else(tmp_path):
    """To, Cc and Bcc alike; the body says who they were, and the message counts as relayed."""
    content = (
        b"From: scanner@example.com\r\nTo: a@example.net\r\nCc: c@example.net\r\nSubject: x\r\n\r\nhello"
    )
    delivery = {"redirect_all": [TRIAL], "always_bcc": [ARCHIVE]}
    async with relaying(tmp_path / "state", delivery=delivery) as relay:
        queue_id = await relay.put("a@example.net", "c@example.net", "b@example.net", content=content)
        (sent,) = requests(relay)
        assert everybody(sent) == {TRIAL}
        first, _, rest = sent["body"].partition("\n")
        assert first == "Redirected; its recipients were: a@example.net, c@example.net, b@example.net"
        assert rest.strip() == "hello"
        entry = await relay.entry(queue_id)
        assert entry.state is State.RELAYED
        assert entry.relayed == {"a@example.net", "b@example.net", "c@example.net"}


async def test_the_relays_own_notices_are_redirected_too(tmp_path):
    """The sender of a mail that is tried out may be a customer."""
    async with relaying(tmp_path / "state", delivery={"redirect_all": [TRIAL], "wait": "0s"}) as relay:
        relay.sandbox.add_fault("400", times=1)
        queue_id = await relay.put("a@example.net", sender="boss@example.com")
        await relay.reach(queue_id, State.FAILED)
        await until(lambda: relay.sandbox.messages, 30)
        (notice,) = requests(relay)
        assert everybody(notice) == {TRIAL}
        assert "boss@example.com" in notice["body"]


async def test_a_reload_ends_it(tmp_path):
    async with relaying(tmp_path / "state", delivery={"redirect_all": [TRIAL]}) as relay:
        state = await relay.service.read_state()
        found = {one.kind: one for one in state.concerns}["redirected"]
        assert (found.health, found.reason) == (
            Health.WARN,
            f"all mail goes to {TRIAL}, and none to its recipients",
        )
        config = relay.service.config
        delivery = config.delivery.model_copy(update={"redirect_all": ()})
        await relay.service.reload(config.model_copy(update={"delivery": delivery}))
        assert "redirected" not in [one.kind for one in (await relay.service.read_state()).concerns]
        await relay.put("a@example.net")
        assert [everybody(one) for one in requests(relay)] == [{"a@example.net"}]


@pytest.mark.parametrize(
    ("delivery", "subject", "level"),
    [
        ({"redirect_all": [TRIAL], "always_bcc": [ARCHIVE]}, "redirect_all", "warning"),
        ({"always_bcc": [ARCHIVE]}, "always_bcc", "ok"),
    ],
)
async def test_check_and_explain_say_who_gets_what(tmp_path, delivery, subject, level):
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    settings = tree("http://127.0.0.1:9", state, delivery=delivery)
    path = tmp_path / "relay.toml"
    path.write_text(to_toml(settings))
    found = {one.subject: one async for one in check(build(settings, {}))}
    address = delivery[subject][0]
    assert (found[subject].level, address in found[subject].text) == (level, True)
    (tmp_path / "a.eml").write_bytes(b"To: a@example.net\r\n\r\nhello")
    words = ["explain", "--json", "--config", str(path), str(tmp_path / "a.eml")]
    shown = json.loads(CliRunner().invoke(group, words).stdout)
    expected = {address} if subject == "redirect_all" else {"a@example.net", address}
    assert everybody(shown["request"]) == expected
