"""What an administrator gets wrong: one plain sentence with the remedy, no traceback, the right exit code."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support import warm
from tests.support.other_user import ANOTHER, SOMEBODY, run_relay
from tests.support.toml import to_toml

ACCOUNT = {"name": "scanner", "address": "scanner@example.com", "default": True}


def relay(*arguments, timeout=60, **environment):
    return subprocess.run(
        [*warm.relay(), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **environment},
    )


def write(tmp_path, **sections):
    state = tmp_path / "state"
    state.mkdir(exist_ok=True)
    works = {"client_id": "sandbox", "client_secret": "s3cr3t-value", "api_url": "http://127.0.0.1:9/v1.0"}
    works["auth_url"] = "http://127.0.0.1:9/oauth2/v2.0"
    tree = {
        "state_dir": str(state),
        "works": works,
        "console": {"address": ""},
        "account": [ACCOUNT],
        "listener": [{"address": "127.0.0.1:0"}],
        **sections,
    }
    path = tmp_path / "relay.toml"
    path.write_text(to_toml(tree))
    return path


def says(done, code, *words):
    text = done.stdout + done.stderr
    assert done.returncode == code, text
    assert "Traceback" not in text
    assert "s3cr3t-value" not in text
    for word in words:
        assert word in text


@pytest.mark.parametrize("command", ["serve", "check", "accounts", "queue list"])
def test_a_wrong_configuration_names_every_problem(tmp_path, command):
    path = write(tmp_path, delivery={"wait": "soon", "retries": "1m"})
    done = relay(*command.split(), "--config", path)
    says(done, 78, "delivery.wait: expected a duration", "'soon'", "delivery.retries: no such key")


def test_no_configuration_at_all(tmp_path):
    says(relay("serve", "--config", tmp_path / "none.toml"), 78, "cannot be read", "--config")


def test_an_open_relay_refuses_to_start(tmp_path):
    path = write(tmp_path, listener=[{"address": "127.0.0.1:0", "networks": "0.0.0.0/0"}])
    says(relay("serve", "--config", path), 78, "open relay", 'auth = "required"')


def test_a_port_in_use(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        path = write(tmp_path, listener=[{"address": address}])
        says(relay("serve", "--config", path), 69, address, "in use", "choose another address")


def test_an_address_of_another_machine(tmp_path):
    """The sentence says what is wrong with it."""
    path = write(tmp_path, listener=[{"address": "192.0.2.1:2525"}])
    says(relay("serve", "--config", path), 69, "192.0.2.1:2525", "this machine does not have the address")


def test_a_state_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    path = write(tmp_path, state_dir=str(tmp_path / "file" / "state"))
    says(relay("serve", "--config", path), 73, "state_dir", "Not a directory", "name another state_dir")


@pytest.mark.parametrize("words", [["send", "MESSAGE"], ["sandbox", "--once", "--state-dir", "STATE"]])
def test_a_state_directory_that_the_relay_makes_is_its_own(tmp_path, words):
    """It holds tokens and mail, and had the mode that the umask gives to folders on the way."""
    state, message = tmp_path / "on the way" / "state", tmp_path / "message.eml"
    message.write_bytes(b"To: a@example.com\nSubject: x\n\nhello\n")
    given = [{"MESSAGE": str(message), "STATE": str(state)}.get(word, word) for word in words]
    given += ["--config", str(write(tmp_path, state_dir=str(state)))] if words[0] == "send" else []
    start = [*warm.relay(), *given]
    subprocess.run(start, umask=0o022, capture_output=True, timeout=30, check=True)
    assert state.stat().st_mode & 0o777 == 0o700
    assert state.parent.stat().st_mode & 0o777 == 0o755


def test_check_says_that_nobody_consented_and_what_cannot_be_reached(tmp_path):
    done = relay("check", "--config", write(tmp_path))
    says(done, 69, "nobody has consented", "relay login scanner", "127.0.0.1:9", "cannot be relayed")


def test_an_unknown_command_and_an_unknown_option():
    says(relay("frobnicate"), 64, "No such command")
    says(relay("serve", "--frobnicate"), 64, "No such option")


def test_queue_without_a_spool(tmp_path):
    says(relay("queue", "list", "--config", write(tmp_path)), 65, "relay serve")


def test_login_for_an_account_that_is_not_there(tmp_path):
    done = relay("login", "printer", "--config", write(tmp_path))
    assert done.returncode in (64, 65, 78)
    says(done, done.returncode, "printer", "scanner")


def test_sandbox_on_a_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        says(relay("sandbox", "--smtp-port", port, "--http-port", "0"), 69, str(port), "--smtp-port")
        done = relay("sandbox", "--smtp-port", "0", "--http-port", port)
        assert done.returncode in (69, 73)
        says(done, done.returncode, str(port), "--http-port")


def test_a_secret_of_the_environment_goes_before_a_file_that_is_missing(tmp_path):
    """relay.toml names the file; who sets the variable instead got a traceback from `relay check`."""
    works = {"client_id": "sandbox", "client_secret_file": "/nonexistent/client_secret"}
    path = write(tmp_path, works={**works, "api_url": "http://127.0.0.1:9", "auth_url": "http://127.0.0.1:9"})
    done = relay("check", "--config", path, RELAY_WORKS__CLIENT_SECRET="s3cr3t-value")
    says(done, 69, "secret present", "127.0.0.1:9: Connection refused")


@pytest.mark.parametrize("words", [["check"], ["login", "scanner", "--paste"]], ids=lambda words: words[0])
@pytest.mark.parametrize("key", ["api_url", "auth_url", "redirect_url"])
def test_a_url_with_a_port_that_is_none(tmp_path, words, key):
    """It was a traceback of whichever command came to use it first."""
    works = {"client_id": "sandbox", "client_secret": "s3cr3t-value", key: "http://127.0.0.1:99999/v1.0"}
    says(relay(*words, "--config", write(tmp_path, works=works)), 78, f"works.{key}: expected a URL", "65535")


@pytest.mark.parametrize("option", ["--smtp-port", "--http-port"])
@pytest.mark.parametrize("port", ["70000", "-1", "x"])
def test_a_port_that_is_none(option, port):
    """A number too large was a traceback."""
    says(relay("sandbox", option, port), 64, option)


@pytest.mark.parametrize("pasted", [b"\xff\xfe\x00\n", b"\x1b[2Jcode\n", b"\n", b""])
def test_garbage_that_is_pasted_is_no_consent(tmp_path, pasted):
    """Octets that are no UTF-8 went on to the token request, and ended in a traceback."""
    done = subprocess.run(
        [*warm.relay(), "login", "scanner", "--paste", "--config", write(tmp_path)],
        input=pasted,
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 69, done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stdout.count(b"\n") == 1


@pytest.mark.parametrize("command", ["send", "explain"])
@pytest.mark.parametrize("address", ["a@example.com;b@example.com", "root", "a b@example.com", ""])
def test_an_address_that_no_listener_would_take(tmp_path, command, address):
    """The API splits at a semicolon: one recipient became two, one of whom nobody had named."""
    message = tmp_path / "message.eml"
    message.write_bytes(b"From: scanner@example.com\nSubject: x\n\nhello\n")
    done = relay(command, message, "--rcpt", address, "--config", write(tmp_path))
    says(done, 65, "5.1.3")


@pytest.mark.parametrize("address", ["bad@@x y", "a@example.com;b@example.com", "a\r\nb@example.com"])
def test_a_sender_that_no_listener_would_take(tmp_path, address):
    """It was queued as it stood, and would have been what a notice of failure goes to."""
    message = tmp_path / "message.eml"
    message.write_bytes(b"To: a@example.com\nSubject: x\n\nhello\n")
    says(relay("send", message, "--from", address, "--config", write(tmp_path)), 65, "5.1.7", repr(address))


@pytest.mark.parametrize(("address", "kept"), [("root", "root@relay.test"), ("", "")])
def test_a_sender_that_a_listener_would_take(tmp_path, address, kept):
    """As by SMTP: a name alone is one of this machine, and none at all is the null path."""
    message = tmp_path / "message.eml"
    message.write_bytes(b"To: a@example.com\nSubject: x\n\nhello\n")
    path = write(tmp_path, hostname="relay.test")
    says(relay("send", message, "--from", address, "--config", path), 0, "queued")
    (listed,) = json.loads(relay("queue", "list", "--json", "--config", path).stdout)["messages"]
    assert listed["reverse_path"] == kept


def test_an_address_of_the_fields_that_no_listener_would_take(tmp_path):
    """`relay send` reads them as the envelope, so they are held to the same grammar."""
    message = tmp_path / "message.eml"
    message.write_bytes(b'To: "a;evil@example.net;b"@example.com\nSubject: x\n\nhello\n')
    says(relay("send", message, "--config", write(tmp_path)), 65, "evil@example.net", "5.1.")


def test_a_message_that_is_not_there(tmp_path):
    """EX_NOINPUT of sysexits, by both commands that read files."""
    path = write(tmp_path)
    for command in ("send", "explain"):
        says(relay(command, tmp_path / "none.eml", "--config", path), 66, "No such file")


@pytest.mark.parametrize("words", [["queue", "list"], ["send", "MESSAGE"], ["check"]])
def test_a_relay_whose_control_socket_is_gone(tmp_path, words):
    """The spool is taken and nobody answers: the remedy is a restart, not another state_dir."""
    from relay.spool.sqlite.engine import SqliteSpool

    async def hold_and_run():
        path = write(tmp_path)
        (tmp_path / "state").chmod(0o700)
        message = tmp_path / "message.eml"
        message.write_bytes(b"To: a@example.com\nSubject: x\n\nhello\n")
        spool = SqliteSpool(tmp_path / "state" / "spool")
        await spool.open()
        try:
            given = [str(message) if word == "MESSAGE" else word for word in words]
            return await asyncio.to_thread(relay, *given, "--config", path)
        finally:
            await spool.close()

    says(asyncio.run(hold_and_run()), 69, "another relay is using", "control.sock", "restart it")


# Root without the right to go where it has no permission.
_NO_RIGHTS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root can run as somebody else")


@needs_root
@pytest.mark.parametrize(
    ("words", "code"),
    [(["queue", "list"], 77), (["send", "MESSAGE"], 77), (["certificate"], 73), (["accounts"], 0)],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_somebody_else_than_the_relays_user(public_path, words, code):
    """They hear whose command it is, not that something is wrong with the message or the grant."""
    path, state = write(public_path), public_path / "state"
    message = public_path / "message.eml"
    message.write_bytes(b"To: a@example.com\nSubject: x\n\nhello\n")
    given = [message if word == "MESSAGE" else word for word in words]
    os.chown(state, SOMEBODY, SOMEBODY)
    state.chmod(0o700)
    done = run_relay(*given, "--config", path, user=ANOTHER)
    says(done, code, "ermission denied")
    assert code == 73 or "the relay's own user" in done.stdout + done.stderr


@needs_root
@pytest.mark.parametrize(
    ("words", "spool", "code"),
    [
        (["serve"], None, 73),
        (["serve"], 0o777, 73),
        (["send", "MESSAGE"], None, 73),
        (["queue", "list"], 0o755, 73),
        (["check"], None, 69),
        (["check"], 0o755, 69),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_state_directory_that_cannot_be_written(public_path, words, spool, code):
    """Only `relay check` knew the remedy; where the spool alone can be written there was a traceback."""
    path, state, message = write(public_path), public_path / "state", public_path / "message.eml"
    message.write_bytes(b"To: a@example.com\nSubject: x\n\nhello\n")
    if spool:
        (state / "spool").mkdir()
        if words != ["serve"]:
            (state / "spool" / "spool.db").write_bytes(b"")
        (state / "spool").chmod(spool)
    for one in (state, *state.rglob("*")):
        os.chown(one, SOMEBODY, SOMEBODY)
    given = [message if word == "MESSAGE" else word for word in words]
    done = run_relay(*given, "--config", path, user=ANOTHER)
    says(done, code, "; run this as" if code == 73 else "→ run this as")
    says(done, code, "the relay's own user, `chown` the directory to it, or name another state_dir")


@needs_root
def test_a_key_that_root_can_read_and_the_service_cannot(public_path):
    """`sudo relay check` called ready what then did not start."""
    key, crt = public_path / "relay-key.pem", public_path / "relay-certificate.pem"
    relay("certificate", "localhost", "--out", public_path)
    listener = {"address": "127.0.0.1:0", "tls": "implicit", "private_key_file": str(key)}
    path = write(public_path, listener=[listener | {"certificate_file": str(crt)}])
    for one in (public_path / "state", crt):
        os.chown(one, SOMEBODY, SOMEBODY)
    done = run_relay("check", "--config", path)
    says(done, 69, f"private_key_file {key} cannot be opened: Permission denied", "relay help systemd")
    os.chown(key, SOMEBODY, SOMEBODY)
    done = run_relay("check", "--config", path)
    says(done, 69, "tls implicit")
    assert "private_key_file" not in done.stdout


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root, and setpriv of util-linux"
)
def test_a_key_that_the_relay_cannot_read(tmp_path):
    """The refusal called it the certificate, without its path, and said nothing of whose it has to be."""
    key, crt = tmp_path / "relay-key.pem", tmp_path / "relay-certificate.pem"
    relay("certificate", "localhost", "--out", tmp_path)
    key.chmod(0o000)
    listener = {"address": "127.0.0.1:0", "tls": "implicit", "private_key_file": str(key)}
    path = write(tmp_path, listener=[listener | {"certificate_file": str(crt)}])
    done = subprocess.run(
        [*_NO_RIGHTS, sys.executable, "-m", "relay", "serve", "--config", str(path)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    says(
        done, 69, f"private_key_file {key} cannot be opened: Permission denied", "; let the relay's user read"
    )


@pytest.fixture
def public_path():
    """A folder that every user may look into; pytest's own are the caller's alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_check_says_that_the_disk_has_too_little_room(tmp_path):
    """With less than keep_free every message gets 452, and `relay check` called that ready."""
    path = write(tmp_path, spool={"keep_free": "8000000GB"})
    says(relay("check", "--config", path), 69, "less than [spool] keep_free", "make room")


