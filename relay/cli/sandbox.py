"""`relay sandbox`: the whole relay against a simulated Works on loopback; no account needed."""

import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from relay.cli import EX_CANTCREAT, EX_SOFTWARE, EX_UNAVAILABLE, UNWRITTEN, Failure
from relay.cli.sandbox_lines import Lines
from relay.cli.startup import become_owner
from relay.cli.terminal import echo, print_json

if TYPE_CHECKING:
    from relay.cli.sandbox_originals import Originals
    from relay.console.server import Front
    from relay.console.server import Server as HttpServer
    from relay.sandbox import Sandbox
    from relay.sandbox.faults import FaultRequest
    from relay.service import Service

_HOST = "127.0.0.1"
# To the pages and the simulated API together; the relay itself takes one for each request under way.
_MOST_CONNECTIONS = 200
_SMTP_PORT, _HTTP_PORT, _API_PORT = 2525, 8580, 8581
_ADDRESSES = {"scanner": "scanner@example.com", "erp": "erp@example.com"}
_SAMPLE_RECIPIENTS = ["yamada@example.com", "soumu@example.com", "archive@example.com"]
_ONCE_PATIENCE = 15.0  # seconds; the relay itself waits ten for Works, then it says "queued"
_SETTLING_PATIENCE, _POLL = 2.0, 0.05  # seconds; the answer may come before the attempt's end is written
_PORT = click.IntRange(0, 65535)
_AT_LEAST_ONE, _NOT_NEGATIVE = click.IntRange(min=1), click.IntRange(min=0)


@dataclass(frozen=True, slots=True)
class _Options:
    smtp_port: int
    http_port: int
    once: bool
    api_only: bool
    as_json: bool
    faults: "list[FaultRequest]"
    settings: dict[str, int | bool]


def _read_faults(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> "list[FaultRequest]":
    if not texts:
        return []
    from relay.sandbox import Clock
    from relay.sandbox.faults import Faults, parse_fault

    try:
        wishes = [parse_fault(text) for text in texts]
        for wish in wishes:
            Faults(Clock()).add(wish)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return wishes


@click.command()
@click.option(
    "--smtp-port", type=_PORT, help=f"Where to take mail; {_SMTP_PORT} by default, 0 for any free port."
)
@click.option(
    "--http-port", type=_PORT, help=f"Console and inbox; {_HTTP_PORT}, or {_API_PORT} with --api-only."
)
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to keep everything; else in a temporary folder, until the end.",
)
@click.option("--once", is_flag=True, help="Send one sample scan through, print the request, exit.")
@click.option(
    "--api-only", is_flag=True, help="Only the simulated Works, for a relay that is configured to use it."
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    callback=_read_faults,
    metavar="KIND[:NAME=VALUE,…]",
    help="Begin with a fault, such as 503, 429:seconds=30 or cut-after:times=2; may be repeated.",
)
@click.option("--rotation", is_flag=True, help="Each refresh gives a new refresh token; the old one dies.")
@click.option("--access-token-life", type=_AT_LEAST_ONE, help="Seconds; 86400 by default, as Works has it.")
@click.option("--requests-per-minute", type=_NOT_NEGATIVE, help="Of the domain; 240 by default, 0: no limit.")
@click.option("--mails-per-minute", type=_NOT_NEGATIVE, help="Of each mailbox; 60 by default, 0: no limit.")
@click.option("--json", "as_json", is_flag=True, help="Print where it listens, once it does, as JSON.")
def command(
    *,
    smtp_port: int | None,
    http_port: int | None,
    state_dir: Path | None,
    once: bool,
    api_only: bool,
    as_json: bool,
    faults: "list[FaultRequest]",
    **settings: int | bool | None,
) -> None:
    """Try the relay in a minute: a simulated Works, a relay before it, and an inbox to look at.

    Needs no Works account and no root. What is sent goes nowhere but the inbox page.
    """
    if once and api_only:
        raise click.UsageError(
            "--once sends through the relay, which --api-only leaves out; give one of them"
        )
    usual_smtp, usual_http = (0, 0) if once else (_SMTP_PORT, _API_PORT if api_only else _HTTP_PORT)
    options = _Options(
        usual_smtp if smtp_port is None else smtp_port,
        usual_http if http_port is None else http_port,
        once,
        api_only,
        as_json,
        faults,
        {name: value for name, value in settings.items() if value is not None},
    )
    from relay.config.load import ConfigError
    from relay.config.model import Log
    from relay.grants import GrantError
    from relay.host import logs
    from relay.service import run
    from relay.smtp.server import ListenError
    from relay.spool import SpoolError

    logs.set_up(Log(level="warning"))  # each mail has a line of its own
    try:
        with _folder(state_dir) as folder:
            run(_main(options, folder))
    except (ConfigError, GrantError) as error:
        raise Failure(f"{error}; name another --state-dir", EX_CANTCREAT) from None
    except ListenError as error:
        raise Failure(f"{error}; --smtp-port names another", EX_UNAVAILABLE) from None
    except SpoolError as error:
        raise Failure(f"{error}; --state-dir names another folder", EX_UNAVAILABLE) from None
    except OSError as error:
        if not error.filename and error.errno in UNWRITTEN:
            raise  # what --once prints
        raise _explain(error, options) from None


