"""How much is done: the full run, the short one, and the least that exercises every measure."""

from dataclasses import dataclass

from tests.long.bench.messages import KB, MB

_SIZES = (2 * KB, 100 * KB, MB, 10 * MB, 18 * MB)
_CONNECTIONS = (1, 4, 20, 100)
_COUNTS = {2 * KB: 300, 100 * KB: 100, MB: 20, 10 * MB: 4, 18 * MB: 4}
# The cells that something is to reach: they get more rounds.
_KEY = {(2 * KB, 20), (100 * KB, 4), (100 * KB, 20), (18 * MB, 1), (18 * MB, 4)}


@dataclass(frozen=True)
class Effort:
    """Counts of messages and rounds."""

    cells: tuple[tuple[int, int], ...]  # size and connections
    share: int  # of the messages, one in so many
    rounds: int  # at most, of each cell
    patience: float  # seconds for a cell: no round begins that would end later, but for the first
    scans: tuple[int, ...]  # connections for memory
    peaks: int  # fresh processes for each of them
    latency: int  # messages
    lag: int  # round trips at least
    lag_beside: bool  # whether the straightforward one is measured too
    starts: int  # of the command, and of conversions
    page: tuple[int, int] = (100 * KB, 4)  # an html page: size and connections
    scan: int = 18 * MB  # octets, for CPU and memory
    large: int = 25 * MB  # octets, for lag, conversion and empty lines
    endless: int = 300 * MB  # octets without a line end

    def plan(self, size, connections):
        """Messages in a round, rounds at most, and the seconds for them."""
        count = max(_COUNTS[size] // self.share, connections)
        return count, self.rounds, self.patience * (2.5 if (size, connections) in _KEY else 1)


FULL = Effort(
    tuple((size, connections) for size in _SIZES for connections in _CONNECTIONS),
    share=1,
    rounds=5,
    patience=12.0,
    scans=(4, 20),
    peaks=3,
    latency=200,
    lag=4000,
    lag_beside=True,
    starts=7,
)
SHORT = Effort(
    ((2 * KB, 1), (2 * KB, 20), (100 * KB, 20), (MB, 20), (18 * MB, 1), (18 * MB, 4)),
    share=2,
    rounds=1,
    patience=0.0,
    scans=(4, 20),
    peaks=1,
    latency=40,
    lag=2000,
    lag_beside=False,
    starts=3,
)
LEAST = Effort(
    ((2 * KB, 4), (MB, 1)),
    share=20,
    rounds=1,
    patience=0.0,
    scans=(4,),
    peaks=1,
    latency=2,
    lag=1,
    lag_beside=False,
    starts=1,
    scan=MB,
    large=4 * MB,
    endless=64 * MB,
)
