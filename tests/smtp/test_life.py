"""Listeners through their life: started, reloaded, renewed, stopped; on both event loops."""

import asyncio
import base64
import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from relay.host import certificate
from relay.smtp.server import ListenError, tls_context
from tests.support.smtp import LOOPBACK, PASSWORD, Client, House, listeners, settings, users

LOOPS = pytest.mark.parametrize(
    "loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"]
)
PLAIN = {"address": "127.0.0.1:0", "networks": LOOPBACK}


@LOOPS
def test_stopping_ends_everything_within_ten_seconds(tmp_path, loop):
    """Idle clients hear 421; half-open TLS, a client that reads nothing and one within DATA delay nothing.

    On Python 3.12 and later asyncio's own `wait_closed` would wait for the idle client for ever.
    """
    with House(tmp_path, loop=loop) as house:
        idle = [house.connect(kind) for kind in ("open", "starttls", "login")]
        for client in idle:
            client.greet()
        secure = house.connect("implicit")
        secure.start_tls()
        secure.greet()
        half_open = house.connect("implicit")
        half_open.send(b"\x16\x03\x01")
        silent, deaf = house.connect("implicit"), house.connect("open")
        deaf.send(b"HELP\r\n" * 20)
        receiving = house.connect("open")
        receiving.greet()
        receiving.ask("MAIL FROM:<scanner@example.com>")
        receiving.ask("RCPT TO:<a@example.net>")
        receiving.ask("DATA")
        receiving.send(b"Subject: never ends\r\n\r\n")
        began = time.monotonic()
    assert time.monotonic() - began < 12
    for client in (*idle, secure, receiving):
        assert client.reply().startswith("421 4.3.2")
        assert client.is_closed()
        client.close()
    for client in (half_open, silent, deaf):
        assert client.is_closed()
        client.close()
    with pytest.raises(OSError):  # noqa: PT011 - refused
        house.connect("open")
    assert "Traceback" not in house.log.getvalue()


@LOOPS
def test_a_message_under_way_when_it_stops_gets_its_reply(tmp_path, loop):
    with House(tmp_path, loop=loop, kinds={"open": PLAIN}) as house:
        client = house.connect()
        client.greet()
        client.ask("MAIL FROM:<scanner@example.com>")
        client.ask("RCPT TO:<a@example.net>")
        client.ask("DATA")
        client.send(b"Subject: x\r\n\r\n")
        finishing = threading.Timer(1.0, client.send, [b"the end\r\n.\r\n"])
        finishing.start()
    assert client.reply().startswith("250 2.0.0")
    assert client.reply().startswith("421 4.3.2")
    client.close()


@LOOPS
def test_every_way_in_works_on_both_loops(tmp_path, loop):
    with House(tmp_path, loop=loop) as house:
        for kind in ("open", "starttls-open", "implicit", "legacy"):
            client = house.connect(kind)
            if kind == "implicit":
                client.start_tls()
            client.greet()
            if kind in ("starttls-open", "legacy"):
                assert client.ask("STARTTLS").startswith("220")
                client.start_tls(oldest=kind == "legacy")
                client.ask("EHLO x")
            if kind == "implicit":
                assert client.ask("AUTH PLAIN AHNjYW5uZXIAYzBycmVjdCBob3JzZQ==").startswith("235")
            scan = b"Subject: big\r\n\r\n" + (b"A" * 76 + b"\r\n") * 20_000
            assert client.send_mail(scan).startswith("250 2.0.0 relayed")
            assert client.ask("QUIT").startswith("221")
            client.close()
        assert len(house.sandbox.messages) == 4


def test_reload_keeps_sessions_and_changes_rules(tmp_path):
    """Listeners come and go, sessions stay, users and limits change from the next command on."""
    kinds = {"open": PLAIN, "login": PLAIN | {"auth": "required", "auth_without_tls": True}}
    with House(tmp_path, kinds=kinds) as house:
        old = house.connect("open")
        old.greet()
        leaving = house.connect("login")
        leaving.greet()
        kinds = {"open": PLAIN | {"message_limit": 1000}}
        changed = settings(tmp_path, house.url, kinds=kinds, limits={"recipients": 1})
        house.call(house.service.reload(changed))
        assert "SIZE 1000" in old.ask("EHLO again")
        assert "LIMITS RCPTMAX=1" in old.ask("EHLO again")
        assert leaving.ask("NOOP").startswith("250")
        with pytest.raises(OSError):  # noqa: PT011 - refused
            house.connect("login")
        assert old.send_mail(b"Subject: x\r\n\r\nx").startswith("250")
        old.close()
        leaving.close()


