"""Whether the relay could listen where it is to: free ports are bound, to prove them, and let go again."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from relay.config.fields import split_address
from relay.config.model import Config
from relay.host import systemd
from relay.operator.findings import Finding, Level, problem
from relay.smtp.server import ListenError, bind


def find_port_problems(config: Config) -> Iterator[Finding]:
    """What keeps a relay that does not run from listening. Nothing is said of what systemd holds for it."""
    held = systemd.find_unit_ports()
    for listener in config.listener:
        found = _try(listener.address, held)
        if found is not None:
            yield replace(found, subject=f"listener {listener.address}")
    if config.console.address:
        found = _try(config.console.address, held)
        if found is not None:
            # Mail goes without the page, which is tried again.
            yield replace(found, subject=f"console {config.console.address}", level=Level.WARNING)


def _try(address: str, held: frozenset[int]) -> Finding | None:
    _, port = split_address(address)
    if port in held:
        return None
    try:
        with closing(bind(address)):
            return None
    except ListenError as error:
        return problem("", error.problem, error.remedy)
