"""What several commands begin with: the configuration, the running service, or the spool."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from relay.cli import EX_CANTCREAT, EX_CONFIG, EX_DATAERR, EX_NOPERM, EX_UNAVAILABLE, EX_USAGE, Failure
from relay.config.model import Account, Config
from relay.operator import calling
from relay.operator.calling import Answer

if TYPE_CHECKING:
    from relay.spool import SpoolError


def read_config(path: str | None) -> Config:
    """The configuration of a command that works in the state directory, as its owner from then on.

    Ends the command with exit code 78 and every problem if the configuration cannot be used, with 77 if root
    cannot become the owner of the state directory.
    """
    from relay.host.privileges import become_owner

    return load_config(path, become_owner)


def load_config(path: str | None, enter_state: Callable[[Path], None] | None) -> Config:
    """The configuration, or the end of the command.

    Args:
        path: as on the command line.
        enter_state: called with the state directory before anything in it is touched; None: the command has
            nothing to do there, and the devices that were adopted are not read.
    """
    from relay.config.load import ConfigError, load
    from relay.host.privileges import PrivilegeError

    try:
        return load(path, enter_state=enter_state, learned=enter_state is not None)
    except ConfigError as error:
        raise Failure(str(error), EX_CONFIG) from None
    except PrivilegeError as error:
        raise Failure(str(error), EX_NOPERM) from None


def become_owner(path: Path) -> None:
    """Become the owner of what this path leads to, if root runs the command; or end it with exit code 77."""
    from relay.host import privileges

    try:
        privileges.become_owner(path)
    except privileges.PrivilegeError as error:
        raise Failure(str(error), EX_NOPERM) from None


def refuse_overwriting(*paths: Path, force: bool) -> None:
    """End the command with exit code 73 if there is something already, and nobody says --force."""
    existing = [str(path) for path in paths if os.path.exists(path)]  # noqa: PTH110 - False where it is forbidden to look
    if existing and not force:
        raise Failure(f"{' and '.join(existing)} would be written over; say --force", EX_CANTCREAT)


def require_app(config: Config) -> None:
    """See that the app's registration is there; exit code 78 without it."""
    works = config.works
    if not works.client_id:
        raise Failure("works.client_id: is missing; the Developer Console shows it", EX_CONFIG)
    if not works.client_secret.get_secret_value():
        raise Failure(
            "works.client_secret: is missing; start the relay, which has it, or put it into the file "
            "client_secret beside relay.toml, to be read by root alone",
            EX_CONFIG,
        )


async def call(
    config: Config, verb: str, refused: int = EX_DATAERR, content: BinaryIO | None = None, **arguments: Any
) -> Answer | None:
    """The answer of the running service; None if none runs.

    Ends the command with exit code 77 if this user may not ask, with `refused` if the service will not.
    """
    try:
        return await calling.call(config.control_socket, verb, content, **arguments)
    except calling.NotRunning:
        return None
    except calling.NotAllowed as error:
        raise Failure(str(error), EX_NOPERM) from None
    except calling.Refused as error:
        raise Failure(str(error), refused) from None


def ask_consents(config: Config, verb: str, **arguments: Any) -> Answer:
    """Have the running service, which has the app's secret, deal with a consent; or do it here."""
    if (answer := asyncio.run(call(config, verb, EX_UNAVAILABLE, **arguments))) is not None:
        return answer
    from relay.grants import GrantError
    from relay.operator.consents import ConsentVerbs
    from relay.stores import open_grants

    require_app(config)
    consents = ConsentVerbs(lambda: config, open_grants(config))
    try:
        done: Answer = asyncio.run(getattr(consents, verb)(**arguments))
    except calling.Refused as error:
        kept = not isinstance(error.__cause__, GrantError)
        raise Failure(str(error), EX_UNAVAILABLE if kept else EX_CANTCREAT) from None
    return done


def choose_account(config: Config, name: str) -> Account:
    """The account that the command line names; exit code 64 if there is none."""
    if account := config.find_account(name):
        return account
    known = ", ".join(account.name for account in config.account) or "none"
    raise Failure(f"no account is called {name}; there is: {known}", EX_USAGE)


def ask(config: Config, verb: str, **arguments: Any) -> Answer:
    """Have the running service do it, or do it with the spool itself if no service runs."""
    if (answer := asyncio.run(call(config, verb, **arguments))) is not None:
        return answer
    from relay.spool import SpoolError, SpoolLocked

    try:
        return asyncio.run(_do(config, verb, arguments))
    except calling.Refused as error:
        raise Failure(str(error), EX_DATAERR) from None
    except SpoolLocked as error:
        raise not_listening(config, error) from None
    except SpoolError as error:
        if isinstance(error.__cause__, OSError):
            raise cannot_use_state_dir(config, error) from None
        raise Failure(str(error), EX_CANTCREAT) from None


def ask_service(config: Config, verb: str, **arguments: Any) -> Answer:
    """Have the running service do what only it can; ends the command if none runs."""
    answer = asyncio.run(call(config, verb, **arguments))
    if answer is None:
        raise Failure(
            f"no relay runs with the state directory {config.state_dir}; start it: relay serve",
            EX_UNAVAILABLE,
        )
    return answer


def not_listening(config: Config, error: Exception) -> Failure:
    """What to say when a relay has the spool and cannot be spoken to."""
    return Failure(f"{error}, but does not listen at {config.control_socket}; restart it", EX_UNAVAILABLE)


def cannot_use_state_dir(config: Config, error: "SpoolError") -> Failure:
    """What to say when nothing can be kept in the state directory."""
    from relay.operator.check import find_remedy

    if not config.spool.is_embedded:
        return Failure(str(error), EX_UNAVAILABLE)
    text = "; ".join(filter(None, (str(error), find_remedy(error))))
    return Failure(f"state_dir {config.state_dir} cannot be used: {text}", EX_CANTCREAT)


async def _do(config: Config, verb: str, arguments: dict[str, Any]) -> Answer:
    # Here, since a command that asks a running service needs none of it.
    from relay.host import logs
    from relay.operator import asking
    from relay.operator.audit import Audit
    from relay.operator.verbs import Verbs
    from relay.stores import open_spool

    spool, journal = open_spool(config), Audit(config.state_dir)
    if not spool.exists():
        raise calling.Refused(f"there is no spool in {config.state_dir} yet; `relay serve` makes one")
    logs.set_up(config.log.model_copy(update={"level": "error"}))  # not to standard output, which may be JSON
    await spool.open(stands=False)
    try:
        node = "" if spool.board is None else config.hostname
        verbs = Verbs(spool, journal=journal, node=node)
        return await asking.ask(verbs, {"uid": os.getuid()}, verb, arguments)
    finally:
        await spool.close()
        journal.close()
