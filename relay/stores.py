"""Which engine keeps the spool, the grants and the documents: the only place that knows."""

import asyncio
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING

from relay.config.include import LEARNED
from relay.config.model import Config
from relay.devices.adopted import append, read
from relay.host.clock import Clock
from relay.host.documents import NAMES, DocumentError, Documents, FileDocuments
from relay.host.shared import how_to_add
from relay.postgres.facts import Facts
from relay.spool import Spool, SpoolError
from relay.spool.sqlite.engine import SqliteSpool
from relay.works.auth.escrow import Escrow
from relay.works.auth.files import FileGrants
from relay.works.auth.keeping import Keeping
from relay.works.http.exchange import Timeouts

if TYPE_CHECKING:
    from relay.postgres.server import Address

_MARGIN = 60.0  # seconds, beyond the answer's time-out, to write down what came
_ENCODED = 1.5  # octets of a request for each of its message, at most


def open_spool(
    config: Config, *, report: Callable[[str, str], None] | None = None, clock: Clock | None = None
) -> Spool:
    """The spool that the configuration names; it is taken by `open`.

    Args:
        config: where it is, and how much room it leaves.
        report: told of what was set aside: a queue id or a file's name, and a sentence.
        clock: the clocks.

    Raises:
        SpoolError: the engine's libraries are not installed, or its address cannot be used.
    """
    if not config.spool.is_embedded:
        return _open_postgres(config, report, clock)
    return SqliteSpool(
        config.state_dir / "spool", keep_free=config.spool.keep_free, report=report, clock=clock
    )


def _open_postgres(config: Config, report: Callable[[str, str], None] | None, clock: Clock | None) -> Spool:
    address = _find_address(config)
    from relay.postgres.engine import Options, PostgresSpool
    from relay.postgres.outgoing import Ends

    spool = config.spool
    timeouts = Timeouts(read=config.works.read_timeout)
    options = Options(
        state_dir=config.state_dir,
        name=config.hostname,
        address=address,
        listen=_find_address(config, spool.listen_url) if spool.listen_url else None,
        keep_free=spool.keep_free,
        most=spool.most,
        patience=spool.patience,
        ends=Ends(
            timeouts.answer_within(0) + _MARGIN, by_octet=timeouts.read_per_megabyte * _ENCODED / 2**20
        ),
    )
    return PostgresSpool(options, report=report, clock=clock)


async def migrate_spool(config: Config, url: str, password: str) -> list[int]:
    """Bring the database's tables to this release, and let the relay's role use them.

    Args:
        config: names the relay's role, in spool.url.
        url: of the database's owner; "": the relay's role owns it.
        password: of the owner.

    Returns:
        The versions that were made.

    Raises:
        SpoolError: it cannot be done; says why.
    """
    relay = _find_address(config)
    from relay.postgres.schema import migrate_as
    from relay.postgres.server import Address

    return await migrate_as(Address(url, password) if url else relay, relay.user)


@dataclass(frozen=True, slots=True)
class Move:
    """What became of an embedded spool."""

    moved: int  # messages
    known: int  # those that were in the database already
    damaged: tuple[str, ...]  # queue ids that stay where they were, for a person
    aside: Path  # where the old spool lies now


async def move_spool(config: Config) -> Move:
    """Move the mail, grants and documents of one node into the database. May be begun again at any time.

    Raises:
        SpoolError: a relay is using either, or one of them cannot be used; says which.
        GrantError: a grant cannot be moved.
    """
    address = _find_address(config)
    from relay.postgres.move import move
    from relay.spool.sqlite.export import Export

    folder = config.state_dir / "spool"
    if not (folder / "spool.db").exists():
        raise SpoolError(f"there is no embedded spool in {folder}")
    if nodes := (await examine_spool(config)).nodes:
        names = ", ".join(name for name, _, _ in nodes)
        raise SpoolError(f"the database is in use, by {names}: stop all nodes for the move")
    export = Export(folder)
    if not export.is_begun:
        spool = SqliteSpool(folder)
        await spool.open()  # brings its tables up to date, and mends what can be
        await spool.close()
    await asyncio.to_thread(export.take)
    try:
        moved, known = await move(address, export.pieces())
        await _move_grants(config)
        await _move_documents(config)
        aside = await asyncio.to_thread(export.put_aside)
    finally:
        export.release()
    return Move(moved, known, tuple(export.damaged), aside)


async def _move_grants(config: Config) -> None:
    files, keeping = FileGrants(config.state_dir), open_grants(config)
    for account in config.account:
        grant = await files.load(account.name)
        if grant is not None and await keeping.store.load(account.name) is None:
            await keeping.store.store(account.name, grant)


async def _move_documents(config: Config) -> None:
    """Add the adopted devices to those in the database, and what else is not there."""
    files, documents = FileDocuments(config.state_dir), open_documents(config)
    try:
        for name in NAMES:
            text = (await files.load(name)).text
            if name == LEARNED:
                await documents.change(name, partial(reduce, append, read(text)))
            elif text:
                await documents.store(name, text, 0)
    except (DocumentError, ValueError) as error:
        raise SpoolError(f"what lies beside the spool cannot be moved: {error}") from error


async def examine_spool(config: Config) -> Facts:
    """What the database server is like.

    Raises:
        SpoolError: it cannot be reached, or refuses the login.
    """
    address = _find_address(config)
    from relay.postgres.examine import examine

    return await examine(address)


def _find_address(config: Config, url: str = "") -> "Address":
    """Of the database, or of this URL with the same password.

    Raises:
        SpoolError: the extra is not installed, which the spool of one node does without.
    """
    missing = [name for name in ("psycopg", "psycopg_pool") if importlib.util.find_spec(name) is None]
    if missing:
        raise SpoolError(f"{missing[0]} is missing: {how_to_add('cluster')}")
    from relay.postgres.server import Address

    return Address(url or config.spool.url, config.spool.password.get_secret_value())


def open_grants(config: Config, spool: Spool | None = None) -> Keeping:
    """Where the accounts' grants are kept.

    Args:
        config: where that is.
        spool: the open one of this process, whose connections are used; None: each look makes its own.

    Raises:
        SpoolError: the database's libraries are not installed, or its address cannot be used.
    """
    if config.spool.is_embedded:
        return Keeping(FileGrants(config.state_dir), Escrow(config.state_dir))
    address = _find_address(config)
    from relay.postgres.database import Connecting
    from relay.postgres.engine import PostgresSpool
    from relay.postgres.grants import AesSeal, PostgresGrants

    seal = AesSeal(config.spool.key.get_secret_value())
    if isinstance(spool, PostgresSpool):
        grants = PostgresGrants(spool.database, seal, spool.node.token)
    else:
        grants = PostgresGrants(Connecting(address), seal)
    return Keeping(grants, Escrow(config.state_dir, seal))


def open_documents(config: Config, spool: Spool | None = None) -> Documents:
    """Where the small texts are kept that every node goes by.

    Args:
        config: where that is.
        spool: the one of this process, whose connections are used; None: each look makes its own.

    Raises:
        SpoolError: the database's libraries are not installed, or its address cannot be used.
    """
    if config.spool.is_embedded:
        return FileDocuments(config.state_dir)
    address = _find_address(config)
    from relay.postgres.database import Connecting
    from relay.postgres.documents import PostgresDocuments
    from relay.postgres.engine import PostgresSpool

    if isinstance(spool, PostgresSpool):
        return PostgresDocuments(spool.database, spool.node, spool.words)
    return PostgresDocuments(Connecting(address))
