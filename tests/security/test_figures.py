"""The short form of each security script: the same measurement, bounded; memory and time are only told."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def run(name):
    done = subprocess.run(
        [sys.executable, HERE / f"{name}.py", "--short", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_no_cell_of_the_matrix_is_open():
    result = run("open_relay")
    assert result["not as configured"] == []
    assert result["open configurations loaded"] == []
    assert 0 < result["accepted"] < result["cells"]


def test_guesses_are_few():
    result = run("password_guesses")
    assert 0 < result["most guesses a connection"] <= 3
    assert result["guesses judged, this address"] <= 60
    assert result["right password, another address"].startswith("235")


def test_a_full_house_says_so_and_recovers():
    result = run("full_house")
    assert result["over the limit: first words"]["421 4.7.0"] > 0
    assert result["no file left: first words"]["421 4.7.0"] > 0
    assert result["no file left: lines that say so"] > 0
    for name in ("over the limit", "64 files", "no file left"):
        assert result[f"{name}: log lines/s"] <= 10
        assert result[f"{name}: normal after s"] < 20


def test_idle_sessions_cost_little():
    """Memory is exact enough to be held to twice the figure: two hundred sessions share fewer pages."""
    result = run("idle_sessions")
    assert result["KiB each, none, uvloop"] <= 2 * 15
    assert result["KiB each, starttls, uvloop"] <= 2 * 60
    assert len(result["latency, times, each round"]) == 1


def test_handshakes_that_never_end_leave_room_for_others():
    result = run("half_open_tls")
    assert result["handshakes held open"] == 100
    served, _, refused = result["ms p50, p99; refused: attacked"]
    assert served
    assert refused <= 2
    assert result["log lines a second"] <= 10


def test_tls_scanners_find_nothing():
    """Without testssl.sh (Debian) the TLS 1.0 client is all there is."""
    result = run("tls_scanners")
    assert result["TLS 1.0 client, legacy"] == "TLSv1"
    assert result["TLS 1.0 client, modern"] != "TLSv1"
    assert result["reached"], result
    skip_without(result["not installed"])


def test_aiosmtpd_finds_its_own_commands_here():
    """Wants pytest-mock, pytest-timeout and aiosmtpd's source distribution."""
    result = run("aiosmtpd_suite")
    skip_without(result.get("not installed"))
    assert result["differ without a reason"] == []
    assert result["passed"] > 50


def skip_without(tools):
    if tools:
        pytest.skip(f"not installed: {', '.join(tools)}")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_the_unit_is_tight():
    assert run("unit_exposure")["reached"]
