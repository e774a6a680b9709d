"""The short form of each security script: the same measurement, bounded. Memory and time are only "
"reported."""

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
    assert max(result["over the limit: log lines/s"], result["64 files: log lines/s"]) <= 10
    assert max(result["over the limit: normal after s"], result["64 files: normal after s"]) < 20


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_the_unit_is_tight():
    assert run("unit_exposure")["reached"]
