"""The event loop's lag as a client sees it: how long NOOP takes on a session of its own, again and again.

    python -m tests.bench.probe PORT

Begins at once, ends when standard input does, and prints every round trip in seconds, as JSON. It is an upper
bound of the lag: this process too has to wait for a core.
"""

import json
import selectors
import socket
import sys
import time

_PAUSE = 0.001  # seconds between two


def main():
    seconds = []
    with (
        socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as peer,
        selectors.DefaultSelector() as waiting,
    ):
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting.register(sys.stdin, selectors.EVENT_READ)
        peer.recv(4096)
        peer.sendall(b"EHLO probe.example.com\r\n")
        peer.recv(4096)
        print("ready", flush=True)
        while not waiting.select(_PAUSE):
            began = time.perf_counter()
            peer.sendall(b"NOOP\r\n")
            if not peer.recv(4096).startswith(b"250"):
                break
            seconds.append(time.perf_counter() - began)
        peer.sendall(b"QUIT\r\n")
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
