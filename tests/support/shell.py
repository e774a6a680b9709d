"""The administrator's terminal in a test: a line goes in as it was printed, and is carried out.

`relay` runs inside the test, in a thread of its own; `sudo` is nothing. Programs of the system that a test
machine may not have, or may not be told, are stand-ins that record what they were called with.
"""

import asyncio
import re
import shlex
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import click
from click.testing import CliRunner

from relay.cli import group

# Recorded alone: they concern the whole machine.
STAND_INS = frozenset({"systemctl", "journalctl", "timedatectl", "chgrp"})
REAL = frozenset({"chmod"})
ENVIRONMENT = {"RELAY_CONFIG": None, "DISPLAY": None, "WAYLAND_DISPLAY": None}


@dataclass
class Done:
    code: int
    out: str
    err: str


@dataclass
class Shell:
    config: Path
    on_systemctl: Callable[[str], Awaitable[None]] | None = None  # told "reload", "restart" …
    ran: set[str] = field(default_factory=set)  # the shapes of what was carried out

    async def type(self, line, given="", code=0):
        """Carry out a line, and see that it ends well."""
        done = Done(0, "", "")
        for part in line.split("&&"):
            words = shlex.split(part)
            words = words[words[0] == "sudo" :]
            done = await self._run(words, given)
            self.ran.add(shape(words))
            assert code is None or done.code == code, (line, done)
        return done

    async def _run(self, words, given):
        name, *arguments = words
        if name == "relay":
            environment = ENVIRONMENT | {"RELAY_CONFIG": str(self.config)}
            runner = CliRunner()
            result = await asyncio.to_thread(runner.invoke, group, arguments, input=given, env=environment)
            assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
            return Done(result.exit_code, result.stdout, result.stderr)
        if name in REAL:
            ended = await asyncio.to_thread(subprocess.run, words, check=False)
            return Done(ended.returncode, "", "")
        assert name in STAND_INS, name
        if name == "systemctl" and self.on_systemctl is not None:
            await self.on_systemctl(arguments[0])
        return Done(0, "", "")


def shape(words):
    """What a command line is, with X for what differs: relay queue release --account X."""
    if words[0] != "relay":
        plain = " ".join(word if word.isalpha() or word.startswith("-") else "X" for word in words)
        return re.sub(r"X( X)+", "X", plain)
    command, context, left, path = group, click.Context(group, info_name="relay"), list(words[1:]), ["relay"]
    while isinstance(command, click.Group) and left:
        name, command, left = command.resolve_command(context, left)
        context = click.Context(command, info_name=name, parent=context)
        path.append(name)
    given, _, order = command.make_parser(context).parse_args(left)
    for param in dict.fromkeys(order):
        value = given.get(param.name)
        if isinstance(param, click.Option):
            path += [max(param.opts, key=len)] + ["X"] * (not param.is_flag)
        elif isinstance(value, str | list | tuple) and value:
            path.append("X")
    return " ".join(path)
