"""How much is done: the full run, the short one, and the least that exercises every measure."""

from dataclasses import dataclass

from tests.bench.messages import KB, MB

_SIZES = (2 * KB, 100 * KB, MB, 10 * MB, 18 * MB)
_CONNECTIONS = (1, 4, 20, 100)
_COUNTS = {2 * KB: 300, 100 * KB: 120, MB: 24, 10 * MB: 4, 18 * MB: 4}


@dataclass(frozen=True)
class Effort:
    """Counts of messages and rounds."""

    cells: tuple[tuple[int, int], ...]  # size and connections
    share: int  # of the messages, one in so many
    rounds: int  # at most, of each cell
    small: int  # messages for the CPU of small ones
    scans: tuple[int, ...]  # connections for memory
    latency: int  # messages
    lag: int  # times 4 × 25 MB
    starts: int  # of the command, and of conversions
    scan: int = 18 * MB  # octets, for CPU and memory
    large: int = 25 * MB  # octets, for lag, conversion and empty lines
    endless: int = 300 * MB  # octets without a line end

    def plan(self, size, connections):
        """Messages in a round, and rounds: what is quickly done is done more often."""
        count = max(_COUNTS[size] // self.share, connections)
        octets = count * size
        return count, min(self.rounds, 1 if octets > 300 * MB else 3 if octets > 80 * MB else 5)


FULL = Effort(
    tuple((size, connections) for size in _SIZES for connections in _CONNECTIONS),
    share=1,
    rounds=3,
    small=1000,
    scans=(4, 20),
    latency=400,
    lag=30,
    starts=7,
)
SHORT = Effort(
    ((2 * KB, 1), (2 * KB, 20), (MB, 20), (18 * MB, 1), (18 * MB, 4)),
    share=2,
    rounds=1,
    small=200,
    scans=(4, 20),
    latency=40,
    lag=3,
    starts=3,
)
LEAST = Effort(((2 * KB, 4), (MB, 1)), share=24, rounds=1, small=20, scans=(4,), latency=2, lag=1, starts=1)
