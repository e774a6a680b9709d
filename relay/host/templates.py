"""What pages are made with, the console's and the simulated Works': templates, and files within a page."""

import base64
import hashlib
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2

from relay.host.clock import to_local
from relay.host.display import show_octets
from relay.host.texts import gettext, ngettext, say


def make_environment(package: str, *, strict: bool, **filters: Callable[..., Any]) -> jinja2.Environment:
    """Jinja for the pages of a package; all that they are given is escaped.

    Args:
        package: has a folder `templates`.
        strict: whether a name that a page was not given is an error, and not empty.
        filters: beside those of all pages.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined if strict else jinja2.Undefined,
    )
    environment.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined]
    environment.filters.update(say=say, octets=show_octets, moment=show_moment, **filters)
    return environment


def show_moment(seconds: float) -> str:
    """Epoch seconds as a time of this machine's zone, which is named; with its date, if that is not today."""
    return to_local(seconds, "seconds")


@cache
def read_file(package: str, name: str) -> str:
    """A style or a script of ours, to stand in a page."""
    return files(package).joinpath("templates", name).read_text("utf-8")


@cache
def hash_file(package: str, name: str) -> str:
    """What lets this style or script run and no other (CSP level 3 §2.3.1)."""
    digest = hashlib.sha256(read_file(package, name).encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
