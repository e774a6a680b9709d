"""The budgets alone, in short."""

import json
import subprocess
import sys

from tests.support import ROOT


def test_a_backlog_against_the_simulated_works_own_counting():
    """The short form of tests/long/load/pacing_alone.py; its exit code says whether every limit held."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.long.load.pacing_alone", "--messages", "300", "--accounts", "3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["answers"] == {"202": 300}
