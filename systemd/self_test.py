#!/usr/bin/env python3
"""Show that the relay can do its work under the restrictions of relay.service.

    systemd/self_test.py [--relay /opt/relay/bin/relay] [--unit systemd/relay.service] [--json]

Where systemd runs the machine, and for root, the commands run in a transient unit with the very
directives of the unit file. Elsewhere (a container, a build machine) each directive that can be had
without systemd is applied by the same kernel calls that systemd makes, and the others are named as
not applied: those are not tested there. Nothing is sent anywhere; the relay talks to its own
simulated Works on loopback.

Exit code 0: every command did its work. 1: one did not. 2: the restrictions themselves did not bite.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import confinement

_HERE = Path(__file__).resolve().parent
# What serves, waits or names other units has no meaning for a command that ends.
_NOT_FOR_A_COMMAND = {
    "Type", "NotifyAccess", "Sockets", "ExecStart", "ExecReload", "Restart", "RestartSec",
    "RestartPreventExitStatus", "WatchdogSec", "TimeoutStopSec", "LoadCredential", "StateDirectory",
    "StateDirectoryMode", "ConfigurationDirectory",
}  # fmt: skip
_PATIENCE = 60  # seconds for each command
# Tried inside: each must be refused, or the restrictions are not there.
_FORBIDDEN = {
    "memory that is writable and executable": "import mmap; mmap.mmap(-1, 4096, prot=7)",
    "a raw packet socket": "import socket; socket.socket(17, 3)",
    "more open files than the limit": "import resource; resource.setrlimit(7, (1 << 22, 1 << 22))",
    "writing outside the state directory": "open('/var/tmp/relay-self-test', 'w')",
}
_TRY = """
try:
    exec({code!r})
except (OSError, ValueError) as error:
    print("denied", end="")
"""


@dataclass(slots=True)
class Report:
    """What was applied, and what the relay could do under it."""

    how: str
    applied: list[str] = field(default_factory=list)
    not_applied: dict[str, str] = field(default_factory=dict)
    denied: dict[str, bool] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)  # command → "" or what it said

    @property
    def exit_code(self) -> int:
        """0, 1 or 2, as the module says."""
        if not all(self.denied.values()):
            return 2
        return int(any(self.commands.values()))


def read_directives(unit: Path) -> list[tuple[str, str]]:
    """The directives of [Service], in order; a name can come more than once."""
    found, section = [], ""
    for line in unit.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.append((name.strip(), value.strip()))
    return [(name, value) for name, value in found if name not in _NOT_FOR_A_COMMAND]


def run_all(relay: list[str], unit: Path) -> Report:
    """Try what must be denied, then the relay's commands."""
    directives = read_directives(unit)
    with tempfile.TemporaryDirectory(prefix="relay-self-test-", dir="/var/tmp") as name:
        state = Path(name)
        state.chmod(0o700)
        if os.geteuid() == 0 and Path("/run/systemd/system").is_dir():
            report = Report("systemd-run", [f"{k}={v}" for k, v in directives])
            prefix = _transient_unit(directives, state)
        else:
            plan = confinement.Plan.make(directives, state, relay[0])
            report = Report("the same kernel calls, without systemd", plan.applied, plan.not_applied)
            prefix = [sys.executable, str(_HERE / "confinement.py"), plan.to_json()]
        for what, code in _FORBIDDEN.items():
            report.denied[what] = _is_denied(prefix, code)
        for words in (
            ["passwd"],  # argon2, by way of cffi
            ["certificate", "relay.example.com", "--out", str(state / "tls")],  # OpenSSL
            ["sandbox", "--once", "--state-dir", str(state / "sandbox")],  # SMTP, SQLite, OAuth, HTTP
        ):
            report.commands["relay " + words[0]] = _run([*prefix, *relay, *words])
    return report


def _transient_unit(directives: list[tuple[str, str]], state: Path) -> list[str]:
    # The folder of this test belongs to root.
    properties = [f"--property={name}={value}" for name, value in directives if name != "User"]
    return [
        "systemd-run", "--quiet", "--wait", "--pipe", "--collect", *properties,
        f"--property=ReadWritePaths={state}", "--",
    ]  # fmt: skip


def _is_denied(prefix: list[str], code: str) -> bool:
    words = [*prefix, sys.executable, "-c", _TRY.format(code=code)]
    done = subprocess.run(words, capture_output=True, timeout=_PATIENCE, check=False)
    return done.stdout == b"denied"


def _run(words: list[str]) -> str:
    """What the command said if it failed, else nothing."""
    try:
        done = subprocess.run(
            words, input=b"a made-up password\n", capture_output=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return f"did not end within {_PATIENCE} s"
    if done.returncode == 0:
        return ""
    last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [""]
    return f"exit code {done.returncode}: {last[0]}"


def main() -> int:
    """Run, print, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--unit", type=Path, default=_HERE / "relay.service")
    parser.add_argument("--relay", default="", help="the command; else this Python's `-m relay`")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    relay = [options.relay] if options.relay else [sys.executable, "-m", "relay"]
    report = run_all(relay, options.unit)
    if options.json:
        names = ("how", "applied", "not_applied", "denied", "commands")
        print(json.dumps({name: getattr(report, name) for name in names}, indent=2))
        return report.exit_code
    print(f"confined by {report.how}")
    for line in report.applied:
        print(f"  applied      {line}")
    for line, why in report.not_applied.items():
        print(f"  NOT applied  {line}  ({why})")
    for what, denied in report.denied.items():
        print(f"  {'denied      ' if denied else 'NOT DENIED  '} {what}")
    for command, problem in report.commands.items():
        print(f"  {'works       ' if not problem else 'FAILS       '} {command} {problem}")
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
