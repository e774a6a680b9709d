"""Sessions as devices and programs really hold them, played against the real relay.

A dialogue is a text of these lines; `relay.test` is the relay's name:

    % listener NAME        which listener (see tests.support.smtp.listeners); first line
    # …                    why
    C: text                the client sends this line, with CR LF
    C= 'text'              the client sends exactly this (a Python literal)
    S: 250 2.1.0 *         the next reply's only line; * stands for anything
    S* 250                 the next reply has this code, and any number of lines
    S+ AUTH PLAIN LOGIN    that reply has this line
    S- STARTTLS            it has no line that begins so
    <TLS> <TLS 1.0>        the client starts TLS
    <PAUSE 0.2> <CLOSE> <HALF-CLOSE> <CLOSED>   seconds; close; send no more; the relay has closed
    L: text                the log says this
    W: to a@example.net    what Works was given last has this under that key ("…" parts stand for anything)
    W! 1                   Works was given so many messages by this dialogue
"""

import ast
import time
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

DIALOGUES = sorted((Path(__file__).parents[1] / "dialogues").glob("*.smtp"))


class Play:
    def __init__(self, house, lines):
        self.house = house
        self.first = len(house.sandbox.messages)
        self.log_start = len(house.log.getvalue())
        self.lines = lines
        self.reply = ""
        self.client = None

    def run(self):
        if any(line.startswith("L:") for line in self.lines):
            # A second of the clock has so many lines about strangers, and other dialogues may have had them.
            time.sleep(1 - time.monotonic() % 1)
        listener = self.lines[0].removeprefix("% listener ").strip()
        with self.house.connect(listener) as self.client:
            for number, line in enumerate(self.lines[1:], start=2):
                if line.strip() and not line.startswith("#"):
                    try:
                        self.step(line)
                    except Exception as error:
                        raise AssertionError(f"line {number}: {line}\n{error}") from error

    def step(self, line):
        if line.startswith("<"):
            self.act(*line.strip("<> ").split())
            return
        mark, rest = line[:2], line[3:]
        {
            "C:": lambda: self.client.send(rest + "\r\n"),
            "C=": lambda: self.client.send(ast.literal_eval(f"b{rest.strip()}")),
            "S:": lambda: self.hear(rest),
            "S*": lambda: self.hear(rest + "[ -]*"),
            "S+": lambda: self.find(rest),
            "S-": lambda: self.miss(rest),
            "L:": lambda: self.log(rest),
            "W:": lambda: self.works(*rest.split(" ", 1)),
            "W!": lambda: self.count(int(rest)),
        }[mark]()

    def hear(self, pattern):
        self.reply = self.client.reply()
        assert fnmatchcase(self.reply, pattern), f"heard: {self.reply}"

    def find(self, text):
        assert text in [line[4:] for line in self.reply.splitlines()], self.reply

    def miss(self, text):
        assert not any(line[4:].startswith(text) for line in self.reply.splitlines()), self.reply

    def log(self, text):
        until = time.monotonic() + 5
        while text not in self.house.log.getvalue()[self.log_start :]:
            assert time.monotonic() < until, self.house.log.getvalue()[self.log_start :]
            time.sleep(0.01)

    def works(self, key, pattern=""):
        request = self.house.requests()[-1]
        found = str(request.get(key, "")).replace("\r\n", "\n").strip().replace("\n", "\\n")
        assert fnmatchcase(found, pattern.replace("…", "*")), f"{key}: {found!r}"

    def count(self, expected):
        assert len(self.house.sandbox.messages) - self.first == expected

    def act(self, verb, argument=""):
        if verb == "TLS":
            self.client.start_tls(oldest=argument == "1.0")
        elif verb == "PAUSE":
            time.sleep(float(argument))
        elif verb == "CLOSE":
            self.client.close()
        elif verb == "HALF-CLOSE":
            self.client.sock.shutdown(1)
        elif verb == "CLOSED":
            # Longer than any patience of the relay's (10 s for TLS to begin): a machine that stood still for
            # five seconds made a dialogue fail that waits for this alone.
            assert self.client.is_closed(seconds=20), "still open"
        else:
            raise ValueError(verb)


@pytest.mark.parametrize("path", DIALOGUES, ids=lambda path: path.stem)
def test_dialogue(house, path):
    Play(house, path.read_text(encoding="utf-8").splitlines()).run()


def test_there_are_enough():
    assert len(DIALOGUES) >= 60
