"""One test of many cases tells each that fails, and only those."""

import pytest

from tests.support.at_once import at_once

_SEEN = []


@pytest.mark.parametrize("first", range(3))
@pytest.mark.parametrize(("second", "third"), [("a", 1), ("b", 2)], ids=["x", "y"])
def _check(first, second, third):
    _SEEN.append((first, second, third))
    assert (first, second) != (1, "b"), "not this one"
    assert first < 2


def test_every_case_is_looked_at_and_each_failure_told():
    test = at_once(_check)
    with pytest.raises(AssertionError) as caught:
        test()
    assert len(set(_SEEN)) == 6
    told = str(caught.value)
    assert told.startswith("3 of 6 cases failed: ")
    assert "[y-1]" in told
    assert "not this one" in told
    assert {f"[{name}-2]" for name in "xy"} <= set(told.split())
