"""A fault of ours in the middle of a unit of the protocol: what follows is not read as commands.

The fault is put at every line that DATA and BDAT run through in the door, one session for each: whatever is
awaited there, some line comes before it and some line after it.
"""

import base64
import socket
import sys
import time
from pathlib import Path

import pytest

from relay.host.content import ContentWriter
from relay.smtp import content as content_module
from relay.smtp import policy, proxy, receive, session, stream, transaction
from relay.smtp.limits import Budget
from relay.smtp.receive import Receiver
from relay.smtp.session import Session
from relay.smtp.transaction import Transaction
from tests.support.smtp import PASSWORD, House, listeners

MODULES = (content_module, receive, transaction, stream)
FILES = {str(Path(module.__file__)) for module in MODULES}
LOGIN = base64.b64encode(f"\0erp\0{PASSWORD}".encode()).decode()
VICTIM = "victim@elsewhere.test"
# A mail within a mail: if the content is read as commands, it is sent.
INNER = (
    f"RSET\r\nMAIL FROM:<scanner@example.com>\r\nRCPT TO:<{VICTIM}>\r\nDATA\r\n"
    "Subject: inner\r\n\r\nhidden\r\n"
).encode()
CONTENT = b"From: scanner@example.com\r\nTo: a@example.net\r\nSubject: outer\r\n\r\n" + INNER
OPENING = ("MAIL FROM:<scanner@example.com>", "RCPT TO:<a@example.net>")


class Fault:
    """Raises MemoryError at the n-th line of the door that runs while a unit lasts; 0: only counts them."""

    def __init__(self, number):
        self.number = number
        self.session = None
        self.seen = 0
        self.done = False

    def __call__(self, frame, event, _):
        return self._at_line if frame.f_code.co_filename in FILES and self._is_ours(frame) else None

    def _is_ours(self, frame):
        """Whether it runs for this session, and not for the one before it, which may not be over yet."""
        whose = frame.f_locals.get("self") or frame.f_locals.get("session")
        ours = (self.session, self.session.stream, self.session.transaction)
        return any(whose is one for one in ours) or getattr(whose, "_stream", None) is self.session.stream

    def _at_line(self, _, event, __):
        if event == "line" and not self.done:
            self.seen += 1
            if self.seen == self.number:
                self.done = True
                raise MemoryError
        return self._at_line


def inject(monkeypatch, verb, number):
    fault, taken = Fault(number), Session._VERBS[verb]

    async def obey(session, argument):
        fault.session = session
        sys.settrace(fault)
        try:
            return await taken(session, argument)
        finally:
            sys.settrace(None)

    monkeypatch.setitem(Session._VERBS, verb, obey)
    return fault


def in_blocks(client, octets, size=60):
    """Send them so that the relay reads them in several blocks."""
    for at in range(0, len(octets), size):
        client.send(octets[at : at + size])


def send_by_data(client):
    answer = client.ask("DATA")
    if not answer.startswith("354"):
        return answer
    in_blocks(client, CONTENT + b".\r\n")
    return client.reply()


def send_by_bdat(client):
    half = len(CONTENT) // 2
    client.send(b"BDAT %d\r\n" % half + CONTENT[:half])
    client.send(b"BDAT %d LAST\r\n" % (len(CONTENT) - half) + CONTENT[half:])
    first = client.reply()
    return first if first.startswith("421") else client.reply()


WAYS = {"DATA": send_by_data, "BDAT": send_by_bdat}


def talk(own_house, way):
    """One mail; gives all that was heard in its stead."""
    with own_house.connect() as client:
        client.greet()
        for command in OPENING:
            assert client.ask(command).startswith("250")
        try:
            heard = [way(client)]
            if heard[0].startswith("250"):
                return heard
        except (EOFError, ConnectionError, AssertionError) as error:
            heard = [str(error)]
        try:
            while True:
                heard.append(client.reply())
        except (EOFError, ConnectionError):
            return heard


@pytest.fixture
def own_house(tmp_path):
    """A relay of our own: a fault within its cleaning up leaves a file behind."""
    kinds = {kind: listeners(tmp_path)[kind] for kind in ("open", "optional", "starttls-open", "proxy")}
    with House(tmp_path, kinds=kinds) as running:
        yield running


