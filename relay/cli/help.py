"""`relay help`: the documents, which are installed with the program."""

import sys
from pathlib import Path

import click

from relay.cli import EX_NOINPUT, Failure, group, suggest
from relay.cli.terminal import echo, make_console
from relay.host.shared import DOCUMENTS, REFERENCE, START, find_shared

_INDEX = "README"


@click.command()
@click.argument("topic", required=False)
def command(topic: str | None) -> None:
    """Show a document, or what a command does. Without TOPIC: what there is.

    \b
      relay help outcomes
      relay help relay.toml
    """  # noqa: D301 - click keeps what follows as it is
    if topic is None:
        _list()
    elif topic in (pages := find_pages()):
        _show(pages[topic])
    elif found := group.get_command(click.get_current_context(), topic):
        with click.Context(found, info_name=topic, parent=click.get_current_context().parent) as ctx:
            echo(found.get_help(ctx))
    else:
        near = suggest(topic, [*pages, *group.list_commands(click.get_current_context())])
        raise Failure(f"there is no help on {topic}{near}; `relay help` lists what there is", EX_NOINPUT)


def find_pages() -> dict[str, Path]:
    """The documents by the names of their topics."""
    try:
        pages = {page.stem: page for page in find_shared(DOCUMENTS, ".md")}
        pages |= {"start": find_shared(START)[0], "relay.toml": find_shared(REFERENCE)[0]}
    except FileNotFoundError as error:
        raise Failure(str(error), EX_NOINPUT) from None
    return {topic: pages[topic] for topic in sorted(pages) if topic != _INDEX}


def _list() -> None:
    echo("relay help TOPIC shows a document, relay COMMAND --help what a command does. The topics:\n")
    for topic, page in find_pages().items():
        echo(f"  {topic:<24}{_title(page)}")


def _title(page: Path) -> str:
    first = page.read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ").strip()


def _show(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".md" or not sys.stdout.isatty():
        echo(text.rstrip())
        return
    from rich.markdown import Markdown

    make_console().print(Markdown(text))
