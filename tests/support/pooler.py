"""pgbouncer in transaction mode, in front of a server of the tests."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
MISSING = "no pgbouncer here: install Debian's pgbouncer"
_PORT = 6543  # of the socket's name; nothing listens on a network
_CONFIGURATION = """[databases]
* = host={server}
[pgbouncer]
listen_addr =
unix_socket_dir = {folder}
listen_port = {port}
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 100
logfile = {folder}/log
pidfile = {folder}/pid
"""


class Pooler:
    """A pooler with so many connections to the server for each database and role."""

    def __init__(self, server, size=3):
        if PROGRAM is None:
            pytest.skip(MISSING)
        self.folder = Path(tempfile.mkdtemp(prefix="relay-pool-"))
        self.folder.chmod(0o755)
        (self.folder / "users").write_text('"relay" ""\n')
        text = _CONFIGURATION.format(server=server.folder, folder=self.folder, port=_PORT, size=size)
        (self.folder / "ini").write_text(text)
        self._rights = {}
        if os.geteuid() == 0:  # it refuses to run as root
            user = pwd.getpwnam("postgres")
            self._rights = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            for path in (self.folder, *self.folder.iterdir()):
                os.chown(path, user.pw_uid, user.pw_gid)
        self._process = None
        self.start()

    def start(self):
        self._process = subprocess.Popen(
            [PROGRAM, "-q", str(self.folder / "ini")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._rights,
        )
        end = time.monotonic() + 30
        while not self._socket.exists():
            assert time.monotonic() < end, (self.folder / "log").read_text()
            time.sleep(0.01)

    @property
    def _socket(self):
        return self.folder / f".s.PGSQL.{_PORT}"

    def kill(self):
        """Break every connection through it."""
        self._process.kill()
        self._process.wait()
        for left in (self._socket, Path(f"{self._socket}.lock"), self.folder / "pid"):
            left.unlink(missing_ok=True)

    def remove(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database):
        return f"postgresql:///{database}?host={self.folder}&port={_PORT}&user=relay"
