"""The devices that were adopted: the document `learned.toml`, and how it comes into the configuration."""

import json
import re
import tomllib
from collections.abc import Callable, Iterable

import structlog
from pydantic import ValidationError

from relay.config.current import Current
from relay.config.include import LEARNED, LEARNED_KEYS
from relay.config.model import Config, Device
from relay.config.networks import read_address
from relay.host.documents import DocumentError, Documents

log = structlog.get_logger("learn")
_HEADER = "# Devices that were adopted by `relay learn`; part of the configuration. May be edited.\n"
# A line that begins a table, and one that says whose the device is.
_TABLE, _NOTE = re.compile(r"(?m)^\[\[device\]\]"), re.compile(r"\s*note\s*=")


class CannotAdopt(Exception):  # noqa: N818 - what it is, with the place and the reason
    """The document cannot be changed; nothing was."""


class Adopted:
    """Changes the document, and keeps the configuration's devices in step with it, whichever node changed it.

    On one node the document is a file that the configuration includes; from the database it is added here.

    Args:
        documents: where it is.
        current: the configuration.
    """

    def __init__(self, documents: Documents, current: Current) -> None:
        self._documents = documents
        self._current = current
        self._text = self._applied = ""  # as it is known; as the configuration has it
        self._is_included = current.config.spool.is_embedded
        documents.follow(LEARNED, self._hear)
        if self._is_included:
            self._applied = self._text
        else:
            current.amend(self._join)

    @property
    def place(self) -> str:
        """Where they are kept, for people."""
        return self._documents.describe(LEARNED)

    async def add(self, device: Device) -> None:
        """Let a device in from now on, at every node.

        Raises:
            CannotAdopt: it cannot be written down.
            ListenError: the configuration cannot be used any more as it is.
        """
        await self._change(lambda text: append(text, device))

    async def rename(self, address: str, note: str) -> None:
        """Say whose a device is. Raises as `add`; also if it was not adopted."""
        await self._change(lambda text: rename(text, address, note))

    async def forget(self, address: str) -> None:
        """Let a device in no longer. Raises as `rename`."""
        await self._change(lambda text: remove(text, address))

    async def _change(self, edit: Callable[[str], str]) -> None:
        def change(text: str) -> str:
            read(text)
            return edit(text)

        try:
            await self._documents.change(LEARNED, change)
        except tomllib.TOMLDecodeError as error:
            raise CannotAdopt(f"{self.place}: is not TOML ({error}); nothing was changed") from None
        except DocumentError as error:
            raise CannotAdopt(str(error)) from None
        if self._applied != self._text:
            self._take()

    def _hear(self, text: str) -> None:
        self._text = text
        if not self._is_included:
            self._take()

    def _take(self) -> None:
        self._current.replace(self._join(self._current.config))
        self._applied = self._text

    def _join(self, config: Config) -> Config:
        before, now = read(self._applied), read(self._text)
        others = [one for one in config.device if one not in before]
        return config.model_copy(update={"device": (*others, *(one for one in now if one not in others))})


def read(text: str) -> tuple[Device, ...]:
    """The devices of the document. Raises tomllib.TOMLDecodeError."""
    found = []
    for table in tomllib.loads(text).get("device", ()):
        try:
            found.append(Device(**{key: table[key] for key in LEARNED_KEYS if key in table}))
        except (ValidationError, TypeError):
            log.error("an adopted device makes no sense", document=LEARNED)
    return tuple(found)


def append(text: str, device: Device) -> str:
    """The document with one more [[device]], if it is not there."""
    known = {(one.address, one.listener) for one in read(text)}
    if (device.address, device.listener) in known:
        return text
    return f"{text or _HEADER}\n[[device]]\n" + "".join(_lines(device))


def rename(text: str, address: str, note: str) -> str:
    """The document with another note in the [[device]] of this address; everything else stays as it stands.

    Raises:
        CannotAdopt: it is not there.
    """
    head, *tables = _TABLE.split(text)
    for number, table in enumerate(tables):
        if _is_of(table, address):
            others = [line for line in table.splitlines(keepends=True) if not _NOTE.match(line)]
            tables[number] = f"\nnote = {_quote(note)}\n" + "".join(others).lstrip("\n")
            return "[[device]]".join([head, *tables])
    raise CannotAdopt(f"{address} was not adopted here; change its note in relay.toml")


def remove(text: str, address: str) -> str:
    """The document without the [[device]] of this address; comments stay.

    Raises:
        CannotAdopt: it is not there.
    """
    head, *tables = _TABLE.split(text)
    left = [head]
    for table in tables:
        if _is_of(table, address):
            lines = table.splitlines(keepends=True)
            left[-1] += "".join(line for line in lines if line.lstrip().startswith("#"))
        else:
            left.append(table)
    if len(left) > len(tables):
        raise CannotAdopt(f"{address} was not adopted here; take it out of relay.toml")
    return "[[device]]".join(left)


def _is_of(table: str, address: str) -> bool:
    return _read_table(table).get("address") == str(read_address(address))


def _read_table(text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def _quote(text: str) -> str:
    # A JSON string is a TOML basic string, all but DEL.
    return json.dumps(text, ensure_ascii=False).replace(chr(127), "")


def _lines(device: Device) -> Iterable[str]:
    return [f"{k} = {_quote(v)}\n" for k, v in device.model_dump(include=set(LEARNED_KEYS)).items()]
