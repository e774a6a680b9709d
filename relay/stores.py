"""Which engine keeps the spool and the grants: the only place that knows."""

from collections.abc import Callable

from relay.config.model import Config
from relay.host.clock import Clock
from relay.spool import Spool
from relay.spool.sqlite.engine import SqliteSpool
from relay.works.auth.escrow import Escrow
from relay.works.auth.files import FileGrants
from relay.works.auth.keeping import Keeping


def open_spool(
    config: Config, *, report: Callable[[str, str], None] | None = None, clock: Clock | None = None
) -> Spool:
    """The spool that the configuration names; it is taken by `open`.

    Args:
        config: where it is, and how much room it leaves.
        report: told of what was set aside: a queue id or a file's name, and a sentence.
        clock: the clocks.
    """
    return SqliteSpool(
        config.state_dir / "spool", keep_free=config.spool.keep_free, report=report, clock=clock
    )


def open_grants(config: Config) -> Keeping:
    """Where the accounts' grants are kept."""
    return Keeping(FileGrants(config.state_dir), Escrow(config.state_dir))
