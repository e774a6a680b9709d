"""What the tests of the door share: a real relay with a listener of each kind, Works simulated behind it."""

import asyncio
import contextlib
import io
import json
import logging
import re
import socket
import ssl
import threading
import time
import warnings
from concurrent.futures import Future
from pathlib import Path

import structlog
import uvloop

from relay.config.load import build
from relay.console.server import serving
from relay.grants import Grant
from relay.sandbox import Sandbox, Settings
from relay.service import Service
from relay.works.auth.files import GrantFiles
from tests.support.cheap import hash_password, make_certificate

PASSWORD = "c0rrect horse"
LOOPBACK = ["127.0.0.0/8", "::1/128"]


def listeners(folder):
    """A listener of each kind, by name."""
    files = {"certificate_file": f"{folder}/relay.crt", "private_key_file": f"{folder}/relay.key"}
    anywhere = {"address": "127.0.0.1:0", "networks": LOOPBACK}
    return {
        "open": anywhere,
        "login": anywhere | {"auth": "required", "auth_without_tls": True},
        "optional": anywhere | {"auth": "optional", "auth_without_tls": True},
        "starttls": anywhere | files | {"tls": "starttls", "auth": "required"},
        "starttls-open": anywhere | files | {"tls": "starttls", "auth": "optional"},
        "implicit": anywhere | files | {"tls": "implicit", "auth": "required"},
        "legacy": anywhere | files | {"tls": "starttls", "auth": "optional", "tls_profile": "legacy"},
        "small": anywhere | {"message_limit": 1000},
        "elsewhere": anywhere | {"networks": ["10.0.0.0/8"]},
        "domains": anywhere | {"recipient_domains": ["example.com", "*.example.com", "!secret.example.com"]},
        "proxy": anywhere | {"proxy_networks": ["127.0.0.0/8"], "networks": ["10.0.0.0/8"]},
    }


def users():
    hashed = hash_password(PASSWORD)
    own = {"may_send_as": ["*@example.com", "!ceo@example.com"], "account": "scanner"}
    return [
        {"name": "scanner", "password_hash": hashed},
        {"name": "erp", "password_hash": hashed, **own},
        {"name": "mute", "password_hash": hashed, "may_send_as": []},
    ]


def settings(folder, api, *, kinds=None, **more):
    """A configuration with these listeners."""
    no_limits = {"mails_per_minute": 0, "recipients_per_day": 0}
    kinds = kinds or listeners(folder)
    tree = {
        "hostname": "relay.test",
        "state_dir": str(folder),
        "works": {
            "client_id": "sandbox",
            "client_secret": "sandbox-secret",
            "requests_per_minute": 0,
            "api_url": f"{api}/v1.0",
            "auth_url": f"{api}/oauth2/v2.0",
        },
        "account": [{"name": "scanner", "address": "scanner@example.com", "default": True, **no_limits}],
        "listener": list(kinds.values()),
        "user": users(),
        "delivery": {"notify": "postmaster@example.com"},
        "limits": {"login_delay": "0s", "errors": 20},
        "console": {"address": ""},
    }
    for key, value in more.items():
        tree[key] = {**tree.get(key, {}), **value} if isinstance(value, dict) else value
    return build(tree, environ={})


def _consent(sandbox, folder):
    tokens, now = sandbox.issue_grant("scanner@example.com"), time.time()
    grant = Grant(
        access_token=tokens["access_token"],
        expires_at=now + 3600,
        refresh_token=tokens["refresh_token"],
        consented_at=now,
        issued_at=now,
        refresh_issued_at=now,
        whose="scanner@example.com",  # else the operator is told that nobody knows whose mailbox consented
    )
    GrantFiles(folder).write("scanner", grant)


