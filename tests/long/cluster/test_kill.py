"""The short form: machines that are killed and ended, and their database."""

import json
import subprocess
import sys

import pytest

from tests.support import ROOT, postgres


@pytest.mark.skipif(postgres.find_programs() is None, reason=postgres.MISSING)
def test_nothing_is_lost_when_machines_or_their_database_are_killed():
    """No lease runs out here, so that a busy machine changes nothing but the time it takes."""
    kinds = ["kill sender", "database", "kill receiver", "end sender"]
    words = "--rounds 4 --messages 60 --connections 4 --lease 30 --calm --json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.long.cluster.kill", *words.split(), "--kinds", *kinds],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout
    result = json.loads(done.stdout)
    assert [result[f"rounds: {kind}"] for kind in kinds] == [1, 1, 1, 1]
    assert result["accepted"] >= 60
