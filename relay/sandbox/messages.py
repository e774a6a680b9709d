"""What the simulated Works has accepted: summaries of much, whole messages of the latest."""

import hashlib
import json
import shutil
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

import pybase64

from relay.sandbox.answers import invalid
from relay.sandbox.structure import Buffer, NotJson, Range


@dataclass(frozen=True, slots=True)
class Message:
    """The summary of one accepted message."""

    id: int
    time: float  # epoch seconds, when it was accepted
    account: str  # login ID of the mailbox that sent it
    user_id: str  # as the URL said it
    subject: str  # whole, as it was given
    to: str  # as it was given: addresses joined by semicolons
    cc: str
    bcc: str
    size: int  # octets of the request's body
    sha256: str  # hex, of the request's body
    queue_id: str = ""  # as the relay that sent it names it, by its field X-Relay-Queue-Id

    def as_json(self) -> dict[str, Any]:
        """The summary's fields by name."""
        return asdict(self)


FIELDS = tuple(field.name for field in fields(Message))


@dataclass(frozen=True, slots=True)
class Draft:
    """A request that has passed every check, ready to be kept."""

    request: Mapping[str, Any]  # the JSON body, each attachment's data as size and sha256
    files: Path | None  # directory of the attachments' octets, named 0, 1, …; None: not kept
    octets: int  # decoded, of all attachments

    def discard(self) -> None:
        """Remove the files of a draft that is not accepted."""
        _discard(self.files)


def _discard(files: Path | None) -> None:
    if files is not None:
        shutil.rmtree(files)


class Messages:
    """The accepted messages, the oldest whole ones making room for the newest."""

    def __init__(self, directory: Path, *, keep: int, summaries: int) -> None:
        self._directory = directory
        self._keep = min(keep, summaries) if summaries else keep
        self._whole: OrderedDict[int, Path] = OrderedDict()
        self.summaries: deque[Message] = deque(maxlen=summaries or None)
        self.total = 0
        self.by_account: Counter[str] = Counter()
        self._drafts = 0
        # Numbers begin at 1 with each start: what an earlier run left would be in the way.
        if directory.exists():
            shutil.rmtree(directory)
        directory.mkdir(parents=True)

    def draft(self, mail: Mapping[str, Any], body: Buffer) -> Draft:
        """Check the attachments' data and put it aside; runs in a thread for large bodies.

        Raises:
            Refusal: Base64 that is wrong, or a body that is malformed.
        """
        files: Path | None = None
        if self._keep and mail.get("attachments"):
            self._drafts += 1
            files = self._directory / f"draft-{self._drafts}"
            files.mkdir()
        try:
            request, octets = _resolve(mail, body, files)
        except BaseException:
            _discard(files)
            raise
        return Draft(request, files, octets)

    def accept(self, draft: Draft, summary: Callable[[int], Message]) -> Message:
        """Keep a draft as the next message."""
        self.total += 1
        message = summary(self.total)
        self.by_account[message.account] += 1
        self.summaries.append(message)
        if self._keep:
            home = self._directory / str(message.id)
            if draft.files is not None:
                draft.files.rename(home)
            else:
                home.mkdir()
            (home / "request.json").write_text(
                json.dumps(draft.request, ensure_ascii=False), encoding="utf-8"
            )
            self._whole[message.id] = home
            self._forget(self._keep)
        return message

    def _forget(self, keep: int) -> None:
        while len(self._whole) > keep:
            _, home = self._whole.popitem(last=False)
            shutil.rmtree(home)

    def clear(self) -> None:
        """Forget all messages and counts."""
        self._forget(0)
        self.summaries.clear()
        self.by_account.clear()
        self.total = 0

    def whole(self) -> Iterator[Message]:
        """The messages that are kept whole, oldest first."""
        # They are the latest ones, and ids have no gaps.
        latest = list(islice(reversed(self.summaries), len(self._whole)))
        yield from reversed(latest)

    def find(self, message_id: int) -> Message | None:
        """The whole message with this id."""
        if message_id not in self._whole or not self.summaries:
            return None
        return self.summaries[message_id - self.summaries[0].id]

    def request(self, message_id: int) -> dict[str, Any]:
        """The request of a message that is kept whole, attachments' data as size and sha256.

        Raises:
            KeyError: it is not kept.
        """
        request: dict[str, Any] = json.loads((self._whole[message_id] / "request.json").read_text("utf-8"))
        return request

    def file(self, message_id: int, number: int) -> Path:
        """The octets of one attachment.

        Raises:
            KeyError: the message is not kept.
        """
        return self._whole[message_id] / str(number)


@contextmanager
def _sink(path: Path | None) -> Iterator[Callable[[bytes], object]]:
    if path is None:
        yield len
        return
    with path.open("wb") as file:
        yield file.write


def _resolve(mail: Mapping[str, Any], body: Buffer, files: Path | None) -> tuple[dict[str, Any], int]:
    """The request with sizes and sums in place of data, and the octets of all attachments."""
    request = dict(mail)
    if isinstance(request.get("body"), Range):
        try:
            request["body"] = request["body"].text(body)
            request["body"].encode()
        except (NotJson, UnicodeEncodeError):
            raise invalid("body is malformed") from None
    attachments, total = [], 0
    for number, attachment in enumerate(mail.get("attachments", [])):
        path = files / str(number) if files is not None else None
        size, digest = _decode(number, attachment["data"], body, path)
        total += size
        rest = {name: value for name, value in attachment.items() if name != "data"}
        attachments.append({**rest, "size": size, "sha256": digest})
    if "attachments" in mail:
        request["attachments"] = attachments
    return request, total


def _decode(number: int, data: str | Range, body: Buffer, path: Path | None) -> tuple[int, str]:
    """Decode strict Base64 by the block, into `path` if there is one; its size and sha256."""
    blocks = iter([data.encode("utf-8", "replace")]) if isinstance(data, str) else data.blocks(body)
    digest, size, padded = hashlib.sha256(), 0, False
    with _sink(path) as write:
        for block in blocks:
            # Padding ends the data: nothing may follow it (RFC 4648 §3.3).
            if padded or b"=" in block[:-2] or len(block) % 4:
                raise invalid(f"attachments[{number}].data is not Base64")
            padded = block.endswith(b"=")
            try:
                octets = pybase64.b64decode(block, validate=True)
            except ValueError:
                raise invalid(f"attachments[{number}].data is not Base64") from None
            size += len(octets)
            digest.update(octets)
            write(octets)
    return size, digest.hexdigest()
