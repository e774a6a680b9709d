"""The short form of tests/long/crash/refresh.py."""

import json
import subprocess
import sys

import pytest

from tests.support import ROOT, postgres


@pytest.mark.parametrize(("engine", "kills"), [("sqlite", 6), ("postgres", 4)])
def test_sigkill_during_a_refresh_locks_nobody_out_who_need_not_be(engine, kills):
    if engine == "postgres" and postgres.find_programs() is None:
        pytest.skip(postgres.MISSING)
    done = subprocess.run(
        [sys.executable, "-m", "tests.long.crash.refresh", "--kills", str(kills), "--engine", engine],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(done.stdout)
    assert counts["kills"] == kills
    assert counts["saved"] + counts["lost in flight"] == kills
