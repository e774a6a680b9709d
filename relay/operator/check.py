"""Everything that `relay serve` needs, looked at without serving: what is wrong, and what to do.

Each check gives findings; one that cannot be made because an earlier one failed says nothing.
"""

import errno
import os
import re
import shutil
import stat
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from relay.config.include import find_files
from relay.config.model import Account, Config, Delivery, Listener
from relay.grants import Grant, GrantError, explain_unverified
from relay.operator import calling, reach
from relay.operator.alerts.telling import describe_ways, find_untold
from relay.operator.certificates import name_console, read_expiries
from relay.operator.concerns import explain_redirection
from relay.operator.database import check_database
from relay.operator.findings import Finding, Level, fine, problem, warning
from relay.operator.ports import find_port_problems
from relay.operator.running import ask_concerns, check_running, find_held
from relay.operator.suspicions import find_suspicions
from relay.smtp.server import ListenError, tls_context
from relay.smtp.tls import as_listener
from relay.spool import SpoolError, SpoolLocked
from relay.stores import open_grants, open_spool
from relay.works.auth.authorizer import Authorizer
from relay.works.auth.errors import TokenError
from relay.works.auth.keeping import Keeping
from relay.works.auth.oauth import AuthServer
from relay.works.diagnosis import Failure
from relay.works.http.proxy import Proxy

# The first release of each line with the fixes of header injection in `email` (CVE-2026-1299 among them).
_GOOD_PYTHON = {(3, 11): 15, (3, 12): 13, (3, 13): 12}
_LITTLE_SPACE = 1024**3  # octets
_DAY = 86400.0
_WARN_DAYS = 30
_NOT_OURS = "run this as the relay's own user, `chown` the directory to it, or name another state_dir"
_NO_DIRECTORY = "something else is there: move it away, or name another state_dir"
# Hashes can be tried at leisure by whoever reads them.
_SECRET_KEYS = re.compile(
    r"^[ \t]*(password_hash|client_secret|password|proxy)[ \t]*=(?!.*://[^@\n]*$)", re.MULTILINE
)
_NEW_CERTIFICATE = (
    "put a new certificate and its own key in its place, which are read without a restart; "
    "or: sudo relay certificate --force"
)
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


async def check(config: Config, path: Path | None = None) -> AsyncIterator[Finding]:
    """Look at everything, in the order in which `serve` would meet it.

    Args:
        config: what `serve` would use.
        path: the file that it was read from, to look who else can read and write it.
    """
    files = [] if path is None else [path, *find_files(config.include, path, [])]
    spool = await _spool(config)
    concerns = await ask_concerns(config)
    held = find_held(concerns)
    for finding in (*_configuration(files), *find_suspicions(config, files), *_state_dir(config)):
        yield finding
    unusable = {} if spool.runs else {one.subject: one for one in find_port_problems(config)}
    for finding in (*await _listeners(config), *await _console(config)):
        yield unusable.get(finding.subject, finding)
    for finding in (*_copies(config.delivery), *spool.findings, *check_running(config, concerns)):
        yield finding
    yield _app(config)
    for name, url in (("api_url", config.works.api_url), ("auth_url", config.works.auth_url)):
        yield await _reach(name, url, Proxy.to(url, config.works.proxy))
    if not config.account:
        yield problem("accounts", "there is no [[account]], so nothing can be sent", "add one to relay.toml")
    grants = open_grants(config)
    for account in config.account:
        if spool.answers:
            found = await _account(config, account, held.get(account.name), grants)
        else:
            found = problem(f"account {account.name}", "not known", "see the database above")
        yield replace(found, account=account.name)
    yield _alerts(config)
    yield _python()


def find_remedy(error: SpoolError) -> str:
    """What to do about a state directory that cannot be used; "" where the error says it, or nobody knows."""
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno in _FORBIDDEN:
        return _NOT_OURS
    return _NO_DIRECTORY if isinstance(cause, NotADirectoryError | FileExistsError) else ""


def _alerts(config: Config) -> Finding:
    if untold := find_untold(config):
        text = f"if the grant of {', '.join(untold)} dies, nobody is told"
        remedy = (
            "set [alert] url, command or a Bot; or delivery.notify, with a fallback or a second account "
            "to send that mail"
        )
        return warning("alerts", text, remedy)
    return fine("alerts", f"trouble is told by {describe_ways(config) or 'nobody'}")


def _python() -> Finding:
    version = sys.version_info
    wanted = _GOOD_PYTHON.get((version.major, version.minor), 0)
    text = f"Python {version.major}.{version.minor}.{version.micro}"
    if version.micro < wanted:
        return warning(
            "python",
            f"{text}: its email library lacks fixes of header injection, which could add fields to a notice",
            f"install the updates of this system, which mend it without another number; by itself it is "
            f"mended in {version.major}.{version.minor}.{wanted}",
        )
    return fine("python", text)


