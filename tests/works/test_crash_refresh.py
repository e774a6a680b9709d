"""The short form of tests/crash/refresh.py."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "crash" / "refresh.py"


def test_sigkill_during_a_refresh_locks_nobody_out_who_need_not_be():
    done = subprocess.run(
        [sys.executable, SCRIPT, "--kills", "6"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(done.stdout)
    assert counts["kills"] == 6
    assert counts["saved"] + counts["lost in flight"] == 6
