"""Plant links and tables in a state directory, run every command as root, and see what it touched.

Run as root: .venv/bin/python -m tests.long.security.planted

The state directory belongs to another user, who may be a service that was taken over. For each kind of plant
and each command: which of root's files changed, whether the contents of one were shown, and whether anything
was sent to where a planted table says.
"""

import contextlib
import hashlib
import http.server
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.support import warm
from tests.support.other_user import SOMEBODY, public_python

SECRET = "SECRET-OF-ROOT-0123456789"
PATIENCE = 60  # seconds for a command
# Paths in the state directory that are planted as links, and what of root's is behind them.
LINKS = {
    "grants": "folder",
    "grants/.scanner.lock": "file",
    "grants/scanner.json": "secret",
    "spool": "folder",
    "spool/lock": "nologin",  # is made by whoever opens it
    "spool/reserve": "file",
    "spool/spool.db": "file",
    "spool/incoming": "folder",
    "spool/content": "folder",
    "spool/orphaned": "folder",
    "control.sock": "socket",
    "told.json": "secret",
    "logins.json": "secret",
    "learned.toml": "secret.toml",
    "relay-key.pem": "file",
    "relay-certificate.pem": "file",
    "works": "folder",
}
# Configuration that the owner of the state directory would like root to read; URL is a server of his.
TABLES = {
    "works": '[works]\nauth_url = "URL"\n',
    "secret": '[works]\nclient_secret_file = "SECRET"\n',
    "listener": '[[listener]]\naddress = "0.0.0.0:0"\nnetworks = ["0.0.0.0/0"]\n',
    "user": '[[user]]\nname = "him"\npassword_hash = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA"\n',
    "include": 'include = ["SECRET"]\n',
    "account": '[[account]]\nname = "him"\naddress = "him@example.com"\n',
    "rights of a device": '[[device]]\naddress = "192.168.1.9"\nmay_send_as = ["*"]\n',
}


def _link(name, target, *, hard=False):
    return lambda scene: scene.link(name, target, hard=hard)


def _table(text):
    return lambda scene: scene.write_learned(text)


KINDS = {
    **{f"link at {name}": _link(name, target) for name, target in LINKS.items()},
    "second name at grants/scanner.json": lambda scene: scene.link(
        "grants/scanner.json", "secret", hard=True
    ),
    "second name at spool/spool.db": lambda scene: scene.link("spool/spool.db", "file", hard=True),
    **{f"table {name}": _table(text) for name, text in TABLES.items()},
}
COMMANDS = {
    "serve": ["serve"],
    "check": ["check"],
    "login": ["login", "scanner", "--paste"],
    "accounts": ["accounts", "--json"],
    "confirm": ["accounts", "--confirm", "scanner"],
    "logout": ["logout", "scanner", "--force"],
    "queue list": ["queue", "list"],
    "queue discard": ["queue", "discard", "--all", "--yes"],
    "trace": ["trace", "1M8M4SQB26QN"],
    "doctor": ["doctor"],
    "learn": ["learn"],
    "send": ["send", "MESSAGE"],
    "explain": ["explain", "MESSAGE"],
    "certificate": ["certificate", "relay.example.com", "--force"],
    "sandbox": ["sandbox", "--once", "--state-dir", "STATE"],
}