def _configuration(files: list[Path]) -> Iterator[Finding]:
    for path in files:
        try:
            mode = path.stat().st_mode
            text = path.read_text(encoding="utf-8") if mode & stat.S_IROTH else ""
        except OSError:
            continue  # root has read it; the owner of state_dir, who looks now, may not
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            yield warning("configuration", f"{path} can be written by other users", f"chmod go-w {path}")
        if secrets := sorted(set(_SECRET_KEYS.findall(text))):
            yield warning(
                "configuration",
                f"{path} can be read by every user of this machine, and holds {', '.join(secrets)}",
                f"let only the service's user read it: chgrp relay {path} && chmod 640 {path}",
            )


def _state_dir(config: Config) -> Iterator[Finding]:
    folder = config.state_dir
    # What is there of it; where it is forbidden to look, nothing is.
    existing = next(path for path in (folder, *folder.parents) if os.path.exists(path))  # noqa: PTH110
    if not existing.is_dir():
        yield problem("state_dir", f"{existing} is not a directory", _NO_DIRECTORY)
        return
    if not os.access(existing, os.W_OK | os.X_OK):
        yield problem("state_dir", f"{folder} cannot be written by this user", _NOT_OURS)
        return
    if folder.exists() and folder.stat().st_mode & 0o077:
        yield warning(
            "state_dir",
            f"{folder} can be entered by other users; it holds tokens and mail",
            f"chmod 700 {folder}",
        )
    free = shutil.disk_usage(existing).free
    text = f"{folder}, {free / 1024**3:.1f} GB free"
    if free < config.spool.keep_free:
        text += ", less than [spool] keep_free: new mail would get 452"
        yield problem("state_dir", text, "make room on its disk")
        return
    yield Finding("state_dir", Level.WARNING if free < _LITTLE_SPACE else Level.OK, text)


async def _listeners(config: Config) -> list[Finding]:
    expiries = await read_expiries(one.certificate_file for one in config.listener)
    return [_listener(one, expiries.get(one.certificate_file)) for one in config.listener]


async def _console(config: Config) -> list[Finding]:
    found, shows = list(find_console_problems(config)), as_listener(config.console)
    if shows is not None:
        expiries = await read_expiries([shows.certificate_file])
        certificate = _listener(shows, expiries.get(shows.certificate_file))
        if certificate.level is not Level.OK:
            found.append(replace(certificate, subject=name_console(shows.address)))
    return found


def _listener(listener: Listener, expires: float | None) -> Finding:
    """What a listener offers, and what is wrong with that.

    Args:
        listener: which.
        expires: when its certificate does, seconds since the epoch; None: it has none that can be read.
    """
    subject = f"listener {listener.address}"
    try:
        tls_context(listener)
    except ListenError as error:
        return problem(subject, error.problem, error.remedy or _NEW_CERTIFICATE)
    text = f"tls {listener.tls}, auth {listener.auth}, networks {', '.join(map(str, listener.networks))}"
    if listener.tls != "none" and expires is not None:
        days = int((expires - time.time()) / _DAY)
        if expires <= time.time():
            text = f"its certificate {listener.certificate_file} has expired: clients that look at it go away"
            return problem(subject, text, _NEW_CERTIFICATE, mail_goes=True)
        text += f"; its certificate is good for {days} days"
        if days <= _WARN_DAYS:
            return warning(subject, text, _NEW_CERTIFICATE)
    if listener.tls_profile == "legacy":
        return warning(subject, f"{text}; takes TLS 1.0", "keep it for the printers that need it")
    if listener.auth_without_tls and listener.tls == "none":
        return warning(subject, f"{text}; passwords cross the network in plain text")
    return fine(subject, text)


def _copies(delivery: Delivery) -> Iterator[Finding]:
    """Who gets mail that is not theirs: nobody should find that out from the mail."""
    if delivery.redirect_all:
        remedy = "if it is not meant, take redirect_all out of [delivery]"
        yield warning("redirect_all", explain_redirection(delivery.redirect_all), remedy)
    elif delivery.always_bcc:
        archive = ", ".join(delivery.always_bcc)
        yield fine("always_bcc", f"an unseen copy of every message goes to {archive}")


def find_console_problems(config: Config) -> Iterator[Finding]:
    """What is wrong with who reaches the console, and how."""
    console = config.console
    if not console.address:
        return
    subject = f"console {console.address}"
    if not console.is_reachable:
        yield fine(subject, "only this machine reaches it")
    elif not (config.console_user or console.is_encrypted):
        yield problem(
            subject,
            "other machines reach it, so its pages are closed: there is neither a user nor TLS",
            "add a [[console_user]] (and a certificate_file, or an https url), or listen on 127.0.0.1",
            mail_goes=True,
        )
    elif not console.is_encrypted:
        text = "other machines reach it, and its passwords cross the network in plain text"
        remedy = "set [console] certificate_file, or url to the https URL of a proxy before it"
        yield warning(subject, text, remedy)
    elif not config.console_user:
        yield warning(subject, "other machines reach it, and whoever does may look", "add a [[console_user]]")
    else:
        yield fine(subject, f"https, {len(config.console_user)} users")


