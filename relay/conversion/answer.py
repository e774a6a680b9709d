"""What a converting process says of a message, as octets, and how they are read again.

An answer is JSON and the octets that belong to it: the body, and files that were made (from a winmail.dat,
say). It has no addresses: recipients are numbers in the envelope that the question brought. Its reader trusts
nothing: what is not of the form, lies outside the content or is larger than the content can explain, is no
answer.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, get_args

from relay.mail import (
    KINDS,
    Address,
    Attachment,
    Leaf,
    Loss,
    Mail,
    Options,
    Rest,
    SecurityLevel,
    Unconvertible,
    make_loss,
)
from relay.message.long import is_codec_of_rest
from relay.message.names import make_filename, make_one_line

# Limits of one answer, beside what the size of its message allows.
_MOST_JSON = 4 * 1024 * 1024  # octets
_MOST_MADE = 4 * 1024 * 1024  # octets
# A character of one octet may have three in UTF-8; and the whole message may go along beside its files.
_GROWTH = 3
_MOST_FILES = 5000
_MOST_LOSSES = 10_000
_LONGEST = 1000  # characters of a name, a subject or a detail
_LONGEST_ADDED = 1024 * 1024  # of what a loss has put into the body
_LONGEST_REASON = 300
_SWITCHES = 3  # options that are yes or no
# Most names; what `make_filename` would do with them is nothing.
_FINE_NAME = re.compile(r"[^\W_][\w .()-]{0,99}(?<! )")
_ENCODINGS = {"base64", "quoted-printable", "7bit", "8bit", "binary"}


class NoAnswerError(Exception):
    """The octets are no answer to that question."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an answer is measured by."""

    size: int  # octets of the message
    forward_paths: Sequence[str]

    @property
    def most(self) -> int:
        """Octets that an answer may have beside its JSON."""
        return _GROWTH * self.size + _MOST_MADE


def write_mail(mail: Mail, asked: Asked) -> tuple[bytes, list[bytes]]:
    """A mail as JSON and octets.

    Raises:
        NoAnswerError: it has more than an answer may have.
    """
    number = {path: at for at, path in reversed(list(enumerate(asked.forward_paths)))}
    body = mail.body.encode("utf-8", "replace")
    octets = [body, *(one.source for one in mail.attachments if isinstance(one.source, bytes))]
    told = {
        "subject": mail.subject,
        "body": len(body),
        "html": mail.content_type == "html",
        "user_name": mail.user_name,
        "to": [number[one.addr_spec] for one in mail.to],
        "cc": [number[one.addr_spec] for one in mail.cc],
        "files": [
            [one.filename, one.media_type, _write_source(one.source), one.size, one.cid, one.inline]
            for one in mail.attachments
        ],
        "losses": [[one.loss, one.detail[:_LONGEST], one.added] for one in mail.losses],
        "options": list(astuple(mail.options)),
        "rest": mail.rest and [mail.rest.start, mail.rest.end, mail.rest.length, mail.rest.codec],
    }
    head = json.dumps(told).encode()
    _require(may_have(len(head), sum(map(len, octets)), asked))
    return head, octets


def write_refusal(error: Unconvertible) -> bytes:
    """A refusal as JSON."""
    return json.dumps({"status": error.status, "reason": error.reason[:_LONGEST_REASON]}).encode()


def may_have(head: int, made: int, asked: Asked) -> bool:
    """Whether an answer may have so many octets of JSON, and so many beside."""
    return head <= _MOST_JSON and made <= asked.most


def _write_source(source: Leaf | tuple[Leaf, ...] | bytes) -> list[Any] | int:
    if isinstance(source, bytes):
        return len(source)
    return _write_leaf(source) if isinstance(source, Leaf) else [_write_leaf(leaf) for leaf in source]


def _write_leaf(leaf: Leaf) -> list[Any]:
    return [leaf.start, leaf.end, leaf.encoding, leaf.clean_end]


def read_answer(head: bytes, made: bytes, asked: Asked) -> Mail:
    """The mail that was answered.

    Raises:
        Unconvertible: the answer is a refusal.
        NoAnswerError: it is no answer.
    """
    try:
        told = json.loads(head)
        _require(isinstance(told, dict))
        if "status" in told:
            raise _read_refusal(told)
        return _Reader(made, asked).read(told)
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise NoAnswerError(type(error).__name__) from None


def _read_refusal(told: Mapping[str, Any]) -> Unconvertible:
    status = told["status"]
    _require(status in {"5.3.4", *(kind.status for kind in KINDS.values())})
    return Unconvertible(status, make_one_line(_text(told["reason"])))


