"""The database server: its address, connections to it, and what its errors mean.

A commit whose end nobody heard is *in doubt*: it may be kept or not. So is one that the server calls done
with a warning, because somebody has cancelled its wait for the replica.
"""

import getpass
import logging
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import conninfo
from psycopg.errors import Diagnostic
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from relay.config.networks import names_loopback
from relay.spool import SpoolError, SpoolFull

# The warning of a commit that did not wait for its replica (PostgreSQL has no code of its own for it).
_WARNING = "01000"
_REPEATABLE = frozenset({"40001", "40P01"})  # serialization failure, deadlock: rolled back as a whole
_FULL = frozenset({"53100", "53200", "54000"})  # disk full, out of memory, a limit of the program
# The server ends the session, or the connection breaks: what was under way may have been done.
_BROKEN = ("08", "57P01", "57P02", "57P03", "57P05", "25P03", "40003")
# The driver's line about one of several hosts, and what it puts before libpq's own words.
_HOST = re.compile(r"- (?:\w+: (?:'[^']*'|None)(?:, )?)+: (?P<said>.*)")
_PREFIX = re.compile(r"^connection (?:failed|is bad): ")
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
# What the driver logs of broken connections the spool says in its own words.
logging.getLogger("psycopg").setLevel(logging.CRITICAL + 1)
_CONNECT_TIMEOUT = 5  # seconds for each host that is named
# A person waits for a command, which asks once: the only host, or each of several (libpq's shortest).
_HURRIED_TIMEOUT, _HURRIED_TIMEOUT_EACH = 3, 2


class InDoubt(SpoolError):  # noqa: N818 - what it is, not an error of ours
    """Nobody knows whether it is kept."""


class Unreachable(SpoolError):  # noqa: N818
    """The server does not answer, or the connection broke before anything was to be kept."""


class NoConnection(Unreachable):
    """There is no connection, and none can be made."""