class _Spool(NamedTuple):
    """What was found of it."""

    findings: list[Finding]
    answers: bool = True  # the accounts' grants, which are kept beside the mail, can be asked for
    runs: bool = False  # a relay does, and has it


async def _spool(config: Config) -> _Spool:
    embedded = config.spool.is_embedded
    try:
        answer = await calling.call(config.control_socket, "queue_list", states=["failed"], limit=1)
    except calling.NotRunning:
        if embedded:
            return _Spool([await _own_spool(config)], runs=False)
        return _Spool(*await check_database(config), runs=False)
    except calling.Refused as error:
        used = problem("spool", str(error))
    else:
        used = fine("spool", f"in use by the running relay; {_tell(answer['counts'])}")
    if embedded:
        return _Spool([used], runs=True)
    found, answers = await check_database(config)
    # What the database says of the mail is in there, too.
    return _Spool(found if used.level is Level.OK else [used, *found], answers, runs=True)


async def _own_spool(config: Config) -> Finding:
    spool = open_spool(config)
    if not spool.exists():
        return fine("spool", "there is none yet; `relay serve` makes it")
    try:
        await spool.open(stands=False)
    except SpoolLocked as error:
        return problem("spool", str(error), f"it does not listen at {config.control_socket}: restart it")
    except SpoolError as error:
        return problem("spool", f"cannot be opened: {error}", find_remedy(error) or "relay help durability")
    try:
        counts = await spool.counts()
    finally:
        await spool.close()
    return fine("spool", _tell({state.value: n for state, n in counts.items()}))


def _tell(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {state}" for state, n in counts.items() if n) or "empty"


def _app(config: Config) -> Finding:
    works = config.works
    if not works.client_id or not works.client_secret.get_secret_value():
        missing = "client_id" if not works.client_id else "client_secret"
        return problem(
            "app",
            f"works.{missing} is missing",
            "copy it from the app's page in the Works Developer Console: relay help start",
        )
    for path in map(Path, (works.client_secret_file, works.proxy_file)):
        # A secret in the environment goes before the file, which then may be missing.
        if path.is_file() and path.stat().st_mode & 0o077:
            return warning("app", f"{path} can be read by other users", f"chmod 600 {path}")
    return fine("app", f"client_id {works.client_id}, secret present")


async def _reach(name: str, url: str, proxy: Proxy | None) -> Finding:
    place = reach.name_place(url) + (f" through the proxy {proxy.place}" if proxy else "")
    wrong = await reach.find_trouble(url, proxy)
    if wrong is None:
        return fine(name, f"{place} can be reached")
    return problem(name, f"{place}: {wrong.problem}", wrong.remedy)


async def _account(config: Config, account: Account, held: Finding | None, grants: Keeping) -> Finding:
    subject, login = f"account {account.name}", f"sudo relay login {account.name}"
    try:
        grant = (await grants.load(account.name)).grant
    except GrantError as error:
        if isinstance(error.__cause__, SpoolError):
            return problem(subject, f"not known: {error}", "see the database above")
        forbidden = isinstance(error.__context__, PermissionError)
        remedy = "run this as the relay's own user or as root" if forbidden else login
        return problem(subject, str(error), remedy)
    if grant is None:
        return problem(subject, f"nobody has consented for {account.address} yet", login)
    level, text, remedy = await _try_grant(config, account, grants)
    if not level and held is not None:
        return held
    if level:
        return Finding(subject, level, text, remedy or login)
    return _age(subject, account, (await grants.load(account.name)).grant or grant, login)


async def _try_grant(config: Config, account: Account, grants: Keeping) -> tuple[Level | None, str, str]:
    """What is wrong with it and what to do; None: nothing. No remedy: another consent."""
    authorizer = Authorizer(AuthServer(config.works), grants)
    try:
        # A living access token says nothing about the secret and the consent, by which the next one is had.
        await authorizer.token(account.name, rejected=await authorizer.token(account.name))
    except TokenError as error:
        if error.failure is Failure.TOKEN_UNAVAILABLE:
            return Level.WARNING, "its grant could not be tried now", "see auth_url above"
        if error.failure is Failure.APP_REFUSED:
            remedy = "compare client_id and client_secret with the Works Developer Console"
            return Level.PROBLEM, "Works refuses the app", remedy
        return Level.PROBLEM, "its grant is dead: its mail is held", ""
    finally:
        await authorizer.aclose()
    return None, "", ""


def _age(subject: str, account: Account, grant: Grant, login: str) -> Finding:
    left = grant.refresh_expires_at - time.time()
    days = int(left / _DAY)
    if left <= 0:
        return problem(subject, "its grant is dead: its time is over", login)
    if not grant.is_verified:
        return warning(subject, "may send", explain_unverified(account.name, account.address))
    text = f"may send as {account.address}"
    if grant.rotation:
        return fine(subject, f"{text}; its grant renews itself")
    level = Level.WARNING if days <= _WARN_DAYS else Level.OK
    remedy = login if level is Level.WARNING else ""
    return Finding(subject, level, f"{text}; consent is needed again in {days} days", remedy)