class _Reader:
    """Reads one answer."""

    def __init__(self, made: bytes, asked: Asked) -> None:
        self._made = made
        self._asked = asked
        self._at = 0  # octets that were used
        self._ranges = 0  # octets of the content that are referred to
        self._sizes = 0  # octets of all files

    def read(self, told: Mapping[str, Any]) -> Mail:
        files, losses = _list(told["files"], _MOST_FILES), _list(told["losses"], _MOST_LOSSES)
        mail = Mail(
            subject=_line(told["subject"]),
            body=self._take(told["body"]).decode(),
            content_type="html" if told["html"] is True else "text",
            user_name=_text(told["user_name"]),
            to=self._read_recipients(told["to"]),
            cc=self._read_recipients(told["cc"]),
            attachments=tuple(self._read_file(*_list(one, 6)) for one in files),
            losses=tuple(_read_loss(*_list(one, 3)) for one in losses),
            options=_read_options(*_list(told["options"], 4)),
            rest=None if told["rest"] is None else self._read_rest(*_list(told["rest"], 4)),
        )
        _require(self._at == len(self._made))
        return mail

    def _read_recipients(self, numbers: Any) -> tuple[Address, ...]:
        paths = self._asked.forward_paths
        found = _list(numbers, len(paths))
        return tuple(Address("", paths[_number(one, len(paths) - 1)]) for one in found)

    def _read_file(
        self, name: Any, media_type: Any, source: Any, size: Any, cid: Any, inline: Any
    ) -> Attachment:
        octets, media_type = self._read_source(source), _line(media_type)
        self._sizes += _number(size, self._asked.most)
        _require(self._sizes <= self._asked.most and len(_text(name)) > 0)
        _require(isinstance(octets, Leaf | tuple) or len(octets) == size)
        name = name if _FINE_NAME.fullmatch(name) else make_filename(name, media_type)
        return Attachment(name, media_type, octets, size, _line(cid), inline=inline is True)

    def _read_source(self, source: Any) -> Leaf | tuple[Leaf, ...] | bytes:
        if isinstance(source, int):
            return self._take(source)
        leaves = _list(source, _MOST_FILES)
        if not all(isinstance(leaf, list) for leaf in leaves):
            return self._read_leaf(*_list(leaves, 4))
        return tuple(self._read_leaf(*_list(leaf, 4)) for leaf in leaves)

    def _read_leaf(self, start: Any, end: Any, encoding: Any, clean_end: Any) -> Leaf:
        self._use(start, end)
        _require(encoding in _ENCODINGS and (clean_end == 0 or start <= _number(clean_end, end)))
        return Leaf(start, end, encoding, clean_end)

    def _read_rest(self, start: Any, end: Any, length: Any, codec: Any) -> Rest:
        self._use(start, end)
        _require(is_codec_of_rest(_text(codec)))
        return Rest(start, end, _number(length, 2 * self._asked.most), codec)

    def _use(self, start: Any, end: Any) -> None:
        """Refer to a range of the content."""
        _number(start, _number(end, self._asked.size))
        self._ranges += end - start
        _require(self._ranges <= self._asked.most)

    def _take(self, length: Any) -> bytes:
        """The next octets of those that came along."""
        at = self._at
        self._at += _number(length, len(self._made) - at)
        return self._made[at : self._at]


def _read_loss(name: Any, detail: Any, added: Any) -> Loss:
    return make_loss(_text(name), make_one_line(_text(detail)), _text(added, _LONGEST_ADDED))


def _read_options(level: Any, *switches: Any) -> Options:
    _require(level is None or level in get_args(SecurityLevel))
    _require(len(switches) == _SWITCHES and all(one is None or isinstance(one, bool) for one in switches))
    return Options(level, *switches)


def _require(holds: bool) -> None:  # noqa: FBT001 - as an assertion is
    if not holds:
        raise NoAnswerError("not of the form")


def _number(value: Any, most: int) -> int:
    """A number from 0 to `most`."""
    _require(type(value) is int and 0 <= value <= most)
    return int(value)


def _text(value: Any, most: int = _LONGEST) -> str:
    """Text that is none too long, without surrogates."""
    _require(isinstance(value, str) and len(value) <= most)
    return str(value).encode("utf-8", "replace").decode()


def _line(value: Any) -> str:
    """Text of one line, without controls."""
    text = _text(value)
    return text if text.isprintable() else make_one_line(text)


def _list(value: Any, most: int) -> list[Any]:
    _require(isinstance(value, list) and len(value) <= most)
    return list(value)
