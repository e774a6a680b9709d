"""Send a real relay random commands, by many clients at once, and hold it to what it answered.

Run: .venv/bin/python -m tests.long.fuzz.commands --count 1000000 [--seed N]

Held: every reply is a reply, its two codes agree, none is an internal fault; each message that had 250
is relayed once; one without it only if its client was gone after the final dot; the process lives.
"""

import argparse
import random
import re
import sys
import tempfile
import threading
import time

from tests.support.smtp import House

REPLY = re.compile(r"(\d)(\d\d)([ -])(?:(\d)\.\d{1,3}\.\d{1,3} )?[\x20-\x7e]*")
WORDS = [
    "HELO x", "EHLO y", "EHLO", "RSET", "NOOP", "HELP", "EXPN a", "QUIT now", "MAIL", "RCPT",
    "DATA", "DATA x", "MAIL FROM:<>", "MAIL FROM:<scanner@example.com>",
    "MAIL FROM:<scanner@example.com> SIZE=99999999999",
    "MAIL FROM:<a@b.cd> BODY=8BITMIME SMTPUTF8", "RCPT TO:<a@example.net>",
    "RCPT TO:<b@example.net> NOTIFY=NEVER",
    "RCPT TO:<a;b@c.de>", "RCPT TO:", 'RCPT TO:"', "RCPT TO:<", "AUTH", "AUTH PLAIN",
    "AUTH PLAIN AHgAeA==", "AUTH LOGIN eA==", "*", "eA==", "STARTTLS", "BDAT",
    "BDAT 0", "BDAT 0 LAST", "BDAT -1", "BDAT 5 LATER",
    "\0",
    "\xff\xfe", "MAIL FROM:<\xff@b.cd>", ".", "", " ", "x" * 2000, "GET / HTTP/1.0", "\x16\x03\x01",
    "PROXY TCP4",
]  # fmt: skip


class Sender:
    """One client after another, until the commands are used up."""

    def __init__(self, house, number, count, seed):
        self.house, self.left = house, count
        self.chance = random.Random(f"{seed} {number}")
        self.number, self.messages = number, 0
        self.accepted, self.perhaps = set(), set()
        self.trouble = ""

    def run(self):
        try:
            while self.left > 0:
                self.session()
        except Exception as error:  # noqa: BLE001 - told by run
            self.trouble = f"{type(error).__name__}: {error}"

    def session(self):
        kind = self.chance.choice(["open", "optional", "login", "starttls-open", "small"])
        with self.house.connect(kind, source=f"127.0.{self.number}.{self.chance.randint(1, 250)}") as client:
            try:
                self.read(client)
                for _ in range(self.chance.randint(1, 40)):
                    if self.chance.random() < 0.15:
                        self.message(client)
                    else:
                        self.burst(client)
            except (EOFError, OSError):
                return

    def read(self, client):
        answer = client.reply()
        for line in answer.splitlines():
            found = REPLY.fullmatch(line)
            assert found, repr(line)
            assert found[4] in (None, found[1]), line
        assert "fault of its own" not in answer, answer
        return answer

    def burst(self, client):
        words = [self.chance.choice(WORDS) for _ in range(self.chance.choice([1, 1, 2, 5, 20]))]
        if self.chance.random() < 0.3:
            words = [self.damage(word) for word in words]
        self.left -= len(words)
        octets = b"".join(word.encode("latin-1") + b"\r\n" for word in words)
        cut = self.chance.randint(0, len(octets))
        client.send(octets[:cut])
        client.send(octets[cut:])
        # VRFY, which is nowhere else, tells where the replies to the burst end.
        client.send(b"\r\n.\r\nNOOP\r\nVRFY end\r\n")
        while not (answer := self.read(client)).startswith("252"):
            if answer.startswith("220"):
                raise EOFError  # it waits for a handshake now

    def damage(self, word):
        at = self.chance.randint(0, len(word))
        return word[:at] + chr(self.chance.choice([0, 9, 13, 32, 34, 59, 60, 62, 127, 255])) + word[at:]

    def message(self, client):
        self.left -= 4
        token = f"fuzz-{self.number}-{self.messages}"
        self.messages += 1
        client.send(b"RSET\r\nMAIL FROM:<scanner@example.com>\r\nRCPT TO:<a@example.net>\r\nDATA\r\n")
        answers = [self.read(client) for _ in range(4)]
        if not answers[-1].startswith("354"):
            return
        leaving = self.chance.random()
        client.send(f"Subject: {token}\r\n\r\nx\r\n" + ("" if leaving < 0.1 else ".\r\n"))
        if leaving < 0.1:
            raise EOFError
        self.perhaps.add(token)
        if leaving < 0.2:
            raise EOFError
        if self.read(client).startswith("250"):
            self.accepted.add(token)
        else:
            self.perhaps.discard(token)


def run(count, seed, clients=8):
    """So many commands; how many messages were accepted. Raises AssertionError where a promise was broken."""
    limits = {"errors": 100, "login_failures": 60, "sessions_per_address": 0}
    with tempfile.TemporaryDirectory() as folder, House(folder, limits=limits) as house:
        senders = [Sender(house, number, count // clients, seed) for number in range(clients)]
        threads = [threading.Thread(target=sender.run) for sender in senders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        troubles = [sender.trouble for sender in senders if sender.trouble]
        assert not troubles, troubles
        accepted = set().union(*(sender.accepted for sender in senders))
        perhaps = set().union(*(sender.perhaps for sender in senders))
        found = wait_for(house, accepted)
        lost = accepted - set(found)
        assert not lost, f"{len(lost)} of {len(accepted)} with 250 were not relayed: {sorted(lost)[:3]}"
        assert len(found) == len(set(found)), "a message was relayed twice"
        assert set(found) <= perhaps, "a message without 250 was relayed, and its client was there"
        assert "session broke off" not in house.log.getvalue(), "an internal fault"
        with house.connect() as client:
            assert client.greet().startswith("250")
        return len(accepted)


def wait_for(house, tokens):
    until = time.monotonic() + 120
    while True:
        found = [m.subject for m in house.sandbox.messages if m.subject.startswith("fuzz-")]
        if tokens <= set(found) or time.monotonic() > until:
            return found
        time.sleep(0.2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    accepted = run(options.count, options.seed)
    seconds = time.monotonic() - began
    print(f"{options.count} commands, {accepted} messages accepted and relayed once each, {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
