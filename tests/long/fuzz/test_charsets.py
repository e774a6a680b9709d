"""A few thousand draws of the long run, with a fixed seed."""

from tests.long.fuzz import charsets


def test_a_short_run():
    assert charsets.run(5_000, 7) == 0