def test_a_reload_that_cannot_be_changes_nothing(tmp_path):
    with House(tmp_path, kinds={"open": PLAIN}) as house, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        kinds = {"open": PLAIN | {"message_limit": 1000}, "new": PLAIN | {"address": f"127.0.0.1:{port}"}}
        with pytest.raises(Exception, match="cannot listen"):
            house.call(house.service.reload(settings(tmp_path, house.url, kinds=kinds)))
        with house.connect() as client:
            assert "SIZE 1000" not in client.greet()


def test_a_renewed_certificate_is_used_and_a_broken_one_is_not(tmp_path):
    """Sessions go on; the next handshake has the new one. What cannot be used is said and ignored."""
    with House(tmp_path, kinds={"implicit": listeners(tmp_path)["implicit"]}) as house:
        certificates = [served(house)]
        door = next(iter(house.service.server._listening.values())).door
        pair = certificate.make(["new.example.com"], 30)
        (tmp_path / "relay.crt").write_bytes(pair.certificate)
        assert not door.certificate.refresh()  # half of the pair: the key is still the old one
        certificates.append(served(house))
        (tmp_path / "relay.key").write_bytes(pair.private_key)
        assert door.certificate.refresh()
        certificates.append(served(house))
        assert certificates[0] == certificates[1] != certificates[2]
        assert not door.certificate.refresh()
        house.wait_for_line("the private key is not this certificate's")
        house.wait_for_line("certificate renewed")


@pytest.mark.parametrize(
    ("key", "path", "words"),
    [
        ("private_key_file", "none.key", "none.key cannot be opened: No such file or directory; name a file"),
        ("certificate_file", "none.crt", "none.crt cannot be opened: No such file or directory; name a file"),
        ("client_ca_file", "none.pem", "none.pem cannot be opened: No such file or directory; name a file"),
        ("private_key_file", "relay.crt", "relay.crt cannot be used: not a certificate and its private key"),
    ],
)
def test_a_tls_file_that_cannot_be_used_is_named(tmp_path, key, path, words):
    """OpenSSL tells certificate and key not apart: a key that was missing was called the certificate."""
    pair = certificate.make(["localhost"], 30)
    (tmp_path / "relay.crt").write_bytes(pair.certificate)
    (tmp_path / "relay.key").write_bytes(pair.private_key)
    files = listeners(tmp_path)["implicit"] | {key: str(tmp_path / path)}
    (listener,) = settings(tmp_path, "http://127.0.0.1:9", kinds={"implicit": files}).listener
    with pytest.raises(ListenError) as caught:
        tls_context(listener)
    assert f"{key} {tmp_path}" in str(caught.value)
    assert words in str(caught.value)


def served(house):
    with house.connect("implicit") as client:
        client.start_tls()
        return client.sock.getpeercert(binary_form=True)


def test_a_client_certificate_is_an_identity(tmp_path):
    for name in ("printer", "stranger"):
        (tmp_path / f"{name}.pem").write_bytes(client_certificate("printer-3f"))
    kinds = {"implicit": listeners(tmp_path)["implicit"] | {"client_ca_file": str(tmp_path / "printer.pem")}}
    user = {"name": "printer", "certificate": "printer-3f", "may_send_as": ["printer@example.com"]}
    with House(tmp_path, kinds=kinds, user=[user, *users()]) as house:
        with with_certificate(house, tmp_path / "printer.pem") as client:
            client.greet()
            assert client.ask("MAIL FROM:<x@example.com>").startswith("550 5.7.1")
            assert client.send_mail(b"Subject: x\r\n\r\nx", sender="printer@example.com").startswith("250")
        with with_certificate(house, None) as client:
            client.greet()
            assert client.ask("MAIL FROM:<printer@example.com>").startswith("530")
        # Who has a certificate and a password set gives both: the password decides.
        with with_certificate(house, tmp_path / "printer.pem") as client:
            assert "AUTH PLAIN LOGIN" in client.greet()
            assert client.ask(f"AUTH PLAIN {coded('nobody', 'x')}").startswith("535")
            assert client.ask("MAIL FROM:<printer@example.com>").startswith("250")
            client.ask("RSET")
            assert client.ask(f"AUTH PLAIN {coded('erp', PASSWORD)}").startswith("235")
            assert client.ask("MAIL FROM:<printer@example.com>").startswith("250")
            client.ask("RSET")
            assert client.ask("MAIL FROM:<x@example.com>").startswith("250")
            client.ask("RSET")
            assert client.ask(f"AUTH PLAIN {coded('erp', PASSWORD)}").startswith("503")
        # The same name, signed by nobody who is trusted here.
        with pytest.raises((OSError, EOFError)), with_certificate(house, tmp_path / "stranger.pem") as client:
            client.greet()


def coded(user, password):
    return base64.b64encode(f"\0{user}\0{password}".encode()).decode()