class House:
    """The relay, in a thread with an event loop of its own."""

    def __init__(self, folder, *, loop=uvloop.new_event_loop, kinds=None, **more):
        self.folder = Path(folder)
        self.log = io.StringIO()
        self.ports = {}
        self.sandbox = None
        self.service = None
        self.loop = None
        self._factory = loop
        self._kinds = kinds
        self._more = more
        self._ready = Future()
        self._over = None
        self._logs_before = {}

    def __enter__(self):
        pair = make_certificate()
        (self.folder / "relay.crt").write_bytes(pair.certificate)
        (self.folder / "relay.key").write_bytes(pair.private_key)
        self._logs_before = structlog.get_config()
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
            logger_factory=structlog.WriteLoggerFactory(file=self.log),
            cache_logger_on_first_use=False,
        )
        self._thread = threading.Thread(target=self._run, name="house")
        self._thread.start()
        self._ready.result(20)
        return self

    def __exit__(self, *_):
        if not self._over.done():
            self.loop.call_soon_threadsafe(self._over.set_result, None)
        self._thread.join(30)
        structlog.configure(**self._logs_before)
        assert not self._thread.is_alive(), "the relay did not stop"

    def _run(self):
        with asyncio.Runner(loop_factory=self._factory) as runner:
            try:
                runner.run(self._main())
            except BaseException as error:
                if not self._ready.done():
                    self._ready.set_exception(error)
                raise

    async def _main(self):
        self.loop = asyncio.get_running_loop()
        self._over = self.loop.create_future()
        generous = Settings(requests_per_minute=0, mails_per_minute=0, recipients_per_day=0, keep=200)
        self.sandbox = Sandbox(generous, state_dir=self.folder / "works")
        try:
            async with serving(self.sandbox.app) as works:
                self.url = works.url
                kinds = self._kinds or listeners(self.folder)
                _consent(self.sandbox, self.folder)
                self.config = settings(self.folder, works.url, kinds=kinds, **self._more)
                self.service = Service(self.config)
                await self.service.start()
                addresses = self.service.server.addresses
                self.ports = {name: port for name, (_, port) in zip(kinds, addresses, strict=True)}
                self._ready.set_result(None)
                try:
                    await self._over
                finally:
                    await self.service.stop()
        finally:
            self.sandbox.close()

    def call(self, coroutine, timeout=20):
        """Run this in the relay's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    def connect(self, kind="open", **options):
        return Client(self.ports[kind], **options)

    def requests(self):
        """What Works was given, oldest first."""
        return [self.sandbox.request(message.id) for message in self.sandbox.messages]

    def lines(self):
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    def wait_for_line(self, text, seconds=5):
        until = time.monotonic() + seconds
        while text not in self.log.getvalue():
            assert time.monotonic() < until, f"{text!r} not in the log:\n{self.log.getvalue()[-3000:]}"
            time.sleep(0.01)


class Client:
    """A socket that reads replies."""

    def __init__(self, port, *, timeout=10, source=None, host="127.0.0.1"):
        self.sock = socket.create_connection(
            (host, port), timeout=timeout, source_address=(source, 0) if source else None
        )
        self._buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.close()

    def send(self, octets):
        self.sock.sendall(octets if isinstance(octets, bytes) else octets.encode())

    def line(self):
        while b"\n" not in self._buffer:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(f"closed; before it: {self._buffer!r}")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        assert line.endswith(b"\r"), line
        return line[:-1].decode("ascii")

    def reply(self):
        """The next reply, its lines joined by newlines."""
        lines = [self.line()]
        assert re.match(r"\d{3}[ -]", lines[0]), lines[0]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
        return "\n".join(lines)

    def ask(self, command):
        """Send a line, give its reply."""
        self.send((command if isinstance(command, bytes) else command.encode()) + b"\r\n")
        return self.reply()

    def is_closed(self, seconds=5):
        """Whether nothing more comes and the connection ends, within these seconds."""
        self.sock.settimeout(seconds)
        try:
            while data := self.sock.recv(65536):
                self._buffer += data
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def start_tls(self, *, oldest=False, context=None):
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if oldest:
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
        self.sock = context.wrap_socket(self.sock)

    def greet(self, name="client.example.com"):
        assert self.reply().startswith("220 ")
        return self.ask(f"EHLO {name}")

    def send_mail(self, content, *, to=("a@example.net",), sender="scanner@example.com"):
        """One transaction up to its last reply."""
        assert self.ask(f"MAIL FROM:<{sender}>").startswith("250")
        for path in to:
            assert self.ask(f"RCPT TO:<{path}>").startswith("250")
        assert self.ask("DATA").startswith("354")
        self.send(content + b"\r\n.\r\n")
        return self.reply()
