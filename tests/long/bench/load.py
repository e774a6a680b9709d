"""The load: SMTP clients in a process of their own, as cheap as sockets allow.

    python -m tests.long.bench.load < jobs

One job a line, as JSON: port, path (content as it goes over the wire, end mark included), count, connections.
One result a line: seconds, for each message the seconds from MAIL to the verdict and from the final dot to
it, and how often each reply code came at the end. Each message has a connection of its own. Commands are
sent one by one, as devices do, and content by sendfile.
"""

import json
import os
import selectors
import socket
import sys
import time
from collections import Counter
from pathlib import Path

_COMMANDS = (
    b"EHLO bench.example.com\r\n",
    b"MAIL FROM:<scanner@example.com>\r\n",
    b"RCPT TO:<office@example.com>\r\n",
    b"DATA\r\n",
)
_MAIL = 1  # the index of MAIL
_PIECE = 1024 * 1024
_PATIENCE = 300.0  # seconds in which nothing happens at all


class Client:
    """One connection with one message."""

    def __init__(self, job, selector):
        self._job = job
        self._selector = selector
        self._step = -1  # of _COMMANDS, the last one sent
        self._sent = 0
        self._heard = b""
        self._mail_at = self._dot_at = 0.0
        self.reply = 0
        self.finished = False
        self.from_mail = self.from_dot = 0.0
        self._socket = socket.create_connection(("127.0.0.1", job["port"]))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        selector.register(self._socket, selectors.EVENT_READ, self)

    def go_on(self, mask):
        if mask & selectors.EVENT_WRITE:
            self._send_content()
        if mask & selectors.EVENT_READ:
            self._read()

    def _read(self):
        try:
            heard = self._socket.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            heard = b""
        if not heard:
            self._finish(0)
            return
        self._heard += heard
        lines = self._heard.split(b"\r\n")
        if len(lines) < 2 or lines[-1] or lines[-2][3:4] == b"-":
            return
        self._heard = b""
        self._answered(int(lines[-2][:3]))

    def _answered(self, code):
        if self._dot_at:
            now = time.perf_counter()
            self.from_mail, self.from_dot = now - self._mail_at, now - self._dot_at
            self._socket.send(b"QUIT\r\n")
            self._finish(code)
        elif code == 354:
            self._send_content()
        elif code >= 400:
            self._finish(code)
        else:
            self._step += 1
            if self._step == _MAIL:
                self._mail_at = time.perf_counter()
            self._socket.send(_COMMANDS[self._step])

    def _send_content(self):
        descriptor, length = self._job["fd"], self._job["length"]
        mask = selectors.EVENT_READ
        try:
            while self._sent < length:
                self._sent += os.sendfile(self._socket.fileno(), descriptor, self._sent, _PIECE)
        except BlockingIOError:
            mask |= selectors.EVENT_WRITE
        except OSError:
            # Cut off by the other side, which may have said why.
            self._dot_at = time.perf_counter()
            self._read()
            return
        if self._sent >= length:
            self._dot_at = time.perf_counter()
        self._selector.modify(self._socket, mask, self)

    def _finish(self, code):
        self.reply, self.finished = code, True
        self._selector.unregister(self._socket)
        self._socket.close()


def run(job):
    """All messages of a job, `connections` at a time."""
    with Path(job["path"]).open("rb") as file, selectors.DefaultSelector() as selector:
        job |= {"fd": file.fileno(), "length": os.fstat(file.fileno()).st_size}
        began = time.perf_counter()
        active, done, opened = 0, [], 0
        while len(done) < job["count"]:
            while active < job["connections"] and opened < job["count"]:
                Client(job, selector)
                active, opened = active + 1, opened + 1
            events = selector.select(_PATIENCE)
            if not events:
                raise TimeoutError(f"nothing happened for {_PATIENCE} s")
            for key, mask in events:
                key.data.go_on(mask)
                if key.data.finished:
                    active -= 1
                    done.append(key.data)
        seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "from_mail": [one.from_mail for one in done],
        "from_dot": [one.from_dot for one in done],
        "replies": dict(Counter(str(one.reply) for one in done)),
    }


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)
