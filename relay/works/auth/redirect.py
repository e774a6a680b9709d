"""Waits on this machine for the browser that comes back from consent."""

import http.server
import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import SplitResult, urlsplit

from relay.config.networks import is_loopback, read_address
from relay.works.auth.consent import ConsentError, read_redirect

_SILENT_BROWSER = 30.0  # seconds; browsers open connections ahead and say nothing on them


class RedirectServer:
    """Waits for the browser at the redirect URL."""

    def __init__(self, redirect_url: str, state: str) -> None:
        self._url = urlsplit(redirect_url)
        self._state = state
        self._codes: queue.Queue[str | ConsentError] = queue.Queue()

    @contextmanager
    def running(self) -> Iterator["RedirectServer"]:
        """Listen, for as long as the context lasts.

        Raises:
            ConsentError: the redirect URL is not this machine's, or its port is in use.
        """
        with ExitStack() as stack:
            for address in _addresses(self._url):
                stack.enter_context(self._serve(address))
            yield self

    @contextmanager
    def _serve(self, address: str) -> Iterator[None]:
        port = self._url.port or 80
        try:
            server = _Server(address, port, self._handler())
        except OSError as error:
            if ":" in address:  # a machine without IPv6
                yield
                return
            raise ConsentError(
                f"cannot listen on {address}:{port} ({error.strerror}); free this port, or use --paste"
            ) from None
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()

    def wait(self, patience: float) -> str:
        """The code that the browser brings within `patience` seconds.

        Raises:
            ConsentError: it brought a refusal, or nobody came.
        """
        try:
            found = self._codes.get(timeout=patience)
        except queue.Empty:
            raise ConsentError("nobody consented in time; start again") from None
        if isinstance(found, ConsentError):
            raise found
        return found

    def receive(self, target: str) -> tuple[int, str]:
        """Take one request's target: the status and the sentence for the browser."""
        if urlsplit(target).path != (self._url.path or "/"):
            return 404, "Nothing is here."
        try:
            code = read_redirect(target, self._state)
        except ConsentError as error:
            # A stranger's or a stale answer must not end the wait; a refusal of ours does.
            if "error=" in target and "state does not fit" not in str(error):
                self._codes.put(error)
            return 400, f"No consent: {error}."
        self._codes.put(code)
        return 200, "Thank you. The relay has the consent; look at its window. This one can be closed."

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        receive = self.receive

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = _SILENT_BROWSER

            def do_GET(self) -> None:
                status, sentence = receive(self.path)
                page = f"<!doctype html><meta charset=utf-8><title>relay</title><p>{sentence}</p>".encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(page)))
                self.send_header("Cache-Control", "no-store")
                self.send_header("Referrer-Policy", "no-referrer")
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *_: Any) -> None:  # the request line holds the code
                pass

        return Handler


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: str, port: int, handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), handler)

    def handle_error(self, *_: Any) -> None:  # a browser that hangs up is no event
        pass


def _addresses(url: SplitResult) -> list[str]:
    host = url.hostname or ""
    if url.scheme == "http" and host == "localhost":
        return ["127.0.0.1", "::1"]
    address = read_address(host)
    if url.scheme == "http" and address is not None and is_loopback(address):
        return [host]
    raise ConsentError(f"works.redirect_url ({url.geturl()}) is not http on this machine; use --paste")
