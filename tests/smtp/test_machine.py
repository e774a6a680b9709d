"""Any sequence of commands, split anywhere: replies as in RFC 5321's state machine, and every 250 is kept.

Hypothesis plays against a model; a token in each message's Subject says which of them Works was given.
"""

import itertools
import time
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

TOKENS = itertools.count()
ADDRESSES = st.sampled_from(["a@example.net", "b@example.net", "c@example.net"])
WRONG_PATHS = st.sampled_from(
    ["<a@b>;<c@d>", "<a b@c.de>", "<", "<@>", "<=?utf-8?q?x=3b?=@b.test>", "<\udcff@b.de>"]
)
JUNK = st.sampled_from(["XYZZY", "\udcff\udcfe", "EXPN x", "STARTTLS", "AUTH LOGIN", "354 ok", "."])
FREE = st.sampled_from(["NOOP", "HELP", "VRFY x"])
CUTS = st.lists(st.integers(0, 400), max_size=4)
BODIES = st.lists(
    st.sampled_from(["x", ".", "..", "\n.\n", "\r", ".\r", "y" * 200, "\0", "QUIT"]), max_size=5
)


class Machine(RuleBasedStateMachine):
    house = None
    accepted: ClassVar[set] = set()
    perhaps: ClassVar[set] = set()  # the client was gone before the reply

    def __init__(self):
        super().__init__()
        self.client = None

    @initialize()
    def connect(self):
        if self.client is not None:
            self.client.close()
        self.client = self.house.connect(timeout=4)
        assert self.client.reply().startswith("220")
        self.mail, self.recipients, self.chunked, self.errors, self.chatter = False, 0, False, 0, 0

    def send(self, octets, cuts=()):
        start = 0
        for cut in [*sorted(c for c in cuts if 0 < c < len(octets)), len(octets)]:
            self.client.send(octets[start:cut])
            start = cut

    def expect(self, code, *, chatter=False):
        """Hear a reply; False if the session ended with it, by too many errors."""
        answer = self.client.reply()
        assert answer.startswith(code), f"expected {code}, heard {answer}"
        assert "fault of its own" not in answer
        self.chatter += chatter
        self.errors += code.startswith("5") or (chatter and self.chatter > 100)
        if self.errors > 20:
            assert self.client.reply().startswith("421 4.7.0")
            assert self.client.is_closed()
            self.connect()
            return False
        return True

    def ask(self, line, code, *, chatter=False, cuts=()):
        self.send(line.encode("utf-8", "surrogateescape") + b"\r\n", cuts)
        self.expect(code, chatter=chatter)

    def forget(self):
        self.mail, self.recipients, self.chunked = False, 0, False

    @rule(verb=st.sampled_from(["EHLO x", "HELO y", "ehlo", "RSET", "rset x"]), cuts=CUTS)
    def begin_again(self, verb, cuts):
        self.forget()
        self.ask(verb, "250", chatter=True, cuts=cuts)

    @rule(sender=st.sampled_from(["", "scanner@example.com", "root"]), cuts=CUTS)
    def say_mail(self, sender, cuts):
        code, self.mail = ("503" if self.mail else "250"), True
        self.ask(f"MAIL FROM:<{sender}>", code, cuts=cuts)

    @rule(address=ADDRESSES, cuts=CUTS)
    def say_rcpt(self, address, cuts):
        taken = self.mail and not self.chunked
        self.recipients += taken
        self.ask(f"RCPT TO:<{address}>", "250" if taken else "503", cuts=cuts)

    @rule(path=WRONG_PATHS)
    def say_wrong_rcpt(self, path):
        self.ask(f"RCPT TO:{path}", "5")

    @rule(line=JUNK, cuts=CUTS)
    def say_junk(self, line, cuts):
        self.ask(line, "50", cuts=cuts)

    @rule(line=FREE)
    def chat(self, line):
        self.ask(line, "2", chatter=True)

    @rule(body=BODIES, cuts=CUTS)
    def say_data(self, body, cuts):
        if not (self.mail and self.recipients) or self.chunked:
            self.ask("DATA", "503")
            return
        self.ask("DATA", "354")
        token = f"token-{next(TOKENS)}"
        text = "\r\n".join(
            [f"Subject: {token}", "", *(f".{line}" if line.startswith(".") else line for line in body)]
        )
        self.send(f"{text}\r\n.\r\n".encode(), cuts)
        self.expect("250 2.0.0")
        self.accepted.add(token)
        self.errors = self.chatter = 0
        self.forget()

    @rule(
        octets=st.sampled_from([b"", b"x", b"QUIT\r\n", b"\r\n.\r\n", b"\n" * 50]),
        last=st.booleans(),
        cuts=CUTS,
    )
    def say_bdat(self, octets, last, cuts):
        ready = self.mail and self.recipients
        token = f"token-{next(TOKENS)}"
        if last and not self.chunked:
            octets = f"Subject: {token}\r\n\r\n".encode() + octets
        self.send(b"BDAT %d%s\r\n" % (len(octets), b" LAST" if last else b"") + octets, cuts)
        self.chatter += not (octets or last)
        if self.chatter > 100 and not (octets or last):
            assert self.client.reply().startswith("421 4.7.0")
            self.connect()
            return
        self.expect("250" if ready else "503")
        if ready and last and not self.chunked:
            self.accepted.add(token)
        if ready and last:
            self.errors = self.chatter = 0
        self.chunked = bool(ready and not last)
        if not ready or last:
            self.forget()

    @rule(count=st.integers(2, 30), cuts=CUTS)
    def pipeline(self, count, cuts):
        self.send(b"NOOP\r\n" * count, cuts)
        for _ in range(count):
            if not self.expect("250", chatter=True):
                return

    @rule(cuts=CUTS)
    def pipeline_a_message(self, cuts):
        self.forget()
        token = f"token-{next(TOKENS)}"
        commands = b"RSET\r\nMAIL FROM:<scanner@example.com>\r\nRCPT TO:<a@example.net>\r\nDATA\r\n"
        self.send(commands + f"Subject: {token}\r\n\r\nx\r\n.\r\nNOOP\r\n".encode(), cuts)
        for number, code in enumerate(("250", "250", "250", "354", "250 2.0.0", "250")):
            if not self.expect(code, chatter=number in (0, 5)):
                return
            if code == "250 2.0.0":
                self.accepted.add(token)
                self.errors = self.chatter = 0

    @rule(after_the_dot=st.booleans())
    def hang_up(self, after_the_dot):
        if self.mail and self.recipients and not self.chunked:
            self.ask("DATA", "354")
            token = f"token-{next(TOKENS)}"
            self.client.send(f"Subject: {token}\r\n\r\nx\r\n".encode() + (b".\r\n" if after_the_dot else b""))
            if after_the_dot:
                self.perhaps.add(token)
        self.connect()

    @rule()
    def leave(self):
        self.ask("QUIT", "221")
        assert self.client.is_closed()
        self.connect()

    def teardown(self):
        if self.client is not None:
            self.client.close()


def relayed(house, tokens):
    """The tokens that Works was given, once all of these were, or time is up."""
    until = time.monotonic() + 20
    while True:
        found = [
            message.subject for message in house.sandbox.messages if message.subject.startswith("token-")
        ]
        if tokens <= set(found) or time.monotonic() > until:
            return found
        time.sleep(0.05)


@pytest.mark.parametrize("examples", [20])
def test_the_machine(house, examples):
    """A 250 means that Works gets the message, once; what had none it gets only if the client was gone."""
    Machine.house, Machine.accepted, Machine.perhaps = house, set(), set()
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            phases=[Phase.generate],
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    found = relayed(house, Machine.accepted)
    assert len(found) == len(set(found)), "sent twice"
    assert set(found) >= Machine.accepted
    assert set(found) - Machine.accepted <= Machine.perhaps
    assert Machine.accepted
    assert "session broke off" not in house.log.getvalue()
