"""A real PostgreSQL for tests: one server for each process that asks, one database for each test.

Found by $RELAY_TEST_POSTGRES (a folder with initdb), else where Debian puts it, else on the path. The server
does not run as root, so under root it gets another user. Without one these tests are skipped, and say so.
"""

import asyncio
import atexit
import base64
import contextlib
import functools
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

MISSING = (
    "no PostgreSQL server here: install Debian's postgresql, or name initdb's folder in RELAY_TEST_POSTGRES"
)
KEY = base64.b64encode(bytes(range(32))).decode()  # seals grants
_SETTINGS = {
    "listen_addresses": "''",
    "fsync": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "max_wal_size": "256MB",
    "logging_collector": "off",
}


def find_programs():
    """The folder of initdb and pg_ctl; None if there is none."""
    known = [os.environ.get("RELAY_TEST_POSTGRES", ""), *sorted(_debian(), reverse=True)]
    found = shutil.which("initdb")
    known += [str(Path(found).parent)] if found else []
    return next((Path(one) for one in known if one and Path(one, "initdb").exists()), None)


def _debian():
    return map(str, Path("/usr/lib/postgresql").glob("*/bin"))


class Server:
    """A server of its own, in a folder of its own, that listens on a socket there.

    `follows` is the server whose replica it is to be.
    """

    _NEW = ("--locale=C", "-A", "trust", "-N")

    def __init__(self, follows=None, **settings):
        self._programs = find_programs()
        if self._programs is None:
            pytest.skip(MISSING)
        self.folder = Path(tempfile.mkdtemp(prefix="relay-pg-"))
        self._user = _find_user()
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self.folder.chmod(0o711)
        self._data = self.folder / "data"
        self._settings = {**_SETTINGS, **settings}
        self._numbers = itertools.count(1)
        atexit.register(self.remove)
        self._make(follows)
        self.start()

    def _make(self, primary):
        """Its files: new ones, or a copy of another server's, whose replica it is then."""
        if primary is None:
            self._run("initdb", "-D", self._data, "-U", "owner", "-E", "UTF8", *self._NEW)
        else:
            words = ("-h", primary.folder, "-U", "owner", "-R", "-X", "stream", "-c", "fast", "-N")
            self._run("pg_basebackup", "-D", self._data, *words)

    def _run(self, program, *words, check=True):
        rights = {}
        if self._user is not None:
            rights = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        # Not through a pipe: the server would keep it open.
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            words = [str(self._programs / program), *map(str, words)]
            done = subprocess.run(
                words, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False, **rights
            )
        assert not check or not done.returncode, f"{words}: {Path(log.name).read_text()[-2000:]}"

    def start(self):
        options = " ".join(f"-c {name}={value}" for name, value in self._settings.items())
        options += f" -c unix_socket_directories={self.folder}"
        self._run("pg_ctl", "-D", self._data, "-w", "-t", "60", "-o", options, "start")

    def stop(self, mode="immediate"):
        self._run("pg_ctl", "-D", self._data, "-w", "-m", mode, "stop", check=False)

    def restart(self):
        """As after a power cut."""
        self.stop()
        self.start()

    def kill(self):
        """As if its machine were gone."""
        pid = int((self._data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)

    def follow(self, primary):
        """Begin anew, as the replica of another server."""
        self.stop()
        shutil.rmtree(self._data)
        self._make(primary)
        self.start()

    def promote(self):
        """Make a primary of the replica."""
        self._run("pg_ctl", "-D", self._data, "-w", "-t", "60", "promote")

    def wait_for_replica(self, *, strictly):
        """Have commits wait for a replica from now on, once there is one that follows; or not any more."""
        self.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{'*' if strictly else ''}'")
        self.sql("SELECT pg_reload_conf()")
        query = "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')"
        end = time.monotonic() + 60
        while strictly and not self.sql(query)[0][0]:
            assert time.monotonic() < end, "no replica follows"
            time.sleep(0.02)

    def remove(self):
        if self.folder.exists():
            self.stop()
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.with_name(f"{self.folder.name}.log").unlink(missing_ok=True)

    def url(self, database="postgres", user="owner"):
        return f"postgresql:///{database}?host={self.folder}&user={user}"

    def sql(self, query, database="postgres"):
        """Run something as the owner; the rows."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(query)
            return cursor.fetchall() if cursor.description is not None else []

    @functools.cached_property
    def _template(self):
        """A database with the relay's tables: to copy it is faster than to make them."""
        self.sql("CREATE ROLE relay LOGIN")
        name = self.make_empty()
        with ThreadPoolExecutor(1) as thread:  # a test that asks first may run a loop of its own
            thread.submit(lambda: asyncio.run(migrate(self.url(name)))).result()
        return name

    def make_empty(self):
        """A database without any table; its name."""
        name = f"empty{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name}")
        return name

    def make(self):
        """A database with the relay's tables; its name."""
        name = f"relay{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {self._template}")
        return name

    def kill_sessions(self, database):
        """End every session of the relay, as an operator or a failing network may."""
        self.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE datname = '{database}' AND usename = 'relay'"
        )


async def migrate(url, role="relay"):
    from relay.postgres.schema import migrate_as
    from relay.postgres.server import Address

    return await migrate_as(Address(url), role)


def _find_user():
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise AssertionError("root has no other user to run a server as")


@functools.cache
def server():
    """The server of this process; skips the test where there is none."""
    return Server()


def open_spool_on(database, folder, **options):
    """An engine on a database of `server`, with a state directory."""
    from relay.postgres.engine import Options, PostgresSpool
    from relay.postgres.server import Address

    address = Address(server().url(database, "relay"))
    report, clock = options.pop("report", None), options.pop("clock", None)
    return PostgresSpool(
        Options(folder, options.pop("name", "node"), address, **options), report=report, clock=clock
    )
