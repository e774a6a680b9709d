"""A server that is no relay: it says what a test wants."""

import socket
import threading


def fake_server(*replies, banner=b"220 fake\r\n"):
    """An SMTP server that gives these replies, one a line (None waits for the content's end); its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with listener, listener.accept()[0] as client, client.makefile("rb") as lines:
            client.sendall(banner)
            for reply in replies:
                line = lines.readline()
                while reply is None and line != b".\r\n":
                    line = lines.readline()
                client.sendall(reply or b"")

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]