def _explain(error: OSError, options: _Options) -> Failure:
    why = error.strerror or error
    if error.filename:
        return Failure(f"{error.filename}: {why}; name a writable --state-dir", EX_CANTCREAT)
    return Failure(
        f"{_HOST}:{options.http_port}: cannot listen: {why}; choose another with --http-port", EX_UNAVAILABLE
    )


@contextlib.contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        become_owner(given)
        given.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield given.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="relay-") as name:
        yield Path(name).resolve()


async def _main(options: _Options, folder: Path) -> None:
    from relay.cli.sandbox_originals import Originals

    originals = Originals()
    if options.api_only:
        async with _simulated(options, folder) as (sandbox, _, http):
            secret = sandbox.settings.client_secret
            _say(f"simulated Works   {http.url}/v1.0 and {http.url}/oauth2/v2.0")
            _say(f"its app           client_id {sandbox.settings.client_id}, client_secret {secret}")
            _say(f"inbox             {http.url}/inbox")
            if options.as_json:
                _tell_programs(http.url)
            await _until_told()
        return
    async with (
        _simulated(options, folder, originals) as (sandbox, front, http),
        _relay(options, folder, sandbox, http, lines := Lines(sandbox, originals)) as service,
    ):
        originals.watch(service)
        _add_console(front, service, sandbox)
        host, port = service.server.addresses[0]
        if options.once:
            await _send_sample(host, port)
            await _show_request(sandbox, service)
            return
        _say(f"SMTP      {host}:{port}   no login needed; any sender, any recipient")
        _say(f"inbox     {http.url}/inbox   what was sent, as its recipients would see it")
        _say(f"console   {http.url}/")
        _say(f"try it    swaks --server {host}:{port} --to a@example.com --attach @file.pdf")
        _say("Ctrl-C stops it")
        if options.as_json:
            _tell_programs(http.url, f"{host}:{port}")
        telling = asyncio.create_task(lines.watch(service), name="lines")
        await _until_told()
        telling.cancel()


def _tell_programs(url: str, smtp: str | None = None) -> None:
    """Where it listens, for whoever started it with ports of its own choice."""
    pages = {"inbox": f"{url}/inbox", "messages": f"{url}/sandbox/messages"}
    print_json({"smtp": smtp, "url": url, **pages}, indent=None)
    sys.stdout.flush()


def _say(line: str) -> None:
    echo(line, err=True)


async def _until_told() -> None:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()


@asynccontextmanager
async def _simulated(
    options: _Options, folder: Path, originals: "Originals | None" = None
) -> "AsyncIterator[tuple[Sandbox, Front, HttpServer]]":
    from relay.console.guard import Guard
    from relay.console.server import Front, serving
    from relay.sandbox import Sandbox, Settings

    settings = replace(Settings(members=tuple(_ADDRESSES.values())), **options.settings)  # type: ignore[arg-type]
    sandbox = Sandbox(settings, state_dir=folder / "works", teller=originals)
    try:
        for wish in options.faults:
            sandbox.faults.add(wish)
        front = Front(Guard(sandbox.app))  # a page elsewhere could read the inbox under a name of its own
        async with serving(front, _HOST, options.http_port, _MOST_CONNECTIONS) as http:
            yield sandbox, front, http
    finally:
        sandbox.close()


