"""`relay certificate`: what it writes is what a TLS client accepts."""

import contextlib
import json
import socket
import ssl
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from tests.support import warm


def run(*arguments, **environ):
    return subprocess.run(
        [*warm.relay(), "certificate", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={"PATH": "/usr/bin:/bin", **environ},
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    done = run("relay.example.com", "192.0.2.7", "2001:db8::7", "--out", folder, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def handshake(made, name):
    """A verified handshake with a server that uses the pair, as a client that trusts only it."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made["certificate_file"], made["private_key_file"])
    client = ssl.create_default_context(cafile=made["certificate_file"])
    here, there = socket.socketpair()
    answer = threading.Thread(target=lambda: server.wrap_socket(there, server_side=True).close())
    answer.start()
    try:
        with client.wrap_socket(here, server_hostname=name) as tls:
            return tls.getpeercert()
    finally:
        answer.join()


@pytest.mark.parametrize("name", ["relay.example.com", "192.0.2.7", "2001:db8::7"])
def test_a_client_that_trusts_it_accepts_it_by_every_name(made, name):
    assert handshake(made, name)["subject"] == ((("commonName", "relay.example.com"),),)


def test_it_is_not_accepted_by_another_name(made):
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made["certificate_file"], made["private_key_file"])
    client = ssl.create_default_context(cafile=made["certificate_file"])
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(inward, outward, server_hostname="other.example.com")
    other = server.wrap_bio(outward, inward, server_side=True)
    with pytest.raises(ssl.SSLCertVerificationError, match="ostname mismatch"):
        exchange(one, other)


def exchange(*sides):
    for _ in range(4):
        for side in sides:
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()


def test_both_files_are_for_their_owner_alone(made):
    for path in (made["certificate_file"], made["private_key_file"]):
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600


def test_it_says_what_to_put_into_the_configuration(tmp_path):
    """And it names the configuration's own host name and addresses when none is given."""
    config = tmp_path / "relay.toml"
    config.write_text(f"""
hostname = "mail.example.com"
state_dir = "{tmp_path}/state"
[[listener]]
address = "192.0.2.9:2525"
""")
    done = run("--config", config)
    assert done.returncode == 0, done.stderr
    assert "made for mail.example.com, 192.0.2.9\n" in done.stdout
    assert f'certificate_file = "{tmp_path}/state/relay-certificate.pem"' in done.stdout
    assert f'private_key_file = "{tmp_path}/state/relay-key.pem"' in done.stdout
    assert "PRIVATE KEY" not in done.stdout + done.stderr


def test_a_wildcard_listener_gets_the_addresses_of_the_machine(tmp_path):
    config = tmp_path / "relay.toml"
    config.write_text(
        f'hostname = "mail.example.com"\nstate_dir = "{tmp_path}"\n[[listener]]\naddress = "0.0.0.0:2525"\n'
    )
    done = run("--config", config, "--json")
    names = json.loads(done.stdout)["names"]
    assert names[0] == "mail.example.com"
    assert "0.0.0.0" not in names


def test_nothing_is_written_over_unless_asked(made, tmp_path):
    assert run("a.example.com", "--out", tmp_path).returncode == 0
    before = (tmp_path / "relay-key.pem").read_bytes()
    again = run("a.example.com", "--out", tmp_path)
    assert (again.returncode, (tmp_path / "relay-key.pem").read_bytes()) == (73, before)
    assert "--force" in again.stderr
    assert run("a.example.com", "--out", tmp_path, "--force").returncode == 0
    assert (tmp_path / "relay-key.pem").read_bytes() != before


@pytest.mark.parametrize("name", ["no spaces here", "a_b;c", "x" * 70, ""])
def test_what_is_no_name_is_refused_in_words(tmp_path, name):
    done = run(name, "--out", tmp_path)
    assert done.returncode == 64
    assert "neither a host name nor an IP address" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    done = run("a.example.com", "--out", tmp_path / "file" / "tls")
    assert done.returncode == 73
    assert "--out" in done.stderr
