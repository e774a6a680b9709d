"""The record of who changed what: `state_dir/audit.jsonl`, a line of JSON for each verb that changes
anything.

It holds who asked, for what, and how it ended; no content, no address of a recipient, no secret. Two files of
a megabyte are kept, which are some thousands of verbs.
"""

import json
import os
import pwd
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import structlog

from relay.host.clock import to_iso
from relay.host.safeio import OWNER_ONLY

log = structlog.get_logger("audit")
_LARGEST = 1024 * 1024  # octets
# What a verb was about. Other arguments are content, or secrets of a consent.
_TOLD = (
    "queue_ids",
    "every",
    "account",
    "states",
    "unknown",
    "unknown_devices",
    "address",
    "network",
    "seconds",
    "listener",
    "note",
)
_MOST_IDS = 20
Record = dict[str, Any]


class Audit:
    """The record, written behind the event loop's back.

    Args:
        folder: where it is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "audit.jsonl"
        self._older = folder / "audit.1.jsonl"
        # One thread: lines stand in the order in which they were asked for.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")

    def note(
        self, asker: Mapping[str, object], verb: str, arguments: Mapping[str, Any], refused: str = ""
    ) -> None:
        """Write down that a verb was done, or refused for a reason; soon."""
        record = {
            "at": to_iso(time.time()),
            "who": name_asker(asker),
            **asker,
            "verb": verb,
            "about": _choose(arguments),
        }
        if refused:
            record["refused"] = refused
        self._thread.submit(self._write, json.dumps(record, ensure_ascii=False))

    def _write(self, line: str) -> None:
        octets = line.encode("utf-8", "replace") + b"\n"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(self._path, flags, OWNER_ONLY)
            try:
                os.write(fd, octets)
                size = os.fstat(fd).st_size
            finally:
                os.close(fd)
            if size > _LARGEST:
                self._path.replace(self._older)
        except OSError as error:
            # What was asked for is done all the same; it also stands in the log.
            log.error("audit record not written", reason=error.strerror)

    def latest(self, most: int) -> list[Record]:
        """The latest records, newest first. Blocks on disk."""
        self._thread.submit(lambda: None).result()  # what was noted before
        found: list[Record] = []
        for path in (self._path, self._older):
            for record in _read(path):
                if len(found) == most:
                    return found
                found.append(record)
        return found

    def close(self) -> None:
        """Write what is to be written. Blocks on disk."""
        self._thread.shutdown()


def _read(path: Path) -> Iterator[Record]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return
    for line in reversed(lines):
        try:
            record = json.loads(line)
        except ValueError:
            continue  # the machine stopped in the middle of it
        if isinstance(record, dict):
            yield record


def _choose(arguments: Mapping[str, Any]) -> Record:
    about = {name: arguments[name] for name in _TOLD if arguments.get(name)}
    ids = about.get("queue_ids", ())
    if len(ids) > _MOST_IDS:
        about |= {"queue_ids": list(ids[:_MOST_IDS]), "more": len(ids) - _MOST_IDS}
    return about


def name_asker(asker: Mapping[str, object]) -> str:
    """Who asked, for people: a console user, or a user of this machine; "" where it is not known."""
    if "console_user" in asker:
        return str(asker["console_user"])
    uid = asker.get("uid")
    if not isinstance(uid, int):
        return ""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return f"uid {uid}"
