"""The short form of tests/long/crash/refresh.py."""

import json
import subprocess
import sys

from tests.support import ROOT


def test_sigkill_during_a_refresh_locks_nobody_out_who_need_not_be():
    done = subprocess.run(
        [sys.executable, "-m", "tests.long.crash.refresh", "--kills", "6"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(done.stdout)
    assert counts["kills"] == 6
    assert counts["saved"] + counts["lost in flight"] == 6