@pytest.mark.parametrize(("verb", "to_file"), [("DATA", False), ("DATA", True), ("BDAT", True)])
def test_content_is_never_obeyed_after_a_fault_at_any_line(own_house, monkeypatch, verb, to_file):
    """The rest of the content was read as commands, and the mail in it was sent; the client that was honest
    heard 500 in reply to its next command and bounced its mail."""
    # When memory is short, content goes to a file from its first octet.
    monkeypatch.setattr(Budget, "memory_is_short", to_file)
    with monkeypatch.context() as patched:
        counting = inject(patched, verb, 0)
        assert talk(own_house, WAYS[verb])[0].startswith("250")
    wrong = []
    for number in range(1, counting.seen + 1):
        with monkeypatch.context() as patched:
            fault = inject(patched, verb, number)
            heard = talk(own_house, WAYS[verb])
        # 354 may go out a second time with the last reply: nothing was forgotten that was not sent.
        codes = [answer[:3] for answer in heard if not answer.startswith("354")]
        if fault.done and codes != ["421"]:
            wrong.append((number, heard))
    assert counting.seen > 50
    assert not wrong
    assert not any(VICTIM in request["to"] for request in own_house.requests())


@pytest.mark.parametrize(
    ("place", "name", "commands"),
    [
        (policy, "login", [f"AUTH PLAIN {LOGIN}"]),
        (session, "start_tls", ["STARTTLS"]),
        (Transaction, "open", [OPENING[0]]),
    ],
)
def test_a_fault_in_another_command_ends_the_session_too(own_house, monkeypatch, place, name, commands):
    """A password that comes after the fault, or what comes where TLS was to begin, is no command either."""

    def break_off(*_, **__):
        raise MemoryError

    monkeypatch.setattr(place, name, break_off)
    with own_house.connect("optional" if place is policy else "starttls-open") as client:
        client.greet()
        client.send("\r\n".join([*commands, "NOOP", "NOOP", ""]))
        heard = client.reply()
        heard = client.reply() if heard.startswith("220 ") else heard
        assert heard.startswith("421 4.3.0 ")
        assert client.is_closed()


def test_a_fault_in_a_proxy_header_closes_the_connection(own_house, monkeypatch):
    monkeypatch.setattr(proxy, "get_proxy", lambda _: 1 / 0)
    with own_house.connect("proxy") as client:
        client.send(b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nNOOP\r\n")
        assert client.is_closed()
        assert not client._buffer


def test_what_cannot_be_thrown_away_still_ends_the_session(own_house, monkeypatch):
    """Without memory for a thread the content could not be discarded, and the connection stayed open."""

    async def break_off(_):
        raise MemoryError

    monkeypatch.setattr(Receiver, "discard", break_off)
    with own_house.connect() as client:
        client.greet()
        for command in OPENING:
            client.ask(command)
        client.ask("DATA")
        client.send(b"Subject: cut\r\n")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.is_closed()


@pytest.mark.parametrize("trouble", [MemoryError, RuntimeError("can't start new thread")])
def test_content_whose_writing_broke_leaves_no_file(own_house, monkeypatch, trouble):
    """Its file stayed until the next start, and so did its octets in the count of what is arriving."""
    monkeypatch.setattr(Budget, "memory_is_short", True)
    writing = ContentWriter.write

    def break_off(self, block):
        writing(self, block)
        raise trouble

    monkeypatch.setattr(ContentWriter, "write", break_off)
    with own_house.connect() as client:
        client.greet()
        for command in OPENING:
            client.ask(command)
        client.ask("DATA")
        client.send(CONTENT + b".\r\n")
        assert client.reply().startswith("421 4.3.0 ")
        assert client.is_closed()
    session = own_house.service.server.recorder.visits("127.0.0.1").last
    until = time.monotonic() + 20
    while session.ended is None and time.monotonic() < until:
        time.sleep(0.02)
    assert not list((own_house.folder / "spool" / "incoming").iterdir())
    assert own_house.service.server.guard.budget.content == 0
