"""The short form: one machine that is killed, and its database."""

import json
import subprocess
import sys

import pytest

from tests.support import ROOT, postgres


@pytest.mark.skipif(postgres.find_programs() is None, reason=postgres.MISSING)
def test_nothing_is_lost_when_the_relay_or_its_database_is_killed():
    """No lease runs out here, so that a busy machine changes nothing but the time it takes."""
    words = (
        "--machines 1 --kinds kill database --rounds 4 --messages 60 --connections 4 --lease 30 --calm --json"
    )
    done = subprocess.run(
        [sys.executable, "-m", "tests.long.cluster.kill", *words.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout
    result = json.loads(done.stdout)
    assert (result["kill_rounds"], result["database_rounds"]) == (2, 2)
    assert result["accepted"] >= 60
