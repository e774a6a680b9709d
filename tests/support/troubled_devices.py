"""Devices that cannot send, each with its one mistake: real dialogues with a running relay.

`tests.support.lists` makes the list in docs/doctor.md of what the doctor says of each.
"""

import smtplib
import socket
import ssl
import warnings
from contextlib import suppress
from dataclasses import dataclass

from relay.config.units import parse_size
from relay.host.certificate import make, write
from tests.support.cheap import hash_password
from tests.support.doctor import PASSWORD, client_context

PATIENCE = 30.0  # seconds
LIMIT = parse_size("1MB")
MAIL = ("EHLO copier", "MAIL FROM:<scanner@example.com>", "RCPT TO:<yamada@example.com>")
LETTER = "From: scanner@example.com\r\nSubject: Scan\r\n\r\nHello\r\n"
LOOPBACK = {"networks": ["127.0.0.0/8"]}
# The ports that an administrator would give them, by name.
PORTS = {
    "plain": 25,
    "starttls": 587,
    "implicit": 465,
    "login": 2525,
    "strict": 2526,
    "closed": 2527,
    "expired": 2528,
    "balanced": 2529,
}


def make_listeners(folder):
    """One for each mistake that needs its own, in the order of `PORTS`."""
    keys = {}
    for name, days in (("good", 30), ("expired", -1)):
        paths = folder / f"{name}.pem", folder / f"{name}.key"
        write(make(["localhost", "127.0.0.1"], days), *paths)
        keys[name] = {"certificate_file": str(paths[0]), "private_key_file": str(paths[1])}
    return [
        {**LOOPBACK, "message_limit": LIMIT},
        {**LOOPBACK, "tls": "starttls", "auth": "required", **keys["good"]},
        {**LOOPBACK, "tls": "implicit", "auth": "required", **keys["good"]},
        {**LOOPBACK, "auth": "required", "auth_without_tls": True},
        {**LOOPBACK, "recipient_domains": ["example.com"], "may_send_as": ["*@example.com"]},
        {"networks": ["10.0.0.0/8"]},
        {**LOOPBACK, "tls": "starttls", **keys["expired"]},
        {"networks": ["10.0.0.0/8"], "proxy_networks": ["127.0.0.0/8"]},
    ]


def make_users():
    return [{"name": "scanner", "password_hash": hash_password(PASSWORD), "may_send_as": ["*@example.com"]}]


@dataclass
class Device:
    """One of them."""

    source: str
    port: int
    certificate: str  # the file that the relay shows

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE, (self.source, 0))

    def talk(self, *lines, end=b""):
        """Say these lines, each when the one before is answered, and leave."""
        with self.connect() as sock:
            sock.recv(4096)
            for line in lines:
                sock.sendall(line.encode() + b"\r\n")
                sock.recv(4096)
            sock.sendall(end)

    def smtp(self, kind=smtplib.SMTP, **more):
        return kind("127.0.0.1", self.port, timeout=PATIENCE, source_address=(self.source, 0), **more)

    def log_in(self, name, password, sender=""):
        with self.smtp() as client, suppress(smtplib.SMTPException):
            client.login(name, password)
            client.sendmail(sender, "yamada@example.com", LETTER)

    def speak_tls(self, context, *, at_once=False):
        with suppress(OSError, smtplib.SMTPException):
            if at_once:
                self.smtp(smtplib.SMTP_SSL, context=context)
            with self.smtp() as client:
                client.starttls(context=context)


