"""Run a script of this folder in its short form."""

import json
import subprocess
import sys

import pytest

from tests.support import ROOT


def run_script(name):
    """What a script of this folder prints in its short form."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.long.security.{name}", "--short", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.stdout, done.stderr[-2000:]
    return json.loads(done.stdout)


def skip_without(tools):
    """Skip the test, loudly, if there are tools that it wants and has not."""
    if tools:
        pytest.skip(f"not installed: {', '.join(tools)}")
