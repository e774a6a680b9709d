#!/usr/bin/env python3
"""relay.service and relay.socket under a systemd that is PID 1, in a container of this very machine.

    sudo tests/systemd/booted.py

Wants root and systemd-nspawn (Debian: systemd-container; $SYSTEMD_NSPAWN names another one). The machine's
own root is the container's, below an overlay that is thrown away; it has a network of its own, no other
unit of the machine, and the relay installed as docs/systemd.md says, from this source tree.

Shown: an installation of before, with DynamicUser=, moves to the static user with its mail; a connection
to port 25 starts the service; a message is taken on each of the three ports; the
service runs without any capability, with seccomp, as a user of its own; reload; killed, it is started
again and takes mail; stop; and a connection starts it once more.
"""

import json
import os
import shutil
import smtplib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PORTS = (25, 465, 587)
_CONFIG = """
hostname = "relay.example.com"
[works]
client_id = "i"
api_url = "http://127.0.0.1:9"
auth_url = "http://127.0.0.1:9"
[[account]]
name = "scanner"
address = "scanner@example.com"
default = true
[delivery]
wait = 0
""" + "".join(f'[[listener]]\naddress = "[::]:{port}"\n' for port in PORTS)
_TARGET = """[Unit]
Requires=basic.target relay.socket
Wants=inside.service
"""
_INSIDE = """[Unit]
DefaultDependencies=no
After=basic.target relay.socket
[Service]
Type=oneshot
StandardOutput=file:/out/report
StandardError=file:/out/errors
ExecStart=/opt/relay/bin/python /out/booted.py --inside
ExecStopPost=/bin/systemctl poweroff --no-block
"""


def say(*words):
    return subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=60, check=False)


def show(name):
    return say("show", "-p", name, "--value", "relay.service").stdout.strip()


def send(port):
    """The reply to a message; the connection itself may have to start the relay."""
    for _ in range(40):
        try:
            with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
                client.ehlo()
                client.mail("scanner@example.com")
                client.rcpt("a@example.net")
                code, text = client.data(b"Subject: x\r\n\r\nx")
        except (OSError, smtplib.SMTPException):
            time.sleep(0.5)
        else:
            return f"{code} {text.decode().partition(',')[0]}"
    return "no reply"


def status(pid, *names):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: line.split()[1] for line in lines for name in names if line.startswith(f"{name}:")}


def inside():
    """What the container runs."""
    found = {"PID 1": Path("/proc/1/comm").read_text().strip(), "before": show("ActiveState")}
    found |= move()
    found["first"] = send(25)
    found["ports"] = [send(port) for port in PORTS]
    pid = show("MainPID")
    found |= status(pid, "CapEff", "CapBnd", "NoNewPrivs", "Seccomp")
    found["root"] = status(pid, "Uid")["Uid"] == "0"
    found["reload"] = say("reload", "relay.service").returncode
    say("kill", "-s", "KILL", "relay.service")
    time.sleep(1)
    found["after a kill"] = send(25)
    found["restarts"] = show("NRestarts")
    began = time.monotonic()
    say("stop", "relay.service")
    found["stopped in s"] = round(time.monotonic() - began, 1)
    found["stopped"] = [show("ActiveState"), show("Result")]
    found["started by a connection"] = send(587)
    print(json.dumps(found))


def move():
    """From DynamicUser= to the static user, as docs/systemd.md says."""
    before = Path("/run/systemd/system/relay.service.d/before.conf")
    before.parent.mkdir(parents=True)
    before.write_text("[Service]\nDynamicUser=yes\n")
    say("daemon-reload")
    found = {"DynamicUser": [send(25), os.path.islink("/var/lib/relay")]}  # noqa: PTH114
    say("stop", "relay.socket", "relay.service")
    before.unlink()
    subprocess.run(["systemd-sysusers", "/out/relay.conf"], check=True, timeout=60)
    say("daemon-reload")
    say("start", "relay.socket")
    state = Path("/var/lib/relay")
    found["static user"] = [send(25), state.is_symlink(), state.owner()]
    for words in (["queue", "list", "--json"], ["accounts"]):
        done = subprocess.run(
            ["/opt/relay/bin/relay", *words], capture_output=True, text=True, timeout=60, check=False
        )
        if words[0] == "queue" and not done.returncode:
            found["moved and new mail"] = len(json.loads(done.stdout)["messages"])
        found[f"root's {words[0]}"] = done.stderr or done.returncode
    owners = {path.owner() for path in (state, *state.rglob("*"))}
    return found | {"owners": sorted(owners)}


