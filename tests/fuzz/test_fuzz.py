"""A few seconds of the fuzz run, with a fixed seed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import fuzz_message


def test_a_short_run():
    assert fuzz_message.run(3.0, 1, []) > 100
