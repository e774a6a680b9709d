"""A few seconds of the fuzz run, with a fixed seed; a busy machine tries less in them."""

from tests.long.fuzz import messages


def test_a_short_run():
    assert messages.run(3.0, 1, []) > 10
