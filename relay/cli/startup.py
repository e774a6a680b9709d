"""What several commands begin with: the configuration, the running service, or the spool."""

import asyncio
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from relay.cli import EX_CANTCREAT, EX_CONFIG, EX_DATAERR, EX_NOPERM, EX_UNAVAILABLE, Failure
from relay.config.model import Config

if TYPE_CHECKING:
    from relay.spool import SpoolError


def read_config(path: str | None) -> Config:
    """The configuration; ends the command with exit code 78 and every problem if it cannot be used."""
    from relay.config.load import ConfigError, load

    try:
        config = load(path)
    except ConfigError as error:
        raise Failure(str(error), EX_CONFIG) from None
    if config.losses:
        from relay.message import find_problems

        # The list of losses is the conversion's own, which the configuration does not import.
        if problems := find_problems(config.losses):
            raise Failure("\n".join(problems), EX_CONFIG)
    return config


def ask(config: Config, verb: str, **arguments: Any) -> dict[str, Any]:
    """Have the running service do it, or do it with the spool itself if no service runs."""
    from relay.operator import control
    from relay.spool import SpoolError, SpoolLocked

    try:
        return asyncio.run(_ask(config, verb, arguments))
    except control.NotAllowed as error:
        raise Failure(str(error), EX_NOPERM) from None
    except control.Refused as error:
        raise Failure(str(error), EX_DATAERR) from None
    except SpoolLocked as error:
        raise deaf(config, error) from None
    except SpoolError as error:
        if isinstance(error.__cause__, OSError):
            raise unusable(config, error) from None
        raise Failure(str(error), EX_CANTCREAT) from None


def ask_service(config: Config, verb: str, **arguments: Any) -> dict[str, Any]:
    """Have the running service do what only it can; ends the command if none runs."""
    from relay.operator import control

    try:
        return asyncio.run(control.call(config.state_dir / "control.sock", verb, **arguments))
    except control.NotRunning:
        raise Failure(
            f"no relay runs with the state directory {config.state_dir}; start it: relay serve",
            EX_UNAVAILABLE,
        ) from None
    except control.NotAllowed as error:
        raise Failure(str(error), EX_NOPERM) from None
    except control.Refused as error:
        raise Failure(str(error), EX_DATAERR) from None


def deaf(config: Config, error: Exception) -> Failure:
    """What to say when a relay has the spool and cannot be spoken to."""
    return Failure(
        f"{error}, but does not listen at {config.state_dir / 'control.sock'}; restart it", EX_UNAVAILABLE
    )


def unusable(config: Config, error: "SpoolError") -> Failure:
    """What to say when nothing can be kept in the state directory."""
    from relay.operator.check import find_remedy

    text = "; ".join(filter(None, (str(error), find_remedy(error))))
    return Failure(f"state_dir {config.state_dir} cannot be used: {text}", EX_CANTCREAT)


@contextmanager
def owned(state_dir: Path) -> Iterator[None]:
    """Give what root makes in the state directory to the directory's owner, who could not use it else."""
    try:
        yield
    finally:
        if os.geteuid() == 0 and state_dir.is_dir():
            with suppress(PermissionError):  # a container's root may not
                _give_back(state_dir)


def _give_back(state_dir: Path) -> None:
    owner = state_dir.stat()
    if owner.st_uid == 0:
        return
    for _, folders, files, fd in os.fwalk(state_dir):
        for name in (*folders, *files):
            with suppress(FileNotFoundError):
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                # A second name of a file may be anybody's, put there by whoever may write here.
                if found.st_uid == 0 and (stat.S_ISDIR(found.st_mode) or found.st_nlink == 1):
                    os.chown(name, owner.st_uid, owner.st_gid, dir_fd=fd, follow_symlinks=False)


async def _ask(config: Config, verb: str, arguments: dict[str, Any]) -> dict[str, Any]:
    from relay.host import logs
    from relay.operator import control
    from relay.operator.verbs import Verbs
    from relay.spool.sqlite.engine import SqliteSpool

    try:
        return await control.call(config.state_dir / "control.sock", verb, **arguments)
    except control.NotRunning:
        pass
    spool = SqliteSpool(config.state_dir / "spool")
    if not spool.exists():
        raise control.Refused(f"there is no spool in {config.state_dir} yet; `relay serve` makes one")
    logs.set_up(config.log.model_copy(update={"level": "error"}))  # not to standard output, which may be JSON
    with owned(config.state_dir):
        await spool.open()
        try:
            answer: dict[str, Any] = await getattr(Verbs(spool), verb)(**arguments)
            return answer
        finally:
            await spool.close()


def print_json(value: Any) -> None:
    """One JSON value on standard output."""
    import json

    # JSON is UTF-8 (RFC 8259 §8.1), or ASCII where the locale is something else.
    plain = sys.stdout.encoding.lower() not in ("utf-8", "utf8")
    click.echo(json.dumps(value, ensure_ascii=plain, indent=2))
