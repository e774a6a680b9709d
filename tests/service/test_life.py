"""`relay serve` through its life: one of each state directory, reloaded, ended."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relay.config.model import Works
from relay.console.server import serving
from relay.sandbox import Sandbox
from relay.service.service import _lasting
from relay.works.auth.files import GrantFiles
from tests.support.command import command
from tests.support.relay import grant_of, relaying, tree, until
from tests.support.toml import to_toml


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
        GrantFiles(state).write("scanner", grant_of(sandbox, "scanner@example.com", time.time()))
        log = (tmp_path / "log").open("wb")
        process = subprocess.Popen(  # noqa: ASYNC220 - ended below
            [sys.executable, "-m", "relay", "serve", "--config", config], stderr=log
        )
        try:
            await until(lambda: find(tmp_path, "listening"))
            # In the midst of the start it ended the process.
            process.send_signal(signal.SIGHUP)
            await until(lambda: find(tmp_path, "serving") and find(tmp_path, "reloaded"))
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
    await until(lambda: len(find(tmp_path, "reloaded")) > 1)
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
        relay.keep_grant("erp", grant_of(relay.sandbox, "erp@example.com", relay.clock.now()))
        await relay.service.reload(config.model_copy(update={"account": (*config.account, new)}))
        await relay.put(sender="erp@example.com")
        assert relay.sandbox.messages[-1].account == "erp@example.com"


async def test_a_configuration_that_one_part_refuses_changes_no_part(tmp_path):
    """Listeners were asked apart from all others: there were two ways to hear of a new configuration."""

    @contextlib.contextmanager
    def refuse(_):
        raise ValueError("not this one")
        yield

    async with relaying(tmp_path / "state") as relay:
        config, addresses = relay.service.config, relay.service.server.addresses
        heard = []
        relay.service.current.subscribe(heard.append)
        relay.service.current.prepare(refuse)
        more = config.listener[0].model_copy(update={"address": "127.0.0.1:0"})
        changed = config.model_copy(update={"listener": (*config.listener, more)})
        with pytest.raises(ValueError, match="not this one"):
            await relay.service.reload(changed)
        assert relay.service.config is config
        assert relay.service.server.addresses == addresses
        assert heard == []
