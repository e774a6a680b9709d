"""`relay setup` writes what can be used, and `relay test` says what became of one mail."""

import contextlib
import json
import os
import pty
import select
import shutil
import subprocess
import sys

import pytest

from relay.config.load import load
from tests.support import warm
from tests.support.command import command, run_relay
from tests.support.relay import relaying, tree, until
from tests.support.toml import to_toml

ANSWERS = {
    "--client-id": "8f1x",
    "--client-secret-file": "-",
    "--address": "fukugoki.1@tomo.co.jp",
    "--network": "192.168.7.0/24, 10.0.0.0/8",
    "--notify": "admin@tomo.co.jp",
}


def setup(path, answers, given="s3cret\n"):
    words = [word for pair in answers.items() for word in pair]
    return subprocess.run(
        [*warm.relay(), "setup", "--config", path, *words],
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_all_answers_by_options(tmp_path):
    path = tmp_path / "etc" / "relay.toml"
    done = setup(path, ANSWERS)
    assert done.returncode == 0, done.stderr
    assert "relay login fukugoki1 --paste" in done.stdout
    config = load(path, {}, learned=False)
    assert (config.account[0].name, config.account[0].address) == ("fukugoki1", "fukugoki.1@tomo.co.jp")
    assert (config.works.client_id, config.works.scope) == ("8f1x", "mail user.read")
    assert config.works.client_secret.get_secret_value() == "s3cret"
    networks = [str(one) for one in config.listener[0].networks]
    assert networks == ["127.0.0.0/8", "::1/128", "192.168.7.0/24", "10.0.0.0/8"]
    assert (config.listener[0].address, config.delivery.notify) == ("0.0.0.0:25", "admin@tomo.co.jp")
    assert (path.parent / "client_secret").stat().st_mode & 0o777 == 0o600
    assert "s3cret" not in path.read_text()
    again = setup(path, ANSWERS)
    assert again.returncode == 73
    assert "would be written over; say --force" in again.stderr
    assert setup(path, ANSWERS, "other\n").returncode == 73
    assert (path.parent / "client_secret").read_text() == "s3cret\n"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"--address": "nobody"}, "expected an address"),
        ({"--network": "8.8.8.0/24"}, "open relay"),
        ({"--network": "office"}, "expected a network"),
        ({"--client-id": ""}, "is empty"),
        ({"--listen": "25"}, "expected ADDRESS:PORT"),
        ({"--client-secret-file": "/nowhere"}, "cannot be read"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_answer_writes_nothing(tmp_path, wrong, said):
    done = setup(tmp_path / "relay.toml", ANSWERS | wrong)
    assert (done.returncode, said in done.stderr) == (64, True), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_a_terminal_nothing_is_asked(tmp_path):
    left_out = {key: value for key, value in ANSWERS.items() if key != "--address"}
    done = setup(tmp_path / "relay.toml", left_out)
    assert done.returncode == 64
    assert "--address is missing, and there is no terminal to ask at" in done.stderr
    assert list(tmp_path.iterdir()) == []


class Terminal:
    """A person's terminal: what the program shows there, and what is typed."""

    def __init__(self, *words):
        self._ours, theirs = pty.openpty()
        command = ["setsid", "--ctty", "--wait", sys.executable, "-m", "relay", *words]
        self._process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True)
        os.close(theirs)

    def answer(self, prompt, typed):
        seen = ""
        while not seen.endswith(prompt):
            assert select.select([self._ours], [], [], 60)[0], seen
            seen += os.read(self._ours, 4096).decode()
        os.write(self._ours, typed.encode())

    def end(self):
        """What is shown after the last answer, and the exit code."""
        seen = b""
        with contextlib.suppress(OSError):  # the other side is closed
            while more := os.read(self._ours, 4096):
                seen += more
        os.close(self._ours)
        return seen.decode(), self._process.wait(60)


@pytest.mark.skipif(not shutil.which("setsid"), reason="util-linux is not installed")
@pytest.mark.parametrize("ends", [False, True])
def test_a_person_answers(tmp_path, ends):
    """A wrong answer is asked for again; Ctrl-D in the middle writes nothing."""
    path = tmp_path / "relay.toml"
    terminal = Terminal("setup", "--config", str(path), "--network", "10.0.0.0/8")
    terminal.answer("ID of the app: ", "8f1x\n")
    terminal.answer("secret of the app: ", "s3cret\n")
    terminal.answer("that sends: ", "nobody\n")
    if ends:
        terminal.answer("that sends: ", "\x04")
        said, code = terminal.end()
        assert (code, "nothing was written" in said, path.exists()) == (130, True, False)
        return
    terminal.answer("that sends: ", "a@tomo.co.jp\n")
    terminal.answer("of trouble: ", "\n")
    said, code = terminal.end()
    assert (code, "is written" in said) == (0, True), said
    assert load(path, {}, learned=False).account[0].address == "a@tomo.co.jp"


async def test_a_test_mail_says_what_became_of_it(tmp_path):
    """There had to be an .eml, and whose mailbox it came from was told nowhere."""
    config = tmp_path / "relay.toml"
    config.write_text(to_toml(tree("http://127.0.0.1:1", tmp_path / "state")))
    async with relaying(tmp_path / "state", delivery={"wait": "30s"}) as relay:
        done = await command(config, "test", "me@example.net")
        assert done.returncode == 0, done.stderr
        (sent,) = [relay.sandbox.request(one.id) for one in relay.sandbox.messages]
        assert (sent["to"], sent["subject"].startswith("Test of the relay")) == ("me@example.net", True)
        assert "250 2.0.0 relayed, id=" in done.stdout
        assert "From  scanner@example.com\n" in done.stdout
        assert "into the inbox of me@example.net" in done.stdout
        assert f"relay trace {done.stdout.split('id=')[1].split()[0]}" in done.stdout
        relay.sandbox.add_fault("400", times=1)
        assert (await command(config, "test", "me@example.net")).returncode == 65
        relay.sandbox.add_fault("token-death", at="mail")
        await relay.send()
        await until(lambda: relay.service.standing.held)
        waits = await command(config, "test", "me@example.net")
        assert waits.returncode == 75
        assert "→ sudo relay login scanner" in waits.stdout
        answer = json.loads((await command(config, "test", "me@example.net", "--json")).stdout)
        assert (answer["verdict"], answer["account"]["name"]) == ("queued", "scanner")
        assert (await command(config, "test", "nobody")).returncode == 65
        assert (await command(config, "test", "me@example.net", "--account", "erp2")).returncode == 64


def test_a_test_without_an_account(tmp_path):
    (tmp_path / "relay.toml").write_text(f'state_dir = "{tmp_path}"')
    done = run_relay(tmp_path / "relay.toml", "test", "me@example.net")
    assert (done.returncode, "relay setup writes one" in done.stderr) == (78, True)
