"""Some seconds of the door's fuzz runs, with fixed seeds."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import fuzz_addresses
import fuzz_commands


def test_no_address_gets_past_its_check():
    assert fuzz_addresses.run(40_000, seed=2) > 500


def test_random_commands_break_no_promise():
    assert fuzz_commands.run(4_000, seed=2, clients=4) > 10