class Repeatable(SpoolError):  # noqa: N818
    """It was rolled back because of another's change: the same may be tried again at once."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is, and how it is reached."""

    url: str
    password: str = field(default="", repr=False)

    def parameters(self, *, hurried: bool = False) -> dict[str, Any]:
        """What libpq is given.

        Args:
            hurried: whether somebody waits who is to hear soon that nobody answers.

        Raises:
            SpoolError: the URL cannot be read, or would have mail cross a network in plain text.
        """
        try:
            given: dict[str, Any] = dict(conninfo.conninfo_to_dict(self.url))
        except psycopg.Error as error:
            raise SpoolError(f"spool.url cannot be read: {str(error).strip()}") from None
        if self.password:
            given["password"] = self.password
        several = "," in str(given.get("hostaddr") or given.get("host") or "")
        short = _HURRIED_TIMEOUT_EACH if several else _HURRIED_TIMEOUT
        given.setdefault("connect_timeout", short if hurried else _CONNECT_TIMEOUT)
        given.setdefault("application_name", "relay")
        # A database whose machine is gone must be noticed in seconds, not in two hours.
        keepalives = {"keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 3}
        given = {**keepalives, "tcp_user_timeout": 20_000, "client_encoding": "UTF8", **given}
        if not is_local(given):
            _require_tls(given)
        return given

    @property
    def user(self) -> str:
        """The role that it logs in as."""
        named = conninfo.conninfo_to_dict(self.url).get("user")
        return str(named) if named else getpass.getuser()


def is_local(given: Mapping[str, Any]) -> bool:
    """Whether no network lies between: a Unix socket, or loopback addresses only."""
    hosts = str(given.get("hostaddr") or given.get("host") or "").split(",")
    return all(not host or host.startswith(("/", "@")) or names_loopback(host) for host in hosts)


def _require_tls(given: dict[str, Any]) -> None:
    if given.setdefault("sslmode", "verify-full") != "verify-full":
        raise SpoolError(
            f"spool.url asks for sslmode={given['sslmode']}: mail and grants would cross the network "
            "readable, or to anybody who answers; leave sslmode out, or set it to verify-full"
        )
    if "sslrootcert" not in given:
        known = (ssl.get_default_verify_paths().cafile, *_BUNDLES)
        bundle = next((path for path in known if path and Path(path).is_file()), None)
        given["sslrootcert"] = bundle or "system"


class Connection(psycopg.AsyncConnection[TupleRow]):
    """A connection that notes when a commit did not wait for its replica."""

    doubtful = False

    def watch(self) -> None:
        """Listen to the server's warnings."""
        self.add_notice_handler(self._hear)

    def _hear(self, notice: Diagnostic) -> None:
        if notice.sqlstate == _WARNING:
            self.doubtful = True

    def be_certain(self) -> None:
        """Say so if a commit since the last look is in doubt.

        Raises:
            InDoubt: the server has it, and its replica perhaps not.
        """
        doubtful, self.doubtful = self.doubtful, False
        if doubtful:
            raise InDoubt("the database did not wait for its replica")


# Nothing is prepared on the server: behind a pooler in transaction mode a statement prepared by one session
# would be asked of another.
_KEYWORDS: dict[str, Any] = {"autocommit": True, "prepare_threshold": None}


async def _configure(connection: Connection) -> None:
    connection.watch()


async def connect(address: Address, *, hurried: bool = False) -> Connection:
    """A connection outside of a pool; `hurried` as for `Address.parameters`.

    Raises:
        SpoolError: the server cannot be reached, or refuses.
    """
    try:
        connection = await Connection.connect("", **address.parameters(hurried=hurried), **_KEYWORDS)
    except (psycopg.Error, OSError) as error:
        raise translate(error) from error
    connection.watch()
    return connection


class Pool(AsyncConnectionPool[Connection]):
    """Connections to one address, made when they are wanted and made anew when they break."""

    def __init__(self, address: Address, most: int, name: str) -> None:
        super().__init__(
            "",
            connection_class=Connection,
            kwargs={**address.parameters(), **_KEYWORDS},
            min_size=1,
            max_size=most,
            name=name,
            open=False,
            timeout=_CONNECT_TIMEOUT,
            max_lifetime=600.0,  # a promoted replica, or a name with another address, is found by and by
            reconnect_timeout=_CONNECT_TIMEOUT,
            configure=_configure,
            num_workers=1,
        )


def is_broken(error: BaseException) -> bool:
    """Whether what was under way may have been done all the same."""
    if isinstance(error, PoolTimeout | PoolClosed):
        return False
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return error.sqlstate is None or error.sqlstate.startswith(_BROKEN)
    return isinstance(error, OSError)


def translate(error: BaseException, *, sent: bool = False) -> SpoolError:
    """The spool's own error for what the server or the network said.

    Args:
        error: what was raised.
        sent: whether something that commits had been sent when the connection broke.
    """
    if isinstance(error, SpoolError):
        return error
    state = getattr(error, "sqlstate", None) or ""
    text = _describe(error, state)
    if isinstance(error, PoolTimeout | PoolClosed):
        return NoConnection(text)
    if is_broken(error):
        return InDoubt(text) if sent else Unreachable(text)
    if state in _REPEATABLE:
        return Repeatable(text)
    return SpoolFull(text) if state in _FULL else SpoolError(text)


def _describe(error: BaseException, state: str) -> str:
    """The error's first line, or what each host said; of a row that is refused, nothing of its content."""
    if isinstance(error, PoolTimeout | PoolClosed | psycopg.errors.ConnectionTimeout):
        return "the database does not answer"
    if state.startswith(("22", "23")):
        return f"the database refuses a value ({type(error).__name__}, {state})"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    # Where several hosts are named, the first line is the last one's, and the others' follow.
    each = [found["said"] for line in lines if (found := _HOST.fullmatch(line))] or lines[:1]
    return f"the database: {'; '.join(_PREFIX.sub('', one) for one in each)}"
