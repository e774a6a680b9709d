"""`relay sendmail`, as cron, PHP and git call it."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from relay.cli.aliases import read_aliases, resolve
from tests.support import warm
from tests.support.ports import free_port

MESSAGE = b"From: scanner@example.com\nTo: a@example.com\nBcc: c@example.com\nSubject: cron\n\none\n.\ntwo\n"


@pytest.fixture
def aliases(tmp_path):
    path = tmp_path / "aliases"
    path.write_text("# whose mail it is\npostmaster: root\nroot: admin@example.com,\n  second@example.com\n")
    return path


@pytest.fixture
def link(tmp_path):
    """What /usr/sbin/sendmail is a link to; its name decides."""

    def make(name):
        path = tmp_path / name
        path.write_text(f"#!{sys.executable}\nfrom relay.cli import main\nmain()\n")
        path.chmod(0o755)
        return path

    return make


def surroundings(whole, **more):
    host, port = whole.smtp
    return {**os.environ, "RELAY_SENDMAIL_SERVER": f"{host}:{port}", **{k: str(v) for k, v in more.items()}}


async def run(environment, *arguments, stdin=b"", cwd=None):
    process = await asyncio.create_subprocess_exec(
        *map(str, arguments), env=environment, cwd=cwd,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(stdin), 60)
    return process.returncode, output.decode()


async def sendmail(whole, *arguments, stdin=MESSAGE):
    host, port = whole.smtp
    return await run(
        {**os.environ}, *warm.relay(), "sendmail", f"--server={host}:{port}", *arguments, stdin=stdin
    )


async def test_recipients_from_the_fields(whole):
    code, output = await sendmail(whole, "-t", "-oi", "-f", "root@example.com", "b@example.com")
    assert (code, output) == (0, "")
    request = whole.last()
    assert request["to"] == "a@example.com"
    assert sorted(request["bcc"].split("; ")) == ["b@example.com", "c@example.com"]
    assert request["body"].split() == ["one", ".", "two"]


async def test_a_lone_dot_ends_the_message_without_i(whole):
    code, output = await sendmail(whole, "-f", "root@example.com", "a@example.com")
    assert (code, output) == (0, "")
    assert whole.last()["body"].split() == ["one"]


async def test_cron(whole, link, aliases):
    """The call of Debian's cron, word for word: root is nobody's address, and it was refused for that."""
    message = b"From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@nas> backup\n\nno space left\n"
    environment = surroundings(whole, RELAY_SENDMAIL_ALIASES=aliases)
    arguments = ("-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root")
    assert await run(environment, link("sendmail"), *arguments, stdin=message) == (0, "")
    request = whole.last()
    assert {"admin@example.com", "second@example.com"} == set(request["to"].split("; "))
    assert request["body"].rstrip().endswith("no space left")


async def test_a_name_and_the_options_that_have_nothing_to_do(whole):
    options = ("-v", "-oem", "-odb", "-ODeliveryMode=b", "-OIgnoreDots=true", "-N", "never", "-q15m")
    code, output = await sendmail(
        whole, *options, "-F", '総務 "A"', "--", "a@example.com", stdin=b"Subject: x\n\n.\nx\n"
    )
    assert code == 0
    assert output.startswith("250 2.0.0 relayed, id=")
    assert whole.last()["userName"] == '総務 "A"'
    assert whole.last()["body"].split()[-2:] == [".", "x"]


async def test_nobodys_mail(whole):
    """A program that wants no bounce says so by -f; it became the caller's own address."""
    code, output = await sendmail(
        whole, "-f", "<>", "-F", "Backup", "a@example.com", stdin=b"Subject: x\n\nx\n"
    )
    assert (code, output) == (0, "")
    assert whole.last()["userName"] == "Backup"
    (entry,) = (await whole.service.verbs.queue_list(["relayed"], 1))["messages"]
    assert entry["reverse_path"] == ""


async def test_smtp_on_standard_input(whole):
    """-bs: the caller speaks it himself, as Alpine and nmh do."""
    dialogue = (
        b"EHLO here\r\nMAIL FROM:<scanner@example.com>\r\nRCPT TO:<a@example.com>\r\nDATA\r\n"
        b"Subject: by -bs\r\n\r\ntext\r\n.\r\nQUIT\r\n"
    )
    code, output = await sendmail(whole, "-bs", stdin=dialogue)
    assert code == 0
    assert output.startswith("220 ")
    assert "250 2.0.0 relayed, id=" in output
    assert output.rstrip().endswith("221 2.0.0 bye")
    assert whole.last()["subject"] == "by -bs"


async def test_what_a_package_calls_when_it_is_installed(whole, link):
    """newaliases has nothing to do here, and a queue that is to be run runs already."""
    assert await run(surroundings(whole), link("newaliases")) == (0, "")
    assert await sendmail(whole, "-q", stdin=b"") == (0, "")
    assert whole.sandbox.messages == []


