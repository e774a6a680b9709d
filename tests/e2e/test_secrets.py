"""Secrets planted in passwords, subjects and bodies are nowhere but where they belong.

Searched for as they are, in Base64 at each of its three alignments and URL-encoded: in everything that the
relay wrote at debug and answered, in the spool's history (the trace) and in the doctor's memory.
"""

import base64
import contextlib
import sqlite3
from urllib.parse import quote

import pytest

from tests.support.smtp import PASSWORD, House

SECRETS = ["pa55wörd+planted/1", "Planted Subject ☂ 2", "planted body 3 %41", "planted-wrong-password-4"]
BLOCK = 3


def disguises(secret):
    octets = secret.encode()
    yield octets
    yield quote(secret, safe="").encode()
    for shift in range(BLOCK):
        # The middle of the Base64 text, which is the same whatever stands before and behind.
        coded = base64.b64encode(b"\0" * shift + octets)
        yield coded[4 if shift else 0 : len(coded) // 4 * 4 - 4]


def plain(user, password):
    return base64.b64encode(f"\0{user}\0{password}".encode()).decode()


def everything(house):
    yield "the log", house.log.getvalue().encode()
    with contextlib.closing(sqlite3.connect(house.folder / "spool" / "spool.db")) as spool:
        tables = [name for (name,) in spool.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        for table in tables:
            if table != "content":  # what waits to be sent is there, and nowhere else
                yield (
                    f"the spool's {table}",
                    repr(spool.execute(f"SELECT * FROM {table}").fetchall()).encode(),
                )
    yield "the doctor", repr(house.service.server.recorder.__dict__).encode()


def converse(house, heard):
    """Say the secrets in every wrong place and in the right ones."""
    subject, body, wrong = SECRETS[1], SECRETS[2], SECRETS[3]
    with house.connect("optional") as client:
        heard.append(client.greet())
        for line in (
            f"AUTH PLAIN {plain('scanner', wrong)}",
            f"AUTH PLAIN {plain('nobody', SECRETS[0])}",
            f"AUTH {plain('scanner', SECRETS[0])}",
            f"PASS {wrong}",
            wrong,
            base64.b64encode(SECRETS[0].encode()).decode(),
            f"NOOP {wrong}",
            f"HELP {wrong}",
        ):
            heard.append(client.ask(line))
        heard.append(client.ask(f"AUTH PLAIN {plain('scanner', PASSWORD)}"))
        content = f"From: scanner@example.com\r\nSubject: {subject}\r\n\r\n{body}\r\n{wrong}"
        heard.append(client.send_mail(content.encode()))
        heard.append(client.ask("QUIT"))
    with house.connect("starttls") as client:
        client.greet()
        heard.append(client.ask("AUTH LOGIN"))
        heard.append(client.ask(base64.b64encode(wrong.encode()).decode()))


@pytest.fixture
def house(tmp_path):
    with House(tmp_path) as running:
        yield running


def test_no_secret_is_where_it_does_not_belong(house):
    heard = []
    converse(house, heard)
    places = [*everything(house), ("the replies", "\n".join(heard).encode())]
    assert len(house.log.getvalue()) > 1000
    assert b"reverse_path" in dict(places)["the spool's message"]
    for secret in [*SECRETS, PASSWORD, "sandbox-secret"]:
        for disguise in disguises(secret):
            for name, octets in places:
                assert disguise not in octets, (secret, disguise, name)
