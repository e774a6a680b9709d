"""Commands beside a running relay."""

import json

import pytest
import structlog

from relay.spool import State
from tests.support.command import command
from tests.support.relay import relaying, tree, until
from tests.support.toml import to_toml


@pytest.mark.parametrize(("grants", "why"), [([], "nobody has consented"), (None, "no longer valid")])
async def test_an_account_in_trouble_says_the_whole_command_that_helps(tmp_path, grants, why):
    """`relay login` alone asks which account; known before any message, or found out by one."""
    with structlog.testing.capture_logs() as lines:
        listed = await find_trouble(tmp_path, grants)
    for text in (listed, str(lines)):
        assert why in text
        assert "run: sudo relay login scanner" in text
        assert text.count("run: sudo relay login") == text.count("run: sudo relay login scanner")


async def find_trouble(tmp_path, grants):
    async with relaying(tmp_path / "state", grants=grants, delivery={"wait": "0s"}) as relay:
        relay.sandbox.add_fault("token-death", at="mail")
        await relay.put()
        await until(lambda: relay.service.standing.held)
        config = tmp_path / "relay.toml"
        config.write_text(to_toml(tree("http://127.0.0.1:1", tmp_path / "state")))
        return (await command(config, "queue", "list")).stdout


async def test_the_verbs_work_beside_a_running_relay(tmp_path):
    async with relaying(tmp_path / "state", delivery={"wait": "0s"}) as relay:
        config = tmp_path / "relay.toml"
        config.write_text(to_toml(tree("http://127.0.0.1:1", tmp_path / "state")))
        relay.sandbox.add_fault("503", times=0)
        ids = [await relay.put(subject=str(number)) for number in range(3)]
        await relay.reach(ids[0], State.DELAYED)
        listed = json.loads((await command(config, "queue", "list", "--json")).stdout)
        assert sorted(one["queue_id"] for one in listed["messages"]) == sorted(ids)
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


async def refuse(relay, subject):
    """A message that had its 250 and failed afterwards."""
    queue_id = await relay.put(subject=subject)
    await relay.reach(queue_id, State.FAILED)
    return queue_id


async def test_retry_all_leaves_alone_what_failed_unless_it_is_asked_for(tmp_path):
    """After an outage all that failed in the last month went out again, to people who had it otherwise."""
    async with relaying(tmp_path / "state", delivery={"wait": "0s"}) as relay:
        config = tmp_path / "relay.toml"
        config.write_text(to_toml(tree("http://127.0.0.1:1", tmp_path / "state")))
        relay.sandbox.add_fault("400", times=1)
        failed = await refuse(relay, "failed")
        held = await relay.put(subject="held")
        await relay.reach(held, State.RELAYED)
        relay.sandbox.add_fault("503", times=0)
        waits = await relay.put(subject="waits")
        await relay.reach(waits, State.DELAYED)
        relay.sandbox.faults.clear()
        done = await command(config, "queue", "retry", "--all")
        assert done.stdout == f"{waits} queued again\n"
        assert "left alone: 1 that failed; --state failed sends them again" in done.stderr
        await relay.reach(waits, State.RELAYED)
        assert (await relay.entry(failed)).state is State.FAILED
        told = json.loads((await command(config, "queue", "retry", "--account", "scanner", "--json")).stdout)
        assert (told["done"], told["left_failed"]) == ([], 1)
        assert (await command(config, "queue", "retry", "--all", "--state", "failed")).returncode == 0
        await relay.reach(failed, State.RELAYED)


async def test_what_may_have_been_taken_is_sent_again_only_when_a_person_says_so(tmp_path):
    """Nobody knows whether Works took it: a second mail is the operator's decision, not a command's."""
    async with relaying(tmp_path / "state", delivery={"wait": "0s", "on_unknown": "hold"}) as relay:
        config = tmp_path / "relay.toml"
        config.write_text(to_toml(tree("http://127.0.0.1:1", tmp_path / "state")))
        relay.sandbox.add_fault("500", times=1)
        queue_id = await relay.put()
        await relay.reach(queue_id, State.HELD)
        ways = [
            ("retry", "--all"),
            ("retry", queue_id),
            ("release", "--account", "scanner"),
            ("release", queue_id),
        ]
        for words in ways:  # standard input is at its end: nobody says yes
            asked = await command(config, "queue", *words)
            assert queue_id in asked.stderr
            assert "left alone: 1 that may have been taken" in asked.stderr
            assert (await relay.entry(queue_id)).state is State.HELD
        told = json.loads((await command(config, "queue", "retry", queue_id, "--json")).stdout)
        assert (told["done"], told["left_unknown"]) == ([], [queue_id])
        relay.sandbox.add_fault("500", times=1)
        done = await command(config, "queue", "release", "--all", "--unknown")
        assert done.stdout == f"{queue_id} queued again\n"
        await until(lambda: has_unknowns(relay, queue_id, 2))
        relay.sandbox.add_fault("400", times=1)
        done = await command(config, "queue", "retry", queue_id, queue_id, "--unknown")
        assert done.stdout == f"{queue_id} queued again\n"
        await relay.reach(queue_id, State.FAILED)  # which says nothing of the first two
        asked = await command(config, "queue", "retry", "--all", "--state", "failed", "--json")
        assert json.loads(asked.stdout)["left_unknown"] == [queue_id]
        await command(config, "queue", "retry", queue_id, "--unknown")
        await relay.reach(queue_id, State.RELAYED)


async def has_unknowns(relay, queue_id, number):
    entry = await relay.entry(queue_id)
    return entry.unknowns == number and entry.state is State.HELD
