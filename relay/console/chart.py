"""Messages by the hour, as a picture that the server draws: bars of SVG, and the numbers in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from relay.host.texts import say

# In units of the picture's own, which is stretched to the room that it has.
_WIDTH, _HEIGHT, _GAP = 24.0, 72.0, 6.0
# From the bottom up; what is not named here went on its way, or will.
_LAYERS = (("bad", ("held", "failed", "refused")), ("warn", ("queued", "sending", "delayed")))
_REST = "good"
Hour = tuple[float, dict[str, int]]


@dataclass(frozen=True, slots=True)
class Bar:
    """One layer of one hour."""

    x: float
    y: float
    height: float
    kind: str


@dataclass(frozen=True, slots=True)
class Column:
    """One hour."""

    x: float
    title: str  # its numbers in words
    bars: tuple[Bar, ...]
    label: str  # below it; "": none


@dataclass(frozen=True, slots=True)
class Chart:
    """The picture."""

    width: float
    height: float
    column: float  # the width of a bar
    columns: tuple[Column, ...]
    total: int
    most: int  # in one hour


def draw_hours(hours: Sequence[Hour]) -> Chart:
    """The hours, oldest first."""
    most = max((sum(counts.values()) for _, counts in hours), default=0)
    columns = [_draw(number, hour, max(most, 1)) for number, hour in enumerate(hours)]
    return Chart(
        width=len(columns) * (_WIDTH + _GAP),
        height=_HEIGHT,
        column=_WIDTH,
        columns=tuple(columns),
        total=sum(sum(counts.values()) for _, counts in hours),
        most=most,
    )


def _draw(number: int, hour: Hour, most: int) -> Column:
    begin, counts = hour
    x, y, bars = number * (_WIDTH + _GAP), _HEIGHT, []
    named = {state for _, states in _LAYERS for state in states}
    layers = [(kind, sum(counts.get(state, 0) for state in states)) for kind, states in _LAYERS]
    layers.append((_REST, sum(count for state, count in counts.items() if state not in named)))
    for kind, count in layers:
        if count:
            # What is there is seen, however much there was in another hour.
            height = max(2.0, count / most * _HEIGHT)
            y -= height
            bars.append(Bar(x, max(y, 0.0), height, kind))
    local = datetime.fromtimestamp(begin, UTC).astimezone()
    said = ", ".join(f"{count:,} {say(state)}" for state, count in counts.items() if count) or "0"
    label = f"{local:%H}" if local.hour % 6 == 0 else ""
    return Column(x, f"{local:%H:%M}: {said}", tuple(bars), label)
