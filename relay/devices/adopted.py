"""learned.toml: the devices that were adopted."""

import json
import re
import tomllib
from pathlib import Path

from relay.config.include import LEARNED_KEYS
from relay.config.model import Device
from relay.config.networks import read_address
from relay.host import safeio

_HEADER = "# Devices that were adopted by `relay learn`; part of the configuration. May be edited.\n"
# A line that begins a table, and one that says whose the device is.
_TABLE, _NOTE = re.compile(r"(?m)^\[\[device\]\]"), re.compile(r"\s*note\s*=")


class CannotAdopt(Exception):  # noqa: N818 - what it is, with the file and the reason
    """learned.toml cannot be written; nothing was changed."""


def append(path: Path, device: Device) -> None:
    """Add a [[device]] to the file.

    Raises:
        CannotAdopt: it cannot be written.
    """
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else _HEADER
        safeio.write_file(path, (f"{text}\n[[device]]\n" + "".join(_lines(device))).encode())
    except OSError as error:
        raise CannotAdopt(f"{path}: cannot be written ({error.strerror}); nothing was changed") from None


def rename(path: Path, address: str, note: str) -> None:
    """Give the file's [[device]] of this address another note; everything else in it stays as it stands.

    Raises:
        CannotAdopt: it is not in the file, or that cannot be read or written.
    """
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError):
        raise CannotAdopt(f"{path}: cannot be read; nothing was changed") from None
    head, *tables = _TABLE.split(text)
    for number, table in enumerate(tables):
        if _read_table(table).get("address") == str(read_address(address)):
            others = [line for line in table.splitlines(keepends=True) if not _NOTE.match(line)]
            tables[number] = f"\nnote = {_quote(note)}\n" + "".join(others).lstrip("\n")
            break
    else:
        raise CannotAdopt(f"{address} was not adopted here; change its note in relay.toml")
    try:
        safeio.write_file(path, "[[device]]".join([head, *tables]).encode())
    except OSError as error:
        raise CannotAdopt(f"{path}: cannot be written ({error.strerror}); nothing was changed") from None


def _read_table(text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def _quote(text: str) -> str:
    # A JSON string is a TOML basic string, all but DEL.
    return json.dumps(text, ensure_ascii=False).replace(chr(127), "")


def _lines(device: Device) -> list[str]:
    return [f"{k} = {_quote(v)}\n" for k, v in device.model_dump(include=set(LEARNED_KEYS)).items()]
