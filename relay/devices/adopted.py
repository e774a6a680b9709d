"""learned.toml: the devices that were adopted."""

import json
from pathlib import Path

from relay.config.include import LEARNED_KEYS
from relay.config.model import Device
from relay.host import safeio

_HEADER = "# Devices that were adopted by `relay learn`; part of the configuration. May be edited.\n"


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


def _lines(device: Device) -> list[str]:
    # A JSON string is a TOML basic string, all but DEL.
    return [
        f"{k} = {json.dumps(v, ensure_ascii=False).replace(chr(127), '')}\n"
        for k, v in device.model_dump(include=set(LEARNED_KEYS)).items()
    ]
