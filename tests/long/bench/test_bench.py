"""The bench itself works: every measure gives its figure. No figure is judged here."""

import json
import subprocess
import sys

from tests.support import ROOT


def test_every_measure_gives_its_figures():
    done = subprocess.run(
        [sys.executable, "-m", "tests.long.bench", "--least", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for cell in found["matrix"]:
        assert set(cell["figures"]) == {"aiosmtpd", "straightforward", "relay"}
        assert all(figures["rate"]["median"] > 0 for figures in cell["figures"].values())
    assert found["cpu"]["scans"]["relay"] > 0
    assert found["memory"]["relay 4"]["peak"] >= found["memory"]["relay 4"]["idle"] > 0
    assert found["latency"]["relay"]["count"] == 2
    assert found["latency"]["relay"]["own"] > 0.05
    assert found["lag"]["relay"]["count"] > 0
    assert {one["reply"] for one in found["hostile"].values()} == {"250", "421"}
    assert found["conversion"]["convert"]["median"] > 0
    assert found["start"]["help"]["median"] > 0
