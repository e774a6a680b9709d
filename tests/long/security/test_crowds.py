"""Many that only sit there, in short: memory and time are only told."""

from tests.long.security.short_form import run_script


def test_idle_sessions_cost_little():
    """Memory is exact enough to be held to twice the figure: two hundred sessions share fewer pages."""
    result = run_script("idle_sessions")
    assert result["KiB each, none, uvloop"] <= 2 * 15
    assert result["KiB each, starttls, uvloop"] <= 2 * 60
    assert len(result["latency, times, each round"]) == 1


def test_handshakes_that_never_end_leave_room_for_others():
    result = run_script("half_open_tls")
    assert result["handshakes held open"] == 100
    served, _, refused = result["ms p50, p99; refused: attacked"]
    assert served
    assert refused <= 2
    assert result["log lines a second"] <= 10
