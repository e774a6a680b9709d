"""The unit files: understood by systemd, tight by its own measure, and not too tight for the relay."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"
needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="Debian's package systemd is not installed"
)


@needs_systemd
def test_systemd_understands_the_units(tmp_path):
    """`systemd-analyze verify` finds nothing, with a command that exists in place of /opt/relay's."""
    for name in ("relay.service", "relay.socket"):
        text = (UNITS / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/relay/bin/relay", "/bin/true"))
    words = ["systemd-analyze", "verify", "--man=no", *map(str, tmp_path.iterdir())]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_systemd
def test_the_exposure_is_low():
    words = ["systemd-analyze", "security", "--offline=true", "--threshold=16", str(UNITS / "relay.service")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r"exposure level for relay.service: ([\d.]+)", done.stdout)
    assert found, done.stderr
    assert float(found[1]) <= 1.2
    assert done.returncode == 0


def test_what_boots_a_systemd_says_what_it_wants():
    """docs/systemd.md tells the reader to run it, and without systemd-nspawn it was a traceback."""
    script = Path(__file__).with_name("booted.py")
    done = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "SYSTEMD_NSPAWN": "/nonexistent/systemd-nspawn"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "systemd-nspawn is not installed (Debian: systemd-container;" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(
    sys.executable.startswith(("/tmp/", "/var/tmp/")),
    reason="NOT TESTED: this Python lies in /tmp, which PrivateTmp= hides",
)
def test_the_relay_works_under_the_restrictions():
    """Each restriction that can be had here bites, and every command does its work under them."""
    done = subprocess.run(
        [sys.executable, UNITS / "self_test.py", "--json"],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    report = json.loads(done.stdout)
    bitten = {what for what, denied in report["denied"].items() if denied}
    works = {command for command, problem in report["commands"].items() if not problem}
    assert works == set(report["commands"]), report
    if any("MemoryDenyWriteExecute" in line for line in report["applied"]):
        assert "memory that is writable and executable" in bitten, report
    if any("RestrictAddressFamilies" in line for line in report["applied"]):
        assert "a raw packet socket" in bitten, report
    if any("ProtectSystem" in line for line in report["applied"]):
        assert "writing outside the state directory" in bitten, report


@pytest.mark.parametrize("port", [25, 465, 587])
def test_the_socket_unit_opens_the_ports(port):
    assert f"\nListenStream={port}\n" in (UNITS / "relay.socket").read_text()


@pytest.mark.parametrize(
    "line",
    [
        "Type=notify",
        "RestartPreventExitStatus=78",
        "LimitNOFILE=65536",
        "WatchdogSec=30s",
        "User=relay",
        "CapabilityBoundingSet=",
        "Sockets=relay.socket",
    ],
)
def test_the_service_unit_says(line):
    assert line in (UNITS / "relay.service").read_text().splitlines()