def prepare(folder):
    source = Path(__file__).parents[2]
    units, etc, out = (folder / name for name in ("units", "etc", "out"))
    for part in (units, etc, out):
        part.mkdir()
    for name in ("relay.service", "relay.socket"):
        shutil.copy(source / "systemd" / name, units)
    (units / "inside.target").write_text(_TARGET)
    (units / "inside.service").write_text(_INSIDE)
    (etc / "relay.toml").write_text(_CONFIG)
    (etc / "client_secret").write_text("made-up")
    (etc / "client_secret").chmod(0o600)
    folder.chmod(0o755)  # a service of another user reads its configuration
    shutil.copy(__file__, out)
    shutil.copy(source / "systemd" / "relay.conf", out)
    # Not below /root: the service sees no home directory. A shell script starts Python wherever it lies.
    python = shutil.which("python3.11", path="/usr/bin") or "/usr/bin/python3"
    home = folder / "opt"
    subprocess.run([python, "-m", "venv", "--without-pip", str(home)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(home / "bin/python"), "install", "-q", str(source)]
    subprocess.run(pip, check=True)
    start = home / "bin/relay"
    start.write_text('#!/bin/sh\nexec /opt/relay/bin/python -m relay "$@"\n')
    start.chmod(0o755)


def boot(folder, nspawn):
    root = folder / "root"
    root.mkdir()
    words = [nspawn, "--register=no", "--keep-unit", "--private-network", "--volatile=overlay", "--quiet"]
    words += ["--link-journal=no", f"--directory={root}", "--machine=relay-booted", "--boot"]
    words += [f"--bind-ro={folder / 'units'}:/etc/systemd/system", f"--bind-ro={folder / 'etc'}:/etc/relay"]
    words += [f"--bind-ro={folder / 'opt'}:/opt/relay", f"--bind={folder / 'out'}:/out"]
    words += ["--", "--unit=inside.target"]
    # The machine's root cannot be a container's under its own name.
    script = f'mount --make-rprivate / && mount --bind / {root} && exec "$@"'
    subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=150,
        check=False,
    )
    report = (folder / "out" / "report").read_text()
    return json.loads(report) if report else sys.exit((folder / "out" / "errors").read_text())


def main():
    if "--inside" in sys.argv:
        return inside()
    nspawn = shutil.which(os.environ.get("SYSTEMD_NSPAWN") or "systemd-nspawn")
    if nspawn is None:
        sys.exit("systemd-nspawn is not installed (Debian: systemd-container; $SYSTEMD_NSPAWN names another)")
    if os.geteuid() != 0:
        sys.exit("a container wants root: sudo tests/systemd/booted.py")
    with tempfile.TemporaryDirectory(prefix="relay-booted-") as name:
        prepare(Path(name))
        found = boot(Path(name), nspawn)
    for key, value in found.items():
        print(f"{key:26} {value}")
    taken = [found["first"], *found["ports"], found["after a kill"], found["started by a connection"]]
    confined = found["CapEff"] == found["CapBnd"] == "0" * 16 and found["Seccomp"] == "2"
    well = found["PID 1"] == "systemd" and found["before"] == "inactive" and not found["root"]
    moved = [found["DynamicUser"], found["static user"], found["moved and new mail"], found["owners"]]
    well = well and moved == [["250 2.0.0 queued", True], ["250 2.0.0 queued", False, "relay"], 2, ["relay"]]
    return 0 if well and confined and taken == ["250 2.0.0 queued"] * len(taken) else 1


if __name__ == "__main__":
    sys.exit(main())
