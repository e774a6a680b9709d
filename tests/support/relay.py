"""The relay between real sockets and a simulated Works, with a clock that all of them share."""

import asyncio
import contextlib
import smtplib
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from relay.config.load import build
from relay.console.server import serving
from relay.grants import Grant
from relay.host.clock import Clock
from relay.sandbox import Clock as SandboxClock
from relay.sandbox import Sandbox, Settings
from relay.service import Service
from relay.spool import State
from relay.works.auth.errors import TokenError
from relay.works.auth.files import GrantFiles

CLIENT = {"client_id": "sandbox", "client_secret": "sandbox-secret"}
PATIENCE = 30.0  # seconds of real time that a test waits for something to come true


@dataclass
class Relay:
    sandbox: Sandbox
    service: Service
    clock: SandboxClock

    async def send(self, *to, sender="scanner@example.com", subject="Scan", body="Hello", **more):
        """Submit a message by SMTP; the reply's code and text."""
        to = to or ("a@example.net",)
        content = (
            more.pop("content", None)
            or (
                f"From: {more.pop('author', sender)}\r\nTo: {to[0]}\r\nSubject: {subject}\r\n\r\n{body}\r\n"
            ).encode()
        )
        return await asyncio.to_thread(
            self._send, sender, to, content, more.pop("source", None), more.get("login")
        )

    def _send(self, sender, to, content, source, login):
        address = self.service.server.addresses[0]
        with smtplib.SMTP(*address, timeout=PATIENCE, source_address=source and (source, 0)) as client:
            client.ehlo("device.test")
            if login:
                client.login(*login)
            client.mail(sender)
            for one in to:
                client.rcpt(one)
            code, text = client.data(content)
            return code, text.decode()

    async def put(self, *to, **more):
        """Submit a message and give its queue id."""
        code, text = await self.send(*to, **more)
        assert code == 250, text
        return text.rpartition("id=")[2]

    async def entry(self, queue_id):
        return await self.service.spool.show(queue_id)

    async def attempts(self, queue_id):
        return (await self.service.verbs.trace(queue_id))["attempts"]

    async def reply(self, queue_id):
        """What the client of a message heard, once that is recorded."""

        async def recorded():
            reply = (await self.service.verbs.trace(queue_id))["reply"]
            return reply if reply["heard"] is not None else None

        return await until(recorded)

    async def reach(self, queue_id, *states):
        """Wait until the message is in one of these states."""

        async def there():
            entry = await self.entry(queue_id)
            return entry if entry.state in states else None

        return await until(there)

    def pass_time(self, seconds):
        """Let time pass for the relay and for Works."""
        self.clock.move(seconds)
        self.service.pacing.wake()
        self.service.courier.wake()

    def subjects(self):
        return [self.sandbox.request(one.id)["subject"] for one in self.sandbox.messages]

    def sent_to(self):
        return [self.sandbox.request(one.id)["to"] for one in self.sandbox.messages]

    async def log_in(self, address="scanner@example.com", account="scanner"):
        """Somebody consents, and the relay notices."""
        self.keep_grant(account, grant_of(self.sandbox, address, self.clock.now()))
        await self.notice_grants(account)

    def keep_grant(self, account, grant):
        """Somebody consents."""
        GrantFiles(self.service.config.state_dir).write(account, grant)

    async def notice_grants(self, account="scanner"):
        """What happens every two seconds, now."""
        with contextlib.suppress(TokenError):
            await self.service.authorizer.check(account)


async def until(check, patience=PATIENCE):
    """What `check` gives as soon as it is true."""
    end = time.monotonic() + patience
    while True:
        found = check()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < end, "it did not come true"
        await asyncio.sleep(0.01)


def grant_of(sandbox: Sandbox, address: str, now: float, **more) -> Grant:
    answer = sandbox.issue_grant(address)
    base = {
        "access_token": answer["access_token"],
        "expires_at": now + float(answer["expires_in"]),
        "refresh_token": answer["refresh_token"],
        "consented_at": now,
        "issued_at": now,
        "refresh_issued_at": now,
        "scope": "mail",
        "whose": address,
    }
    return Grant(**base | more)


def tree(url: str, state_dir: Path, **sections) -> dict:
    return {
        "hostname": "relay.test",
        "state_dir": str(state_dir),
        "works": {**CLIENT, "api_url": f"{url}/v1.0", "auth_url": f"{url}/oauth2/v2.0"}
        | sections.pop("works", {}),
        "account": [{"name": "scanner", "address": "scanner@example.com", "default": True}],
        "listener": [{"address": "127.0.0.1:0"}],
        "console": {"address": ""},
        **sections,
    }


@asynccontextmanager
async def relaying(
    state_dir: Path, settings: Settings | None = None, *, grants=None, at=None, originals=None, **sections
):
    """A relay that runs, by the clock `at`; `grants` names the accounts that have consented, or all have.

    `originals` tells the inbox of the simulated Works what it knows, as under `relay sandbox`.
    """
    clock = SandboxClock()
    sandbox = Sandbox(settings, clock=clock, teller=originals)
    state_dir.mkdir(exist_ok=True)
    async with serving(sandbox.app) as http:
        config = build(tree(http.url, state_dir, **sections), environ={})
        store = GrantFiles(state_dir)
        for account in config.account:
            if grants is None or account.name in grants:
                store.write(account.name, grant_of(sandbox, account.address, clock.now()))
        on_kept = originals.keep if originals else None
        service = Service(config, clock=at or Clock.of(clock.now), on_kept=on_kept)
        if originals:
            originals.watch(service)
        await service.start()
        try:
            yield Relay(sandbox, service, clock)
        finally:
            await service.stop()
            sandbox.close()


WAITING = (State.QUEUED, State.DELAYED, State.HELD)
