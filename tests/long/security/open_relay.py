"""Open-relay matrix: networks × auth × TLS × login × sender × recipient, IPv4-mapped IPv6 included.

Each cell is a session of a real client against a real listener; what must happen is computed here,
from the configuration alone, and compared. Then: no configuration that would be open can be loaded.
"""

import base64
import itertools
import socket
import ssl
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from argon2 import PasswordHasher

from relay.config.load import ConfigError, build
from relay.host.certificate import make, write
from tests.long.security.harness import free_port, main, relay

INSIDE, OUTSIDE = "127.1.{}.{}", "127.2.{}.{}"
NETWORKS = '["127.1.0.0/16"]'
KEYS = ["networks", "proxy_networks"]  # who is in the latter says in which of the former it is
PUBLIC = [
    "0.0.0.0/0", "::/0", "0.0.0.0/1", "128.0.0.0/1", "8.8.8.8/32", "2000::/3", "2a00::/16",
    "9.0.0.0/7", "172.0.0.0/8", "192.0.0.0/8",
    "64:ff9b::/96", "2002::/16", "2001::/32", "::ffff:0:0/96", "100.64.0.0/10",
]  # fmt: skip


def listeners():
    """Every combination of auth, tls and auth_without_tls that can be loaded, IPv4 and dual-stack."""
    for auth, tls, bare, family in itertools.product(
        ("off", "optional", "required"), ("none", "starttls", "implicit"), (False, True), (4, 6)
    ):
        if auth == "required" and tls == "none" and not bare:
            continue  # refused at start
        if auth == "off" and bare:
            continue  # says nothing
        yield auth, tls, bare, family


def cells():
    for listener in listeners():
        for cell in itertools.product(
            (True, False),  # inside the network
            (None, "right", "wrong"),  # login
            (True, False),  # STARTTLS where it is offered
            ("allowed@example.com", "other@evil.example", ""),  # reverse-path
            ("b@allowed.example", "b@other.example"),  # forward-path
        ):
            if listener[1] != "starttls" and not cell[2]:
                continue
            yield (*listener, *cell)


def is_allowed(auth, tls, bare, family, inside, login, secures, sender, recipient):  # noqa: PLR0917
    """What the configuration says, in words of its own."""
    del family  # IPv4 in IPv6's clothes is IPv4
    secure = tls == "implicit" or (tls == "starttls" and secures)
    logged_in = login == "right" and auth != "off" and (secure or bare)
    if not inside or (auth == "required" and not logged_in):
        return False
    if logged_in and sender == "other@evil.example":
        return False  # may_send_as
    return recipient.endswith("@allowed.example")  # recipient_domains


class Client:
    """An SMTP client that goes on whatever is refused."""

    def __init__(self, source, port, context, *, implicit):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0))
        self._context = context
        if implicit:
            self.socket = context.wrap_socket(self.socket)
        self._file = self.socket.makefile("rb")

    def read(self):
        while True:
            line = self._file.readline()
            if line[3:4] != b"-":
                return line[:3].decode()

    def say(self, text):
        self.socket.sendall(text.encode() + b"\r\n")
        return self.read()

    def secure(self):
        if self.say("STARTTLS") == "220":
            self.socket = self._context.wrap_socket(self.socket)
            self._file = self.socket.makefile("rb")

    def close(self):
        self.socket.close()


def try_cell(number, cell, port, context):
    """Whether the message was accepted."""
    _, tls, _, _, inside, login, secures, sender, recipient = cell
    source = (INSIDE if inside else OUTSIDE).format(number // 250, number % 250 + 1)
    try:
        client = Client(source, port, context, implicit=tls == "implicit")
        client.read()
        client.say("EHLO attacker")
        if tls == "starttls" and secures:
            client.secure()
            client.say("EHLO attacker")
        if login:
            name, password = ("user", "right") if login == "right" else (f"nobody{number}", "wrong")
            client.say("AUTH PLAIN " + base64.b64encode(f"\0{name}\0{password}".encode()).decode())
        client.say(f"MAIL FROM:<{sender}>")
        client.say(f"RCPT TO:<{recipient}>")
        accepted = (
            client.say("DATA") == "354" and client.say("From: allowed@example.com\r\n\r\nx\r\n.") == "250"
        )
        client.close()
    except (OSError, ssl.SSLError):
        return False
    return accepted


def measure(*, short=False):
    with tempfile.TemporaryDirectory() as name:
        paths = Path(name, "cert.pem"), Path(name, "key.pem")
        write(make(["localhost"], 30), *paths)
        ports = {x: free_port() for x in listeners()}
        text = [
            (
                '[[user]]\nname = "user"\nmay_send_as = ["allowed@example.com"]\n'
                f'password_hash = "{PasswordHasher(1, 8, 1).hash("right")}"\n'
                "[limits]\nlogin_delay = 0\n"
            )
        ]
        for (auth, tls, bare, family), port in ports.items():
            host = "[::]" if family == 6 else "0.0.0.0"  # to "[::]" every client comes as ::ffff:127.1.…
            text.append(
                f'[[listener]]\naddress = "{host}:{port}"\nauth = "{auth}"\n'
                f'tls = "{tls}"\nauth_without_tls = {str(bare).lower()}\nnetworks = {NETWORKS}\n'
                'recipient_domains = ["allowed.example"]\n'
                f'certificate_file = "{paths[0]}"\nprivate_key_file = "{paths[1]}"\n'
            )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        every = list(cells())
        chosen = every[::13] if short else every
        with relay(more="".join(text)), ThreadPoolExecutor(8) as pool:
            got = list(pool.map(lambda x: try_cell(x[0], x[1], ports[x[1][:4]], context), enumerate(chosen)))
    wrong = [
        {"cell": [str(x) for x in cell], "accepted": accepted}
        for cell, accepted in zip(chosen, got, strict=True)
        if accepted != is_allowed(*cell)
    ]
    opened = [
        f"{key} {network} {auth}"
        for key, network, auth in itertools.product(KEYS, PUBLIC, ("off", "optional"))
        if _loads(key, network, auth)
    ]
    return {
        "cells": len(chosen),
        "of": len(every),
        "accepted": sum(got),
        "not as configured": wrong[:20],
        "open configurations tried": 2 * len(KEYS) * len(PUBLIC),
        "open configurations loaded": opened,
        "reached": not wrong and not opened and 0 < sum(got) < len(got),
    }


def _loads(key, network, auth):
    try:
        build({"listener": [{"address": "0.0.0.0:25", key: [network], "auth": auth}]}, {})
    except ConfigError:
        return False
    return True


if __name__ == "__main__":
    main(measure, __doc__)
