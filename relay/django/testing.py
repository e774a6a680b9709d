"""Django's tests against a real relay: what it gives to a simulated Works is the outbox.

`django.core.mail.outbox` shows what a program wrote. This shows what the recipients get: what of a message
the API carries, and what the relay refuses. Nothing leaves the machine.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from django.conf import settings
from django.test.utils import override_settings

_BACKEND = "relay.django.EmailBackend"
_PATIENCE = 30.0  # seconds
# Pacing is no matter of tests: a hundred mails would take more than a minute.
_SANDBOX = (
    *("sandbox", "--json", "--smtp-port=0", "--http-port=0"),
    *("--mails-per-minute=0", "--requests-per-minute=0"),
)


class Outbox:
    """What the simulated Works took, oldest first.

    Attributes:
        host, port: where the relay takes mail.
        url: of its pages; `/inbox` shows the messages to people.
        had_faults: whether Works was let fail: the relay may keep mail that comes when the fault is over.
    """

    def __init__(self, smtp: str, url: str) -> None:
        self.host, _, port = smtp.rpartition(":")
        self.port = int(port)
        self.url = url
        self.had_faults = False

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The API's requests, with `to`, `cc`, `bcc`, `subject`, `body`, `contentType`, `attachments`."""
        return [one["request"] for one in self._ask("GET", "/sandbox/messages")]

    def __len__(self) -> int:
        return len(self.requests)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.requests[index]

    def clear(self) -> None:
        """Forget the messages and the faults."""
        self._ask("DELETE", "/sandbox/messages")
        self._ask("DELETE", "/sandbox/faults")

    def add_fault(self, kind: str, **wish: Any) -> None:
        """Let Works fail.

        Args:
            kind: such as "503", "429" or "no-answer".
            wish: how often and for how long: `times`, `seconds`.
        """
        self.had_faults = True
        self._ask("POST", "/sandbox/faults", {"kind": kind, **wish})

    def _ask(self, method: str, path: str, wish: dict[str, Any] | None = None) -> Any:
        data = None if wish is None else json.dumps(wish).encode()
        asked = Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310 - our own
        # A proxy that the environment names is not for loopback.
        with build_opener(ProxyHandler({})).open(asked, timeout=_PATIENCE) as answer:
            content = answer.read()
        return json.loads(content) if content else None


@contextmanager
def relay_outbox() -> Iterator[Outbox]:
    """Run a relay against a simulated Works, and send the site's mail to it meanwhile."""
    with _run_sandbox() as outbox, override_settings(**_make_settings(outbox)):
        yield outbox


class RelayOutboxMixin:
    """For a TestCase: one relay for the class, and an empty `self.outbox` for each test."""

    outbox: Outbox
    _relay: ExitStack

    @classmethod
    def setUpClass(cls) -> None:
        """Start the relay."""
        super().setUpClass()  # type: ignore[misc]  # a TestCase's
        cls._relay = ExitStack()
        cls.addClassCleanup(cls._relay.close)  # type: ignore[attr-defined]  # a TestCase's
        cls.outbox = cls._relay.enter_context(_run_sandbox())

    def setUp(self) -> None:
        """Empty the outbox, and send the site's mail to it."""
        super().setUp()  # type: ignore[misc]  # a TestCase's
        if self.outbox.had_faults:
            # The relay may have kept mail, which would arrive in this test.
            self._relay.close()
            type(self).outbox = self._relay.enter_context(_run_sandbox())
        self.outbox.clear()
        self.enterContext(override_settings(**_make_settings(self.outbox)))  # type: ignore[attr-defined]  # a TestCase's


@contextmanager
def _run_sandbox() -> Iterator[Outbox]:
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        command = [sys.executable, "-m", "relay", *_SANDBOX]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said)  # noqa: S603 - our own command
        with process:
            try:
                line = process.stdout.readline() if process.stdout else b""
                if not line:
                    said.seek(0)
                    raise RuntimeError(f"relay sandbox did not start: {said.read()[-2000:]}")
                where = json.loads(line)
                yield Outbox(where["smtp"], where["url"])
            finally:
                process.terminate()
                process.communicate()


def _make_settings(outbox: Outbox) -> dict[str, Any]:
    """The site's mail settings, with the relay's address in place of every server's."""
    if hasattr(settings, "MAILERS"):  # Django 6.1 and later
        return {"MAILERS": {alias: _make_mailer(outbox, one) for alias, one in settings.MAILERS.items()}}
    return {
        "EMAIL_BACKEND": _BACKEND,
        "EMAIL_HOST": outbox.host,
        "EMAIL_PORT": outbox.port,
        "EMAIL_HOST_USER": "",
        "EMAIL_HOST_PASSWORD": "",
        "EMAIL_USE_TLS": False,
        "EMAIL_USE_SSL": False,
    }


def _make_mailer(outbox: Outbox, configured: dict[str, Any]) -> dict[str, Any]:
    # Of the options only what is asked of every message concerns tests, too.
    asked = {name: value for name, value in configured.get("OPTIONS", {}).items() if name == "fail_on_loss"}
    return {"BACKEND": _BACKEND, "OPTIONS": {"host": outbox.host, "port": outbox.port, **asked}}
