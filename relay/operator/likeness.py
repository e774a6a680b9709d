"""Whether the nodes of one database go by the same configuration, and in which keys they do not.

Each node says of each key a hash of its value. It is keyed by `spool.key`, which every node has: nobody finds
out a secret from what stands in the database.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

from pydantic import SecretStr

from relay.config.model import Config

# What is a machine's own: its name, its doors, its disk, and its way to the database.
_OWN = {"hostname", "state_dir", "console", "log", "listener", "include", "device"}
_OWN_SPOOL = {"url", "listen_url", "password", "key", "keep_free"}
_KEY = "spool.key"  # with another one all hashes are others
_FILE = "_file"  # where a value comes from; what it is counts
_LENGTH = 8  # octets in hexadecimal
_MOST_NAMED = 5


def fingerprint(config: Config) -> str:
    """`KEY=HASH`, separated by blanks, of what should be the same on each node and is not the default."""
    key = config.spool.key.get_secret_value().encode()
    return " ".join(f"{name}={_hash(key, name, value)}" for name, value in ((_KEY, ""), *_values(config)))


def _values(config: Config) -> Iterator[tuple[str, Any]]:
    tree = config.model_dump(exclude=_OWN, exclude_defaults=True)
    for section, value in sorted(tree.items()):
        if not isinstance(value, dict):
            yield (f"[[{section}]]" if isinstance(value, list | tuple) else section), value
            continue
        own = _OWN_SPOOL if section == "spool" else ()
        for name, one in sorted(value.items()):
            if name not in own and not name.endswith(_FILE):
                yield f"{section}.{name}", one


def _hash(key: bytes, name: str, value: Any) -> str:
    text = json.dumps([name, value], sort_keys=True, default=_show)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:_LENGTH]


def _show(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def find_differences(one: str, other: str) -> tuple[str, ...]:
    """The keys whose values differ, of two fingerprints; nothing where one was not said."""
    if not one or not other:
        return ()
    first, second = _read(one), _read(other)
    if first.get(_KEY) != second.get(_KEY):
        return (_KEY,)
    return tuple(sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name)))


def _read(said: str) -> dict[str, str]:
    return dict(part.rsplit("=", 1) for part in said.split(" ") if "=" in part)


def name_keys(keys: tuple[str, ...]) -> str:
    """The keys, for people: a few of them."""
    more = len(keys) - _MOST_NAMED
    return ", ".join(keys[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
