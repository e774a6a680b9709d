"""The options by which `relay queue list` and `relay trace` find messages, and how a found one is shown."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import click

from relay.cli.terminal import show_time
from relay.config.units import parse_duration

STATES = ("queued", "sending", "delayed", "held", "failed", "relayed", "refused", "discarded")
WAITING = STATES[:5]
Answer = dict[str, Any]
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_DAYS = {"today": 0, "yesterday": 1}


class Moment(click.ParamType):  # type: ignore[type-arg]  # not generic in click 8.2
    """A time of day, a date, both, or how long ago; seconds since the epoch."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it, by the machine's own zone where it names none."""
        found = value if isinstance(value, float) else read_moment(str(value), time.time())
        if found is None:
            self.fail(
                f'{value!r}: expected a time such as "14:00", "yesterday", "2026-11-29 14:00" or "2h" (ago)',
                param,
                ctx,
            )
        return found


def read_moment(text: str, now: float) -> float | None:
    """Seconds since the epoch; None if it is no time.

    Args:
        text: "14:00" is the last time that it was two o'clock, "2h" two hours ago, "yesterday" its midnight.
        now: seconds since the epoch.
    """
    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    day = datetime.fromtimestamp(now).replace(hour=0, minute=0, second=0, microsecond=0)  # noqa: DTZ006 - as below
    if (back := _DAYS.get(text.strip().lower())) is not None:
        return (day - timedelta(days=back)).timestamp()
    if clock := _CLOCK.fullmatch(text.strip()):
        return _last(int(clock[1]), int(clock[2]), int(clock[3] or 0), now)
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _last(hour: int, minute: int, second: int, now: float) -> float | None:
    today = datetime.fromtimestamp(now)  # noqa: DTZ006 - the machine's own zone is what is meant
    try:
        moment = today.replace(hour=hour, minute=minute, second=second, microsecond=0)
    except ValueError:
        return None
    return (moment if moment <= today else moment - timedelta(days=1)).timestamp()


_OPTIONS = (
    click.option("--to", "recipient", default="", metavar="TEXT", help="With this in a recipient's address."),
    click.option("--from", "sender", default="", metavar="TEXT", help="With this in the sender's address."),
    click.option("--account", default="", metavar="NAME", help="Of this account."),
    click.option("--source", default="", metavar="NAME", help="From this client address, or this SMTP user."),
    click.option(
        "--since",
        type=Moment(),
        default=0.0,
        help='Arrived since then: "14:00", "yesterday", "2026-11-29", "2h".',
    ),
    click.option("--until", type=Moment(), default=0.0, help="Arrived until then."),
    click.option(
        "--state", "states", multiple=True, type=click.Choice(STATES), help="Only these; may be repeated."
    ),
    click.option(
        "--limit",
        type=click.IntRange(min=0),
        default=100,
        show_default=True,
        help="At most so many, the newest; 0: all.",
    ),
)


def criteria_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options; they come as keyword arguments of the verb `queue_list`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def say_count(answer: Answer) -> str:
    """How many are shown of how many; "" where all are."""
    shown, total = len(answer["messages"]), answer["total"]
    return f"the newest {shown:,} of {total:,}; --limit 0 shows all" if shown < total else ""


def show_message(message: Answer) -> Iterator[str]:
    """Like mailq: what fits no table of eighty columns gets lines of its own."""
    to = message["forward_paths"]
    more = f" and {len(to) - 1} more" if len(to) > 1 else ""
    attempts = f", attempts {message['attempts']}" if message["attempts"] else ""
    source = f", from {message['user'] or message['client']}" if message["user"] or message["client"] else ""
    yield f"{message['queue_id']}  {message['state']}  since {show_time(message['arrival'])}"
    yield f"    {message['reverse_path'] or '<>'} → {to[0] if to else 'nobody'}{more}"
    yield f"    {message['size']:,} octets{source}, account {message['account']}{attempts}"
    if message["reason"]:
        yield f"    {message['status']} {message['reason']}"
    if message["hold"] == "device":
        yield f"    adopt the device: relay learn --adopt {message['client']}"
    if message["next_attempt"]:
        yield f"    next attempt {show_time(message['next_attempt'])}"
