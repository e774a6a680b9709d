"""Send a message by every client program that can be had, each in its usual configuration.

    .venv/bin/python -m tests.long.clients                    those that are here
    .venv/bin/python -m tests.long.clients --install          all: what is missing is installed for the run
    .venv/bin/python -m tests.long.clients --install exim4 postfix

With --install (root, on Debian or its kin, with pip and npm set up) each program that is missing, or that
would take /usr/sbin/sendmail for itself, gets a file system of its own over this machine's; it is gone
afterwards. The exit code is 1 if a message did not arrive whole and at its recipient.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from relay.config.model import Log
from relay.host import logs
from tests.long.clients.clients import read_clients, run_client, running_relay

OVERLAY = Path(__file__).parent / "overlay.sh"


def make_overlay(client, folder):
    """The command before the script's own, by which it has all that it needs."""
    needs = [" ".join(client.needs.get(kind, ())) for kind in ("debian", "pip", "npm")]
    unshare = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
    return (*unshare, "bash", str(OVERLAY), str(folder), *needs)


def run(client, relay, *, install):
    """What to say of a client: "ok", "not here", or why it failed."""
    if not client.is_here() and not install:
        return "not here"
    with tempfile.TemporaryDirectory() as own, tempfile.TemporaryDirectory() as upper:
        before = () if client.is_here() else make_overlay(client, upper)
        return run_client(client, relay, Path(own), before=before) or "ok"


def main():
    """0 if every message arrived."""
    clients = read_clients()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--install", action="store_true", help="also what is not here; needs root")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these; all without")
    options = parser.parse_args()
    if unknown := set(options.names) - clients.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(clients)}")
    if options.install:
        subprocess.run(["apt-get", "update", "-qq"], check=True)
    results = []
    logs.set_up(Log(level="error"))
    with running_relay() as relay:
        for name in options.names or clients:
            began = time.monotonic()
            result = run(clients[name], relay, install=options.install)
            print(f"{name:20} {result}   {time.monotonic() - began:.1f} s", flush=True)
            results.append(result)
    failed = len(results) - results.count("ok") - results.count("not here")
    print(f"{results.count('ok')} arrived, {failed} failed, {results.count('not here')} are not here")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