@pytest.mark.parametrize(
    ("words", "code"),
    [(["serve"], 73), (["check"], 69), (["queue", "list"], 65), (["send", "MESSAGE"], 73), (["doctor"], 69)],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_state_directory_that_is_a_file(tmp_path, words, code):
    """Commands that look for the socket in it ended in a traceback."""
    message = tmp_path / "message.eml"
    message.write_bytes(b"To: a@example.com\nSubject: x\n\nhello\n")
    path = write(tmp_path, state_dir=str(message))
    says(relay(*[str(message) if word == "MESSAGE" else word for word in words], "--config", path), code)


def test_a_sandbox_in_a_folder_of_a_relative_or_a_long_name(tmp_path):
    """The one works, the other says so."""
    once = [*warm.relay(), "sandbox", "--once", "--state-dir"]
    done = subprocess.run([*once, "here"], cwd=tmp_path, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0
    assert (tmp_path / "here" / "spool").is_dir()
    says(relay("sandbox", "--once", "--state-dir", tmp_path / ("x" * 100)), 73, "--state-dir")


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (["sandbox", "--once", "--api-only"], "give one of them"),
        (["queue", "list", "--limit", "-1"], "--limit"),
        (["sendmail", "--server", "nonsense", "a@example.com"], "HOST:PORT"),
        (["sendmail", "--server", "127.0.0.1:x", "a@example.com"], "HOST:PORT"),
    ],
)
def test_options_that_say_nothing(words, word):
    """They waited for ever, or told what Python's `int` thinks."""
    says(relay(*words), 64, word)
