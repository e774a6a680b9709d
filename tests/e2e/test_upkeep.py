"""What docs/upkeep.md says of backups: what a restored spool and restored grants are worth."""

import asyncio
import re
import shutil
import smtplib
import subprocess
from dataclasses import replace
from pathlib import Path

from relay.spool import State
from relay.works.auth.files import GrantFiles
from tests.support import warm
from tests.support.restartable_relay import NO_LIMITS, grant, relay

PAGE = (Path(__file__).parents[2] / "docs/upkeep.md").read_text(encoding="utf-8")
DAY = 86400.0


def submit(port, subject):
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        message = f"From: s@example.com\r\nTo: a@example.com\r\nSubject: {subject}\r\n\r\nx\r\n"
        client.ehlo("device.test")
        client.mail("s@example.com")
        client.rcpt("a@example.com")
        return client.data(message.encode())[1].decode()


async def send(one, subject):
    return await asyncio.to_thread(submit, one.port, subject)


def subjects(one):
    return [one.sandbox.request(message.id)["subject"] for message in one.sandbox.messages]


async def test_a_restored_backup_where_refresh_tokens_rotate(tmp_path):
    """What waited at the backup is not sent again; the dead grant bounces nothing; a consent mends it."""
    delivery = {"retry": ["1h*"]}  # what waits is tried again when the test says so
    async with relay(tmp_path, replace(NO_LIMITS, rotation=True), delivery=delivery) as one:
        one.sandbox.add_fault("503", times=0)
        assert "queued" in await send(one, "waits at the backup")
        await one.service.stop()
        state, backup = one.config.state_dir, tmp_path / "backup"
        shutil.copytree(state, backup, ignore=shutil.ignore_patterns("control.sock"))
        one.sandbox.faults.clear()
        one.sandbox.clock.move(2 * DAY)  # the access token is over: the next request refreshes
        await one.start()
        await one.service.verbs.queue_retry(every=True)
        await one.until(lambda: subjects(one) == ["waits at the backup"], 30)
        await one.service.stop()
        shutil.rmtree(state)
        shutil.copytree(backup, state)
        await one.start()
        await one.service.verbs.queue_hold(every=True)
        assert "queued" in await send(one, "after the restore")
        GrantFiles(state).write("scanner", grant(one.sandbox))
        await one.until(lambda: "after the restore" in subjects(one), 30)
        assert subjects(one) == ["waits at the backup", "after the restore"]
        assert (await one.service.spool.counts())[State.HELD] == 1


def read_commands(name, root):
    """A block of the page for a machine below `root`, without sudo and what wants a running systemd."""
    text = re.search(rf"^<!-- {name} -->\n```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[1]
    text = re.sub(r"(?<=[ =])/", f"{root}/", text)
    lines = [line.removeprefix("sudo ") for line in text.splitlines()]
    return [line for line in lines if line.split()[0] in ("tar", "chmod", "rm")]


def run(name, root):
    for line in read_commands(name, root):
        subprocess.run(line, shell=True, check=True, capture_output=True)


def test_the_commands_of_backup_and_restore(tmp_path):
    """What was there is there again, and the archive is nobody else's."""
    for folder in ("etc/relay", "var/lib/relay/grants", "root"):
        (tmp_path / folder).mkdir(parents=True)
    grants = tmp_path / "var/lib/relay/grants/scanner.json"
    grants.write_text("{}")
    grants.chmod(0o600)
    run("backup", tmp_path)
    assert (tmp_path / "root/relay.tar.gz").stat().st_mode & 0o077 == 0
    shutil.rmtree(tmp_path / "var")
    run("restore", tmp_path)
    assert grants.read_text() == "{}"
    assert grants.stat().st_mode & 0o777 == 0o600


def test_nothing_that_was_installed_stays(tmp_path):
    """`relay install` and the page know of the same files."""
    for folder in ("etc/relay", "opt/relay", "var/lib/relay"):
        (tmp_path / folder).mkdir(parents=True)
    account = 'name = "scanner"\naddress = "scanner@example.com"\ndefault = true'
    (tmp_path / "etc/relay/relay.toml").write_text(
        f'[works]\nclient_id = "x"\n[[account]]\n{account}\n[[listener]]\naddress = "127.0.0.1:25"\n'
    )
    command = [*warm.relay(), "install", "--root", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "etc/systemd/system/relay.service").exists()
    run("uninstall", tmp_path)
    assert [path for path in tmp_path.rglob("*") if "relay" in path.name] == []
