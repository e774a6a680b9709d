"""Real clients do what devices do wrong, and the doctor says what it was."""

import asyncio
import smtplib
import socket
import ssl
from contextlib import suppress

import pytest

from relay.operator import calling
from tests.support.command import command
from tests.support.doctor import running
from tests.support.troubled_devices import old_context

TLS_ONE = 0x0301


async def ask(service, verb="doctor", **arguments):
    path = service.config.state_dir / "control.sock"
    return await calling.call(path, verb, **arguments)


async def advice(service):
    """The sentences about the last session, once it is over."""
    for _ in range(200):
        answer = await ask(service, address="127.0.0.1")
        if answer["clients"] and answer["clients"][0]["last"]["ended"]:
            return [a["text"] for a in answer["clients"][0]["last"]["advice"]]
        await asyncio.sleep(0.01)
    raise AssertionError("the session never ended")


def talk(port, *lines, half_close=False):
    """Send lines one after the other's answer; whatever comes back."""
    heard = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        heard += sock.recv(4096)
        for line in lines:
            sock.sendall(line if isinstance(line, bytes) else f"{line}\r\n".encode())
            heard += sock.recv(4096)
    return heard


def port(service, number=0):
    return service.server.addresses[number][1]


async def test_a_session_that_is_all_right(tmp_path):
    async with running(tmp_path, {}) as service:

        def send():
            with smtplib.SMTP("127.0.0.1", port(service)) as client:
                client.sendmail("a@example.com", "b@example.com", "Subject: secret words\r\n\r\nmore of them")

        await asyncio.to_thread(send)
        assert await advice(service) == []
        answer = await ask(service, address="127.0.0.1")
        last = answer["clients"][0]["last"]
        assert last["messages"] == 1
        texts = [line["text"] for line in last["lines"]]
        assert any(text.startswith("EHLO") for text in texts)
        # smtplib writes TO or to, by its version.
        assert "rcpt to:<b@example.com>" in [text.lower() for text in texts]
        assert any(text.startswith("250 2.0.0 queued") for text in texts)
        assert "secret" not in str(answer)


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_a_printer_of_2008(tmp_path, certificate, tls):
    async with running(tmp_path, {"tls": tls, **certificate}) as service:

        def knock():
            if tls == "starttls":
                client = smtplib.SMTP("127.0.0.1", port(service))
                client.ehlo()
                client.starttls(context=old_context())
            else:
                smtplib.SMTP_SSL("127.0.0.1", port(service), context=old_context())

        with pytest.raises((ssl.SSLError, OSError)):
            await asyncio.to_thread(knock)
        (said,) = await advice(service)
        assert said == (
            'this device offers only TLS 1.0: give it a listener of its own with tls_profile = "legacy", '
            "or switch SSL/TLS off on its panel."
        )


async def test_the_remedy_helps(tmp_path, certificate):
    """What the doctor says of old TLS is true: with the legacy profile the printer sends."""
    listener = {"tls": "starttls", "tls_profile": "legacy", **certificate}
    async with running(tmp_path, listener) as service:

        def send():
            with smtplib.SMTP("127.0.0.1", port(service)) as client:
                client.starttls(context=old_context())
                client.sendmail("a@example.com", "b@example.com", "Subject: x\r\n\r\ny")

        await asyncio.to_thread(send)
        assert await advice(service) == []
        answer = await ask(service, address="127.0.0.1")
        assert answer["clients"][0]["last"]["tls"].startswith("TLSv1 ")


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_a_device_that_does_not_trust_the_certificate(tmp_path, certificate, tls):
    async with running(tmp_path, {"tls": tls, **certificate}) as service:

        def knock():
            context = ssl.create_default_context(cadata=None)
            context.check_hostname = False
            if tls == "starttls":
                client = smtplib.SMTP("127.0.0.1", port(service))
                client.starttls(context=context)
            else:
                smtplib.SMTP_SSL("127.0.0.1", port(service), context=context)

        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.to_thread(knock)
        (said,) = await advice(service)
        assert said.startswith("it does not trust the relay's certificate")


USERS = {"tls": "none", "auth": "required", "auth_without_tls": True}


@pytest.mark.parametrize(
    ("name", "words"),
    [("scan", "did you mean 'scanner'?"), ("scanner", "with a wrong password")],
)
async def test_a_login_that_fails(tmp_path, password_hash, name, words):
    users = [{"name": "scanner", "password_hash": password_hash}]
    async with running(tmp_path, USERS, user=users) as service:

        def login():
            with smtplib.SMTP("127.0.0.1", port(service)) as client:
                client.login(name, "hunter2")

        with pytest.raises(smtplib.SMTPAuthenticationError):
            await asyncio.to_thread(login)
        (said,) = await advice(service)
        assert words in said
        answer = str(await ask(service, address="127.0.0.1"))
        assert "hunter2" not in answer
        assert "aHVudGVyMg" not in answer


