"""The event loop's lag as a client sees it: how long NOOP takes, again and again.

    python -m tests.long.bench.probe PORT COUNT

Begins at once, says "enough" after COUNT of them, ends when standard input does, and prints every round trip
in seconds, as JSON. It is an upper bound of the lag: this process too has to wait for a core. Servers limit
how often a session may say NOOP, so it takes a new one now and then, outside of what is timed.
"""

import json
import selectors
import socket
import sys
import time

_PAUSE = 0.001  # seconds between two
_SESSION = 20  # NOOPs


def open_session(port):
    peer = socket.create_connection(("127.0.0.1", port))
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer.recv(4096)
    peer.sendall(b"EHLO probe.example.com\r\n")
    peer.recv(4096)
    return peer


def probe(port, wait, least):
    """Round trips until `wait`, given the pause in seconds, says that it is enough."""
    seconds = []
    while True:
        with open_session(port) as peer:
            for _ in range(_SESSION):
                began = time.perf_counter()
                peer.sendall(b"NOOP\r\n")
                if not peer.recv(4096).startswith(b"250"):
                    raise RuntimeError("NOOP was refused")
                seconds.append(time.perf_counter() - began)
                if len(seconds) == least:
                    print("enough", flush=True)
                if wait(_PAUSE):
                    return seconds


def main():
    with selectors.DefaultSelector() as waiting:
        waiting.register(sys.stdin, selectors.EVENT_READ)
        print("ready", flush=True)
        print(json.dumps(probe(int(sys.argv[1]), waiting.select, int(sys.argv[2]))))


if __name__ == "__main__":
    main()
