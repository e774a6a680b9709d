"""The only place where the commands print. What is printed came from devices, senders, Works and services."""

import json
import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from relay.host.clock import to_local
from relay.host.display import clean, escape_json

if TYPE_CHECKING:
    from rich.console import Console


def echo(text: object = "", *, err: bool = False, head: str = "") -> None:
    """Print a line with nothing in it that a terminal would obey.

    Args:
        text: the line, or several.
        err: whether to print on standard error.
        head: put before it as it is; it may be coloured by click.style, and is never other people's text.
    """
    # click's own choice of a stream is UTF-8 whatever the locale; ours shows the characters' numbers.
    click.echo(head + clean(str(text)), file=sys.stderr if err else sys.stdout)


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Print one JSON value on standard output, for programs and for terminals."""
    # JSON is UTF-8 (RFC 8259 §8.1), or ASCII where the locale is something else.
    plain = sys.stdout.encoding.lower() not in ("utf-8", "utf8")
    click.echo(escape_json(json.dumps(value, ensure_ascii=plain, indent=indent)))


def print_answer(answer: Any, tell: Callable[[Any], object], *, as_json: bool) -> None:
    """Print an answer: as JSON for programs, or as `tell` prints it for people."""
    if as_json:
        print_json(answer)
    else:
        tell(answer)


def confirm(question: str, undone: str, option: str) -> bool:
    """Whether a person says yes. Nobody there to answer does not, and is told what to say instead.

    Args:
        question: that is asked, on standard error.
        undone: what has not been done then, such as "nothing was thrown away".
        option: that says yes without being asked, such as "--yes".
    """
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        echo(f"\nrelay: {undone}; {option} needs no answer", err=True)
        return False


def show_time(moment: str, precision: str = "minutes") -> str:
    """A time of JSON as people read it: by the machine's clock, with the name of its zone.

    Args:
        moment: as `to_iso` gives it.
        precision: as for `to_local`.
    """
    return to_local(datetime.fromisoformat(moment).timestamp(), precision)


def make_console(**options: Any) -> "Console":
    """A console of rich, for tables and styles, that holds to the same rule. Loaded when it is needed."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class CleanConsole(Console):
        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for text, style, control in super().render(renderable, options):
                yield Segment(text if control else clean(text), style, control)

    return CleanConsole(markup=False, emoji=False, highlight=False, **options)
