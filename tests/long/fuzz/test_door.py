"""Some seconds of the door's fuzz runs, with fixed seeds."""

from tests.long.fuzz import addresses, commands


def test_no_address_gets_past_its_check():
    assert addresses.run(40_000, seed=2) > 500


def test_random_commands_break_no_promise():
    assert commands.run(4_000, seed=2, clients=4) > 10
