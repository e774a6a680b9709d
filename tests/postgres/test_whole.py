"""The whole relay on PostgreSQL: SMTP on one side, a simulated Works on the other."""

import asyncio
import json
import smtplib

import pytest

from relay.postgres.schema import NUMBER
from relay.spool import State
from tests.support import postgres, warm
from tests.support.cut import Cut
from tests.support.toml import to_toml
from tests.support.whole_relay import whole_relay

MESSAGE = "Subject: scan %d\r\n\r\nbody\r\n"


def send(address, number=1, size=0):
    with smtplib.SMTP(*address, timeout=30) as client:
        return client.sendmail("a@example.com", ["b@example.com"], MESSAGE % number + "x\r\n" * size)


@pytest.fixture
def spool(database):
    return {"url": postgres.server().url(database, "relay"), "key": postgres.KEY}


async def test_mail_goes_through_and_is_known_afterwards(tmp_path, spool, database):
    async with whole_relay(tmp_path / "state", spool=spool) as whole:
        await asyncio.to_thread(send, whole.smtp)
        await asyncio.to_thread(send, whole.smtp, 2, 200_000)
        assert [one.subject for one in whole.sandbox.messages] == ["scan 1", "scan 2"]
        counts = await whole.service.spool.counts()
        assert counts[State.RELAYED] == 2
    rows = postgres.server().sql("SELECT count(*) FROM relay.content", database)
    assert rows == [(0,)]
    assert [*(tmp_path / "state" / "spool" / "incoming").iterdir()] == []


async def test_no_reply_where_none_would_be_true_and_no_second_mail(tmp_path, database):
    """The database commits and is gone: 250 might be a lie, and 451 would make two mails of one."""
    folder = tmp_path / "cut"
    folder.mkdir()
    async with Cut(postgres.server(), folder) as cut:
        spool = {"url": cut.url(database), "key": postgres.KEY, "patience": "1s"}
        async with whole_relay(tmp_path / "state", spool=spool) as whole:
            cut.goes_away = True
            cut.arm("answer")
            with pytest.raises(smtplib.SMTPServerDisconnected):
                await asyncio.to_thread(send, whole.smtp)
            assert cut.done == 1
            cut.is_away = False
            async with asyncio.timeout(30):
                while not whole.service.spool.room().accepting:
                    await asyncio.sleep(0.05)
            await asyncio.to_thread(send, whole.smtp)
            assert [one.subject for one in whole.sandbox.messages] == ["scan 1"]
    assert postgres.server().sql("SELECT count(*) FROM relay.message", database) == [(1,)]


async def test_an_outage_of_the_database_is_heard_at_rcpt_and_over_by_itself(tmp_path, database):
    folder = tmp_path / "cut"
    folder.mkdir()
    async with (
        Cut(postgres.server(), folder) as cut,
        whole_relay(tmp_path / "state", spool={"url": cut.url(database), "key": postgres.KEY}) as whole,
    ):
        await asyncio.to_thread(send, whole.smtp)
        cut.go_away()
        async with asyncio.timeout(30):
            while whole.service.spool.room().accepting:
                await asyncio.sleep(0.05)
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            await asyncio.to_thread(send, whole.smtp, 2)
        assert refused.value.recipients["b@example.com"][0] == 451
        cut.is_away = False
        async with asyncio.timeout(30):
            while not whole.service.spool.room().accepting:
                await asyncio.sleep(0.05)
        await asyncio.to_thread(send, whole.smtp, 3)
        assert [one.subject for one in whole.sandbox.messages] == ["scan 1", "scan 3"]


async def run(*words):
    done = await asyncio.create_subprocess_exec(
        *warm.relay(),
        *map(str, words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(done.communicate(), 60)
    assert b"Traceback" not in errors, errors.decode()
    return done.returncode, output.decode(), errors.decode()


async def test_the_commands_make_the_tables_and_say_what_the_server_promises(tmp_path):
    """From an empty database to a relay that is ready, by what the documents say."""
    server = postgres.server()
    server.make()  # makes the role
    name = server.make_empty()
    path = tmp_path / "relay.toml"
    tree = {
        "state_dir": str(tmp_path / "state"),
        "spool": {"url": server.url(name, "relay"), "key": postgres.KEY},
    }
    path.write_text(to_toml(tree))

    async def check():
        _, output, _ = await run("check", "--json", "--config", path)
        found = {}
        for one in json.loads(output)["findings"]:
            found.setdefault(one["subject"], []).append(one)
        return found

    before = await check()
    assert "run `relay spool migrate`" in before["spool"][0]["text"]
    code, output, _ = await run("spool", "migrate", "--url", server.url(name), "--config", path)
    made = ", ".join(map(str, range(1, NUMBER + 1)))
    assert (code, output) == (0, f"made version {made} of the tables\n")
    after = await check()
    assert [(one["level"], one["text"]) for one in after["spool"]] == [("ok", "empty")]
    assert [one["level"] for one in after["database"]] == ["ok"]
    assert after["durability"][0]["level"] == "problem"  # the tests' server runs without fsync
    assert "fsync" in after["durability"][0]["text"]
    code, output, _ = await run("queue", "list", "--config", path)
    assert (code, output) == (0, "the queue is empty\n")


async def test_without_a_database_the_command_says_what_it_is_for(tmp_path):
    path = tmp_path / "relay.toml"
    path.write_text(to_toml({"state_dir": str(tmp_path / "state")}))
    code, _, errors = await run("spool", "migrate", "--config", path)
    assert code == 64
    assert "relay help cluster" in errors