def old_context():
    """A printer's of 2008."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context = client_context()
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def distrusting_context(trusted=None):
    context = client_context({"certificate_file": trusted}) if trusted else ssl.create_default_context()
    context.check_hostname = False
    return context


def browse(device):
    with device.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        sock.recv(4096)


def say_nothing(device):
    """Until the relay has enough of it."""
    with device.connect() as sock:
        while sock.recv(4096):
            pass


def speak_plainly(device):
    with device.connect() as sock:
        sock.sendall(b"EHLO copier\r\n")
        sock.recv(4096)


def send_too_much(device):
    with device.smtp() as client, suppress(smtplib.SMTPException, OSError):
        client.ehlo()
        client.mail("scanner@example.com")
        client.rcpt("yamada@example.com")
        client.data(LETTER + ("x" * 76 + "\r\n") * (LIMIT // 70))


def leave_within_data(device):
    device.talk(*MAIL, "DATA", end=b"Subject: scan\r\n\r\n" + b"x" * 70)


def end_with_bare_line_feeds(device):
    device.talk(*MAIL, "DATA", end=b"Subject: scan\n\nx\n.\n")


def send(device):
    with device.smtp() as client:
        client.sendmail("scanner@example.com", "yamada@example.com", LETTER)


def guess_passwords(device):
    with device.smtp() as client, suppress(smtplib.SMTPException):
        for number in range(4):
            client.docmd("AUTH", "PLAIN " + smtplib.encode_base64(f"\0scanner\0{number}".encode(), eol=""))


def hello_without_trust(device):
    with device.connect() as sock, suppress(ConnectionError):
        sock.sendall(b"EHLO copier\r\n")
        sock.recv(100)


# What each does wrong: the listener that it comes to, and the dialogue.
DEVICES = {
    "A wrong password is entered": ("login", lambda d: d.log_in("scanner", "hunter2")),
    "The user name is misspelled": ("login", lambda d: d.log_in("scan", "hunter2")),
    "A mailbox of Works is entered as user": ("login", lambda d: d.log_in("scanner@example.com", "hunter2")),
    "It guesses passwords, or has an old one and tries again and again": ("login", guess_passwords),
    "No login is entered, and one is asked for": ("login", lambda d: d.talk("EHLO copier", MAIL[1])),
    "It logs in where no login is offered": ("plain", lambda d: d.talk("EHLO copier", "AUTH LOGIN")),
    "It logs in before STARTTLS": ("starttls", lambda d: d.talk("EHLO copier", "AUTH LOGIN")),
    "It sends without STARTTLS and without a login": ("starttls", lambda d: d.talk("EHLO copier", MAIL[1])),
    "SSL/TLS is chosen, and the port of plain SMTP": (
        "plain",
        lambda d: d.speak_tls(client_context(), at_once=True),
    ),
    "STARTTLS is chosen where it is not offered": ("plain", lambda d: d.talk("EHLO copier", "STARTTLS")),
    "No encryption is chosen, and the port of SSL/TLS": ("implicit", speak_plainly),
    "Likewise, and it waits for the server to speak first": ("implicit", say_nothing),
    "Likewise, and it leaves at once": ("implicit", lambda d: d.connect().close()),
    "It is of 2008, and its newest TLS is 1.0": ("starttls", lambda d: d.speak_tls(old_context())),
    "It does not trust the certificate": ("starttls", lambda d: d.speak_tls(distrusting_context())),
    "The certificate has expired": (
        "expired",
        lambda d: d.speak_tls(distrusting_context(d.certificate)),
    ),
    "Its sender address is not allowed": (
        "strict",
        lambda d: d.talk("EHLO copier", "MAIL FROM:<x@old.example>"),
    ),
    "Its user may not send as this address": (
        "login",
        lambda d: d.log_in("scanner", PASSWORD, "x@old.example"),
    ),
    "Two addresses are entered as sender": (
        "plain",
        lambda d: d.talk("EHLO copier", "MAIL FROM:<a@example.com;b@example.com>"),
    ),
    "The recipient's domain is not allowed": (
        "strict",
        lambda d: d.talk(*MAIL[:2], "RCPT TO:<somebody@example.net>"),
    ),
    "The recipient has no domain": ("plain", lambda d: d.talk(*MAIL[:2], "RCPT TO:<yamada>")),
    "Several recipients are entered as one": (
        "plain",
        lambda d: d.talk(*MAIL[:2], "RCPT TO:<a@example.com>;<b@example.com>"),
    ),
    "Its message is too large, and it says so beforehand": (
        "plain",
        lambda d: d.talk("EHLO copier", f"{MAIL[1]} SIZE=999999999"),
    ),
    "Its message is too large, and it sends it": ("plain", send_too_much),
    "It ends the message by bare line feeds": ("plain", end_with_bare_line_feeds),
    "It goes away within the message": ("plain", leave_within_data),
    "It goes away after the banner": ("plain", lambda d: d.talk()),
    "It goes away after the greeting": ("plain", lambda d: d.talk("EHLO copier")),
    "Its network is not allowed": ("closed", lambda d: d.talk()),
    "It comes through a balancer that sends no PROXY header": ("balanced", hello_without_trust),
    "Its network is being learned": ("learned", send),
    "It is a browser": ("plain", browse),
    "Nothing is wrong, and nobody has consented": ("plain", send),
}
