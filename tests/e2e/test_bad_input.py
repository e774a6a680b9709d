"""What an administrator gets wrong: one plain sentence with the remedy, no traceback, the right exit code."""

import os
import socket
import subprocess
import sys

import pytest
from test_login_in_a_browser import to_toml

ACCOUNT = {"name": "scanner", "address": "scanner@example.com", "default": True}


def relay(*arguments, timeout=20, **environment):
    return subprocess.run(
        [sys.executable, "-m", "relay", *map(str, arguments)],
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
        says(relay("serve", "--config", path), 69, address, "in use")


def test_a_state_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    path = write(tmp_path, state_dir=str(tmp_path / "file" / "state"))
    says(relay("serve", "--config", path), 73, "state_dir")


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