def _add_console(front: "Front", service: "Service", sandbox: "Sandbox") -> None:
    """The console and the simulated Works on one port."""
    from relay.console.access import OPEN
    from relay.console.app import build
    from relay.console.service import ServiceStatus

    # Nobody else's mail is here, and no other machine reaches it: whoever plays with it may act.
    app = build(
        ServiceStatus(service),
        service.config,
        access=OPEN,
        beside=sandbox.app,
        links={"Inbox": "/inbox"},
    )
    front.replace(app)


@asynccontextmanager
async def _relay(
    options: _Options, folder: Path, sandbox: "Sandbox", http: "HttpServer", lines: Lines
) -> "AsyncIterator[Service]":
    from relay.config.load import build
    from relay.service import Service
    from relay.stores import open_grants
    from relay.works.auth.consent import complete
    from relay.works.auth.oauth import AuthServer

    # The relay keeps to what this Works permits, as whoever configures one for it would see to.
    mails = sandbox.settings.mails_per_minute
    accounts = [
        {"name": name, "address": address, "mails_per_minute": mails} for name, address in _ADDRESSES.items()
    ]
    config = build(
        {
            "hostname": "localhost",
            "state_dir": str(folder),
            "works": {
                "client_id": sandbox.settings.client_id,
                "client_secret": sandbox.settings.client_secret,
                "api_url": f"{http.url}/v1.0",
                "auth_url": f"{http.url}/oauth2/v2.0",
                "requests_per_minute": sandbox.settings.requests_per_minute,
            },
            "account": [{**accounts[0], "default": True}, *accounts[1:]],
            "listener": [{"address": f"{_HOST}:{options.smtp_port}", "options_by_field": True}],
            "console": {"address": ""},
        },
        environ={},
    )
    grants = open_grants(config)
    for name, address in _ADDRESSES.items():
        # Consent, with the clicking done here: the code is real, and so is what follows.
        member = sandbox.grants.admit(address)
        code = sandbox.grants.issue_code(member, ("mail",), config.works.redirect_url)
        grant = await complete(config.works, AuthServer(config.works), code, "")
        await grants.begin(name, replace(grant, whose=address))
    service = Service(config, on_kept=lines.keep)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


async def _send_sample(host: str, port: int) -> None:
    import smtplib

    content = Path(__file__).parents[1].joinpath("sandbox", "sample.eml").read_bytes()
    _say(f"sending a sample scan of {len(content)} octets to {host}:{port}")
    try:
        reply = await asyncio.to_thread(_submit, host, port, content)
    except (smtplib.SMTPException, TimeoutError) as error:
        late = isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError)
        said = f"gave no answer in {_ONCE_PATIENCE:.0f} s" if late else f"did not take the sample: {error}"
        raise Failure(f"the relay {said}", EX_SOFTWARE) from None
    _say(f"the relay answered: {reply}")


async def _show_request(sandbox: "Sandbox", service: "Service") -> None:
    if not sandbox.messages:
        why = await _explain_nothing(service)
        raise Failure(f"the simulated Works took nothing; {why}", EX_SOFTWARE)
    print_json(sandbox.request(sandbox.messages[-1].id))
    sys.stdout.flush()


async def _explain_nothing(service: "Service") -> str:
    from relay.spool import WAITING

    waiting = await service.verbs.queue_list([state.value for state in WAITING], 1)
    if not waiting["messages"]:
        return "the relay's answer says why"
    queue_id = waiting["messages"][0]["queue_id"]
    entry = await service.verbs.queue_show(queue_id)
    patience = time.monotonic() + _SETTLING_PATIENCE
    while entry["state"] == "sending" and time.monotonic() < patience:
        await asyncio.sleep(_POLL)
        entry = await service.verbs.queue_show(queue_id)
    return f"the sample is {entry['state']}: {entry['status']} {entry['reason']}".rstrip(": ")


def _submit(host: str, port: int, content: bytes) -> str:
    import smtplib

    with smtplib.SMTP(host, port, timeout=_ONCE_PATIENCE) as client:
        client.ehlo()
        client.mail("scanner@example.com")
        for recipient in _SAMPLE_RECIPIENTS:  # the last one is in no field: a Bcc
            client.rcpt(recipient)
        code, text = client.data(content)
        return f"{code} {text.decode('ascii', 'replace')}"