class Scene:
    """Root's files, a state directory of somebody else, and an authorization server of his."""

    def __init__(self, folder, url="", auth_url="http://127.0.0.1:9"):
        self.outside, self.state, self.url = folder / "root", folder / "state", url
        self.outside.mkdir()
        (self.outside / "folder").mkdir()
        for name in ("file", "secret", "folder/one", "folder/two"):
            path = self.outside / name
            path.write_text(SECRET)
            path.chmod(0o600)
        (self.outside / "secret.toml").write_text(f'{SECRET} = "{SECRET}"\n')
        (self.outside / "secret.toml").chmod(0o600)
        self._listening = socket.socket(socket.AF_UNIX)
        # A path of a socket has 107 octets at most.
        self._listening.bind(str(self.outside / "socket"))
        (self.outside / "socket").chmod(0o600)
        self._listening.listen()
        self.message = self.outside / "message.eml"
        self.message.write_bytes(b"To: b@example.com\nSubject: x\n\n" + b"hello\n" * 20_000)
        self.message.chmod(0o600)
        self.config = self.outside / "relay.toml"
        self.write_config(auth_url)

    def write_config(self, auth_url=""):
        where = f'auth_url = "{auth_url}"\n' if auth_url else ""
        self.config.write_text(
            f'state_dir = "{self.state}"\n[works]\nclient_id = "app"\nclient_secret = "{SECRET}"\n'
            f'api_url = "http://127.0.0.1:9/v1.0"\n{where}'
            '[console]\naddress = ""\n[[listener]]\naddress = "127.0.0.1:0"\n'
            '[[account]]\nname = "scanner"\naddress = "scanner@example.com"\ndefault = true\n'
            '[[account]]\nname = "erp"\naddress = "erp@example.com"\n'
        )
        self.config.chmod(0o600)

    def close(self):
        self._listening.close()

    def link(self, name, target, *, hard=False):
        path = self.state / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.hardlink_to if hard else path.symlink_to)(self.outside / target)

    def write_learned(self, text):
        """A table, and a grant that is due: its refresh sends the app's secret to where auth_url says."""
        self.write_config()
        (self.state / "grants").mkdir(parents=True)
        grant = dict.fromkeys(("expires_at", "consented_at", "issued_at"), 1.0)
        grant |= {"access_token": "a", "refresh_token": "b", "refresh_issued_at": time.time()}
        (self.state / "grants" / "scanner.json").write_text(json.dumps(grant))
        text = text.replace("URL", self.url).replace("SECRET", str(self.outside / "secret"))
        (self.state / "learned.toml").write_text(text)

    def fill(self):
        """A spool that is there already: without one most commands have nothing to open."""
        with contextlib.suppress(OSError):
            (self.state / "spool").mkdir(parents=True, exist_ok=True)
            if not (self.state / "spool").is_symlink():
                (self.state / "spool" / "spool.db").open("xb").close()

    def give_away(self):
        outside = {path.stat().st_ino for path in self.outside.rglob("*")}
        for path in (self.state, *self.state.rglob("*")):
            if path.is_symlink() or path.stat().st_ino not in outside:
                os.chown(path, SOMEBODY, SOMEBODY, follow_symlinks=False)
        self.state.chmod(0o700)

    def snapshot(self):
        return {str(path): _describe(path) for path in sorted(self.outside.rglob("*"))}

    def run(self, words, program=None):
        """A command's exit code and output; `program` stands in for `python -m relay`."""
        python, environment = public_python()
        given = [{"MESSAGE": str(self.message), "STATE": str(self.state)}.get(word, word) for word in words]
        if words[0] != "sandbox":
            given += ["--config", str(self.config)]
        process = subprocess.Popen(
            [*(program or (*python, "-m", "relay")), *given],
            env=environment,
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            # A service that does serve ends as one that is told to; a paste is no code of anybody's.
            output, _ = process.communicate(b"code=x\n", timeout=PATIENCE if words[0] != "serve" else 10)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, output.decode(errors="replace")


def _describe(path):
    found = path.lstat()
    content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(found.st_mode) else ""
    return found.st_mode, found.st_uid, found.st_gid, found.st_size, found.st_mtime_ns, content


@contextmanager
def serving():
    """An authorization server: its URL, and what it was asked for."""
    asked = []
    tokens = b'{"access_token": "a", "expires_in": 3600, "refresh_token": "b", "scope": "mail"}'

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(tokens)))
            self.end_headers()
            self.wfile.write(tokens)

        do_POST = do_GET  # noqa: N815 - http.server's names

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def public_folder():
    """A folder that every user may look into."""
    folder = Path(tempfile.mkdtemp(prefix="relay-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def attempt(kind, name, url, auth_url):
    """Run a command over what is planted: its exit code, its output, and which of root's files changed."""
    with public_folder() as folder:
        scene = Scene(folder, url, auth_url)
        try:
            KINDS[kind](scene)
            scene.fill()
            scene.give_away()
            before = scene.snapshot()
            # A service is ended by a signal, which only a process of its own hears.
            code, output = scene.run(COMMANDS[name], None if name == "serve" else warm.relay(public=True))
            after = scene.snapshot()
        finally:
            scene.close()
    changed = [path for path in before.keys() | after.keys() if before.get(path) != after.get(path)]
    return code, output, changed


def attempt_all(pairs):
    """What went wrong, by kind and command; nothing is what is hoped for. Also the exit codes."""
    with serving() as (url, asked), serving() as (ours, _), ThreadPoolExecutor(2) as pool:
        found = dict(zip(pairs, pool.map(lambda pair: attempt(*pair, url, ours), pairs), strict=True))
    wrong = {pair: changed for pair, (_, _, changed) in found.items() if changed}
    for pair, (_, output, _) in found.items():
        if SECRET in output or "Traceback" in output:
            wrong[pair] = output
    if asked:
        wrong["the owner's server"] = asked
    return wrong, {pair: code for pair, (code, _, _) in found.items()}


def main():
    pairs = [(kind, name) for kind in KINDS for name in COMMANDS]
    wrong, codes = attempt_all(pairs)
    report = {"kinds": len(KINDS), "commands": len(COMMANDS), "runs": len(codes)}
    print(json.dumps(report | {"wrong": [f"{pair}: {what}" for pair, what in wrong.items()]}, indent=2))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
