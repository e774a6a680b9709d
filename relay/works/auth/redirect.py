"""Waits on this machine for the browser that comes back from consent."""

import errno
import hmac
import http.server
import queue
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from relay.config.networks import is_loopback, read_address
from relay.works.auth.consent import ConsentError, OtherAnswerError, read_redirect

_PAGE, _COOKIE = "/login/", "relay_login"
_SILENT_BROWSER = 30.0  # seconds; browsers open connections ahead and say nothing on them


@dataclass(frozen=True, slots=True)
class Page:
    """What the browser is shown."""

    status: int
    sentence: str
    headers: tuple[tuple[str, str], ...] = ()


class RedirectServer:
    """Waits for the browser at the redirect URL, and sends one on its way to the authorization server.

    Every user of the machine can read the command line of a browser that is being started. So a browser is
    started with `page_url`, which is good for one browser, and hears the authorize URL and its state there.
    """

    def __init__(self, redirect_url: str, state: str, authorize_url: str = "") -> None:
        self._url = urlsplit(redirect_url)
        self._state = state
        self._authorize_url = authorize_url
        self._token = secrets.token_urlsafe(24)
        self._cookie = ""  # of the browser that opened the page
        self._opening = threading.Lock()
        self._codes: queue.Queue[str | ConsentError] = queue.Queue()

    @property
    def page_url(self) -> str:
        """The local page for one browser."""
        return f"http://{self._url.netloc}{_PAGE}{self._token}"

    @contextmanager
    def running(self) -> Iterator["RedirectServer"]:
        """Listen, for as long as the context lasts.

        Raises:
            ConsentError: the redirect URL is not this machine's, or its port is in use.
        """
        with ExitStack() as stack:
            addresses = _addresses(self._url)
            listening = [stack.enter_context(self._serve(address)) for address in addresses]
            if not any(listening):
                raise ConsentError(f"this machine has none of {', '.join(addresses)}; use --paste")
            yield self

    @contextmanager
    def _serve(self, address: str) -> Iterator[bool]:
        port = self._url.port or 80
        try:
            server = _Server(address, port, self._handler())
        except OSError as error:
            # A machine may be without IPv6, or without IPv4. An address that another program has is another
            # matter: the browser would bring that program the code.
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                yield False
                return
            raise ConsentError(
                f"cannot listen on {address}:{port} ({error.strerror}); free this port, or use --paste"
            ) from None
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            yield True
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

    def receive(self, target: str, host: str, cookies: str = "") -> Page:
        """Answer one request.

        Args:
            target: of the request line.
            host: the Host field.
            cookies: the Cookie field.
        """
        # A page elsewhere may lead here under a name of its own (DNS rebinding).
        if host.lower() not in self._hosts():
            return Page(421, "Nothing is here under this name.")
        path = urlsplit(target).path
        if hmac.compare_digest(path.encode(), f"{_PAGE}{self._token}".encode()):
            return self._open_page(cookies)
        if path != (self._url.path or "/"):
            return Page(404, "Nothing is here.")
        try:
            code = read_redirect(target, self._state)
        except OtherAnswerError as error:
            return Page(400, f"No consent: {error}.")  # it must not end the wait
        except ConsentError as error:
            self._codes.put(error)
            return Page(400, f"No consent: {error}.")
        self._codes.put(code)
        return Page(200, "Thank you. The relay has the consent; look at its window. This one can be closed.")

    def _open_page(self, cookies: str) -> Page:
        with self._opening:
            if not self._cookie:
                self._cookie = f"{_COOKIE}={secrets.token_urlsafe(24)}"
            elif self._cookie not in [one.strip() for one in cookies.split(";")]:
                # Whoever was first knows the state: no answer to this question can be trusted any more.
                self._codes.put(
                    ConsentError("the page was opened by two programs, one of which is not your browser")
                )
                return Page(403, "Another program was here before. Start relay login again.")
        return Page(
            303,
            "Go on to the login page.",
            (
                ("Location", self._authorize_url),
                ("Set-Cookie", f"{self._cookie}; Path=/; HttpOnly; SameSite=Lax"),
            ),
        )

    def _hosts(self) -> set[str]:
        netloc = self._url.netloc.lower()
        # A browser leaves the usual port out.
        return {netloc, netloc.removesuffix(":80")} if self._url.port in (None, 80) else {netloc}

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        receive = self.receive

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = _SILENT_BROWSER

            def do_GET(self) -> None:
                page = receive(self.path, self.headers.get("Host", ""), self.headers.get("Cookie", ""))
                content = (
                    f"<!doctype html><meta charset=utf-8><title>relay</title><p>{page.sentence}</p>"
                ).encode()
                self.send_response(page.status)
                for name, value in page.headers:
                    self.send_header(name, value)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Cache-Control", "no-store")
                self.send_header("Referrer-Policy", "no-referrer")
                self.end_headers()
                self.wfile.write(content)

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
