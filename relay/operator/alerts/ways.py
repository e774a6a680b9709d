"""The ways by which an alert leaves: each tells one at a time, and says why it could not."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Protocol

from pydantic import SecretStr

from relay.config.model import Config
from relay.host.shared import how_to_add
from relay.works.bot import Bot, BotError
from relay.works.http.post import PostError, post_json

_COMMAND_PATIENCE, _APPRISE_PATIENCE = 30.0, 60.0  # seconds
# Of its own: a service that hangs may not take the threads that look after grants.
_THREADS = ThreadPoolExecutor(2, thread_name_prefix="apprise")
# Of the relay's environment, what another program has no business with: its secrets, and systemd's handles.
_PRIVATE = ("RELAY_", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "LISTEN_", "WATCHDOG_")


class WayError(Exception):
    """Nobody was told this way; says why, and no secret."""


@dataclass(frozen=True, slots=True)
class Alert:
    """What is told. Times are of RFC 3339, in UTC."""

    event: str  # begun | changed | again | over | trial
    text: str  # all of it, for people; the name is what Slack, Teams and others show
    hostname: str
    kind: str  # of outcome.TroubleKind
    name: str
    health: str  # warn | bad; ok when it is over
    reason: str
    remedy: str
    since: str
    ended: str | None = None


class Way(Protocol):
    """One of them."""

    @property
    def name(self) -> str:
        """What it is called in the log, in `relay status` and in what is remembered."""

    async def tell(self, alert: Alert) -> str:
        """Tell it; what was answered.

        Raises:
            WayError: nobody was told.
        """


@dataclass(frozen=True, slots=True)
class ByUrl:
    """JSON is POSTed."""

    url: SecretStr
    proxy: SecretStr
    name: str = "url"

    async def tell(self, alert: Alert) -> str:
        """See Way."""
        try:
            status = await post_json(self.url.get_secret_value(), asdict(alert), self.proxy)
        except PostError as error:
            raise WayError(str(error)) from None
        if not 200 <= status < 300:  # noqa: PLR2004 - HTTP
            raise WayError(f"HTTP {status}")
        return f"HTTP {status}"


@dataclass(frozen=True, slots=True)
class ByCommand:
    """A program is run."""

    command: tuple[str, ...]
    name: str = "command"

    async def tell(self, alert: Alert) -> str:
        """See Way."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(_PRIVATE)}
        try:
            process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env=environment,
                start_new_session=True,  # its children end with it
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a command"
            raise WayError(f"{self.command[0]} cannot be run: {reason}") from None
        code = await _feed(process, json.dumps(asdict(alert), ensure_ascii=False).encode() + b"\n")
        if code:
            raise WayError(f"{self.command[0]} ended with {code}")
        return "ended with 0"


async def _feed(process: asyncio.subprocess.Process, octets: bytes) -> int:
    """Give a program its input and wait for its end.

    Raises:
        WayError: it did not end in time.
    """
    try:
        async with asyncio.timeout(_COMMAND_PATIENCE):
            await process.communicate(octets)
    except TimeoutError:
        raise WayError(f"it did not end in {_COMMAND_PATIENCE:.0f} seconds") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return process.returncode or 0


@dataclass(frozen=True, slots=True)
class ByApprise:
    """One of Apprise's hundred services."""

    url: SecretStr
    name: str

    async def tell(self, alert: Alert) -> str:
        """See Way."""
        try:
            async with asyncio.timeout(_APPRISE_PATIENCE):
                loop, url = asyncio.get_running_loop(), self.url.get_secret_value()
                return await loop.run_in_executor(_THREADS, _notify, url, alert)
        except TimeoutError:
            raise WayError(f"no answer in {_APPRISE_PATIENCE:.0f} seconds") from None


def _notify(url: str, alert: Alert) -> str:
    try:
        import apprise
    except ImportError:
        raise WayError(f"Apprise is not installed: {how_to_add('alert')}") from None
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it names URLs, and what stands in them
    service = apprise.Apprise()
    if not service.add(url):
        raise WayError("Apprise does not know such a URL")
    if not service.notify(body=alert.text, title=f"{alert.hostname}: mail relay"):
        raise WayError("the service did not take it")
    return "taken"


@dataclass(frozen=True, slots=True)
class ByBot:
    """A LINE WORKS Bot."""

    bot: Bot
    name: str = "bot"

    async def tell(self, alert: Alert) -> str:
        """See Way."""
        try:
            await self.bot.say(alert.text)
        except BotError as error:
            raise WayError(str(error)) from None
        return "taken"


def find_ways(config: Config, now: Callable[[], float] = time.time) -> Sequence[Way]:
    """Those that the configuration names.

    Args:
        config: which.
        now: seconds since the epoch.
    """
    alert, ways = config.alert, list[Way]()
    if alert.url.get_secret_value():
        ways.append(ByUrl(alert.url, config.works.proxy))
    if alert.command:
        ways.append(ByCommand(alert.command))
    ways += [ByApprise(url, f"apprise {number}") for number, url in enumerate(alert.urls, 1)]
    if alert.bot_id:
        ways.append(ByBot(Bot(config.works, alert, now)))
    return ways