async def test_mailq_shows_the_queue(whole, link, tmp_path):
    """What `relay queue list` says, beside the running relay."""
    config = tmp_path / "relay.toml"
    config.write_text(
        f'state_dir = "{whole.service.config.state_dir}"\n[works]\nclient_id = "x"\nclient_secret = "y"\n'
        '[[account]]\nname = "scanner"\naddress = "scanner@example.com"\ndefault = true\n'
    )
    code, output = await run(surroundings(whole, RELAY_CONFIG=config), link("mailq"))
    assert (code, output.strip()) == (0, "the queue is empty")


async def test_an_address_in_utf_8(whole):
    """It was a failure of Python's codec, and temporary, so that cron tried it for ever."""
    code, output = await sendmail(whole, "-i", "山田@example.com")
    assert code == 0, output
    assert whole.last()["to"] == "山田@example.com"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("-i",), 64, "no recipient"),
        (("-bd",), 64, "-bd"),
        (("-i", "a@b;c@d"), 65, "501 5.1.3"),
        (("-i", "--aliases=/nowhere", "root"), 67, "Write a line `root: name@example.com` into /nowhere"),
        (("-i", "-oeq", "--aliases=/nowhere", "root"), 67, ""),
    ],
)
async def test_what_cannot_be_sent_says_why(whole, arguments, code, words):
    got, output = await sendmail(whole, *arguments)
    assert got == code, output
    assert words in output if words else output == ""
    assert "Traceback" not in output


@pytest.mark.parametrize("mode", ["-i", "-bs"])
async def test_no_relay_is_a_temporary_failure(mode):
    where = f"--server=127.0.0.1:{free_port()}"
    code, output = await run(
        {**os.environ}, *warm.relay(), "sendmail", where, mode, "a@example.com", stdin=MESSAGE
    )
    assert code == 75
    assert "is the relay running?" in output
    assert ("421 4.3.2" in output) == (mode == "-bs")


def test_aliases(aliases):
    """As other mailers read them: names in any case, lines that go on, aliases of aliases, no commands."""
    aliases.write_text(
        aliases.read_text()
        + 'nobody: /dev/null, |"/bin/cat"\n"odd name": x@example.com # a note\ncircle: circle\n'
    )
    known = read_aliases(aliases)
    both = ["admin@example.com", "second@example.com"]
    assert resolve("Postmaster", known) == both
    assert resolve("odd name", known) == ["x@example.com"]
    assert resolve("a@example.com", known) == ["a@example.com"]
    assert [resolve(name, known) for name in ("nobody", "circle", "stranger")] == [[], [], []]
    assert resolve("stranger", {**known, "default": ["root"]}) == both


def needs(program, package):
    reason = f"NOT TESTED: install Debian's {package} to run this client against the relay"
    return pytest.mark.skipif(shutil.which(program) is None, reason=reason)


@needs("php", "php-cli")
async def test_php(whole, link):
    """mail() of PHP with its usual sendmail_path, "-t -i" and the parameters that programs add."""
    script = (
        "exit(mail('a@example.com', '報告', \"one\\n.\\ntwo\", ['From' => 'shop@example.com'],"
        " '-fshop@example.com') ? 0 : 1);"
    )
    path = f"{link('sendmail')} -t -i"
    code, output = await run(surroundings(whole), "php", "-n", "-d", f"sendmail_path={path}", "-r", script)
    assert (code, output) == (0, "")
    request = whole.last()
    assert (request["to"], request["subject"]) == ("a@example.com", "報告")
    assert request["body"].split()[-3:] == ["one", ".", "two"]


def has_send_email():
    if not shutil.which("git"):
        return False
    done = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip(), "git-send-email").exists()


@pytest.mark.skipif(
    not has_send_email(), reason="NOT TESTED: install Debian's git-email to run this client against the relay"
)
async def test_git_send_email(whole, link, tmp_path):
    """With a program as its server, as it finds /usr/sbin/sendmail by itself."""
    patch = tmp_path / "0001-x.patch"
    patch.write_text(
        "From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\n"
        "From: A <scanner@example.com>\nDate: Sun, 29 Nov 2026 10:00:00 +0900\nSubject: [PATCH] x\n\n.\n---\n"
    )
    environment = surroundings(whole, HOME=tmp_path, GIT_CONFIG_NOSYSTEM=1)
    options = (
        f"--smtp-server={link('sendmail')}",
        "--from=scanner@example.com",
        "--confirm=never",
        "--quiet",
    )
    code, output = await run(
        environment, "git", "send-email", *options, "--to=a@example.com", patch, cwd=tmp_path
    )
    assert code == 0, output
    assert whole.last()["subject"] == "[PATCH] x"