SCAN = b"Subject: scan\n\n" + b"x" * 70 + b"\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (SCAN * 3000, "it hung up within the message, after 267000 octets"),
    ],
)
async def test_content_without_its_end(tmp_path, content, words):
    """The device waits for its reply and gives up: what came is counted, and a bare end is named."""
    async with running(tmp_path, {}) as service:

        def send():
            with socket.create_connection(("127.0.0.1", port(service)), timeout=10) as sock:
                sock.recv(100)
                for line in (b"EHLO x", b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>", b"DATA"):
                    sock.sendall(line + b"\r\n")
                    sock.recv(4096)
                sock.sendall(content)

        await asyncio.to_thread(send)
        (said,) = await advice(service)
        assert words in said


async def test_an_address_that_never_came(tmp_path):
    async with running(tmp_path, {}) as service:
        assert (await ask(service, address="192.0.2.1"))["clients"] == []
        with pytest.raises(calling.Refused, match="no IP address"):
            await ask(service, address="printer")


async def test_live_lines_come_as_they_happen(tmp_path):
    async with running(tmp_path, {}) as service:
        serial = (await ask(service))["serial"]
        waiting = asyncio.create_task(ask(service, "doctor_live", after=serial, patience=10))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(talk, port(service), "EHLO printer", "STARTTLS")
        texts, advised = [], {}
        while "closed" not in texts:
            answer = await waiting
            texts += [line["text"] for line in answer["lines"]]
            advised |= answer["advice"]
            waiting = asyncio.create_task(ask(service, "doctor_live", after=answer["serial"], patience=10))
        waiting.cancel()
        assert "EHLO printer" in texts
        ((found,),) = advised.values()
        assert found["problem"] == "no-starttls"


async def test_live_with_nothing_to_say_ends_by_its_patience(tmp_path):
    async with running(tmp_path, {}) as service:
        answer = await ask(service, "doctor_live", after=0, patience=0.05)
        assert answer["lines"] == []


async def test_a_balancer_without_a_header_and_a_header_without_trust(tmp_path):
    """The doctor knew nothing of the one, and called the other no mail client."""
    async with running(tmp_path, {"proxy_networks": ["127.0.0.0/8"]}, {}) as service:

        def no_header():
            with socket.create_connection(("127.0.0.1", port(service)), timeout=10) as sock:
                sock.sendall(b"EHLO x\r\n")
                with suppress(ConnectionError):
                    sock.recv(100)

        await asyncio.to_thread(no_header)
        [text] = await advice(service)
        assert "sent no PROXY header" in text
        assert "take it out of proxy_networks" in text
        await asyncio.to_thread(talk, port(service, 1), "PROXY TCP4 10.1.2.3 10.0.0.1 1 25", "QUIT")
        [text] = await advice(service)
        assert "add 127.0.0.1 to proxy_networks" in text


async def test_what_became_of_mail_that_was_taken(tmp_path):
    """The session was all right, and its mail waited for ever: nobody had consented."""
    async with running(tmp_path, {}) as service:

        def send():
            with smtplib.SMTP("127.0.0.1", port(service)) as client:
                client.sendmail("a@example.com", "b@example.com", "Subject: x\r\n\r\ny")

        await asyncio.to_thread(send)
        assert await advice(service) == []
        for _ in range(3000):
            (mail,) = (await ask(service, address="127.0.0.1"))["clients"][0]["last"]["mail"]
            if mail["state"] == "held":
                break
            await asyncio.sleep(0.01)
        assert (mail["state"], "nobody has consented" in mail["reason"]) == ("held", True)
        path = tmp_path / "relay.toml"
        path.write_text(f'state_dir = "{tmp_path}"\n')
        said = (await command(path, "doctor", "127.0.0.1")).stdout
        assert f"taken as {mail['queue_id']}, and waits (held): nobody has consented" in said


async def test_the_whole_answer_to_ehlo_is_in_the_transcript(tmp_path):
    """Whether AUTH or STARTTLS was offered is the usual question, and only the last line stood there."""
    async with running(tmp_path, {"auth": "optional", "auth_without_tls": True}) as service:
        await asyncio.to_thread(talk, port(service), "EHLO device", "QUIT")
        await advice(service)
        lines = (await ask(service, address="127.0.0.1"))["clients"][0]["last"]["lines"]
        said = [line["text"] for line in lines if line["side"] == "S"]
        assert "250-relay.example.com" in said
        assert any("SIZE" in text for text in said), said
        assert any("AUTH PLAIN" in text for text in said), said