def client_certificate(name):
    """A self-signed certificate of a client, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    return made.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)


def with_certificate(house, path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if path:
        context.load_cert_chain(path)
    client = house.connect("implicit")
    client.start_tls(context=context)
    return client


def test_a_modern_listener_takes_no_old_tls(house):
    """And the log says what the printer's owner can do."""
    with house.connect("starttls") as client:
        client.greet()
        client.ask("STARTTLS")
        with pytest.raises(OSError):  # noqa: PT011
            client.start_tls(oldest=True)
    house.wait_for_line('give its listener tls_profile = \\"legacy\\"')


def test_a_client_that_never_speaks_on_a_tls_port_is_no_session_for_ever(house):
    with house.connect("implicit") as client:
        client.close()
    house.wait_for_line("connection closed before TLS")


def test_internal_faults_are_421_with_a_fixed_text(tmp_path):
    """The stack goes to the log; the client hears nothing of it and may try again."""
    with House(tmp_path, kinds={"open": PLAIN}) as house:
        intake = house.service.server._intake
        intake.check_recipient = lambda *_: 1 / 0
        with house.connect() as client:
            client.greet()
            client.ask("MAIL FROM:<scanner@example.com>")
            assert client.ask("RCPT TO:<a@example.net>") == (
                "421 4.3.0 the relay had a fault of its own, closing; send it again later"
            )
            assert client.is_closed()
        house.wait_for_line("ZeroDivisionError")


def test_a_client_that_hangs_up_after_the_dot_changes_nothing(tmp_path):
    """aiosmtpd cancels its handler then; here the message is relayed all the same."""
    with House(tmp_path, kinds={"open": PLAIN}) as house:
        for ending in ("close", "half", "reset"):
            client = house.connect()
            client.greet()
            client.ask("MAIL FROM:<scanner@example.com>")
            client.ask("RCPT TO:<a@example.net>")
            client.ask("DATA")
            client.send(f"Subject: {ending}\r\n\r\nx\r\n.\r\n")
            if ending == "half":
                client.sock.shutdown(socket.SHUT_WR)
                assert client.reply().startswith("250")
            if ending == "reset":
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
        until = time.monotonic() + 5
        while len(house.sandbox.messages) < 3 and time.monotonic() < until:
            time.sleep(0.02)
        assert sorted(message.subject for message in house.sandbox.messages) == ["close", "half", "reset"]


def test_a_client_that_leaves_within_data_leaves_nothing(house):
    incoming = house.folder / "spool" / "incoming"
    before = len(house.sandbox.messages)
    client = house.connect()
    client.greet()
    client.ask("MAIL FROM:<scanner@example.com>")
    client.ask("RCPT TO:<a@example.net>")
    client.ask("DATA")
    # Not the folder: it is empty before the content is written, too.
    session = house.service.server.recorder.visits("127.0.0.1").last
    client.send(b"x" * 3_000_000)
    client.close()
    until = time.monotonic() + 20
    while session.ended is None and time.monotonic() < until:
        time.sleep(0.02)
    assert session.ended
    assert not list(incoming.iterdir())
    assert len(house.sandbox.messages) == before


def test_pipelined_replies_come_in_one_write(house):
    """RFC 2920 §3.2: as few packets as possible."""
    with house.connect() as client:
        client.greet()
        client.send(b"NOOP\r\n" * 50)
        time.sleep(0.2)
        assert client.sock.recv(65536).count(b"250") == 50


def test_ipv6_sees_ipv4_clients_as_ipv4(tmp_path):
    """`[::]` takes both; networks written as IPv4 hold for IPv4 in IPv6's clothes."""
    kinds = {"dual": {"address": "[::]:0", "networks": ["127.0.0.0/8"]}}
    with House(tmp_path, kinds=kinds) as house:
        with house.connect("dual") as client:
            assert client.reply().startswith("220")
        with Client(house.ports["dual"], host="::1") as client:
            assert client.reply().startswith("554 5.7.1")


def test_the_password_is_nowhere(house):
    with house.connect("optional") as client:
        client.greet()
        client.ask("AUTH PLAIN AHNjYW5uZXIAYzBycmVjdCBob3JzZQ==")
    assert PASSWORD not in house.log.getvalue()


@pytest.mark.parametrize("kind", ["open", "implicit"])
def test_a_client_that_is_cut_off_while_it_sends_hears_why(house, kind):
    """A socket closed with unread input is reset, and its last replies are lost: the relay lingers."""
    with house.connect(kind) as client:
        if kind == "implicit":
            client.start_tls()
        client.greet()
        for _ in range(40):
            client.send(b"XYZZY\r\n" * 10)
            time.sleep(0.002)
        answers = [client.reply()[:9] for _ in range(22)]
        assert answers == ["500 5.5.1"] * 21 + ["421 4.7.0"]
