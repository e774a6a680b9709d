"""The JSON body of the send-mail call as a stream of known length (Works API §1).

Attachments are not in it: a segment names a range of the content and how it is encoded there. Valid Base64 is
passed on with its line ends removed; anything else is decoded and encoded anew, block by block.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import pybase64

from relay.envelope import Buffer
from relay.mail import Attachment, Conversion, Leaf, Mail, Rest
from relay.message.dumping import dump
from relay.message.long import escape_rest
from relay.message.recipients import Destinations
from relay.message.transfer import (
    BLOCK,
    decode_base64_blocks,
    decode_blocks,
    is_alphabet,
    read_blocks,
    strip_blanks,
)

_SEND = 64 * 1024
_MEMBER = len(b'"data":""')


@dataclass(frozen=True, slots=True)
class Data:
    """One attachment's `data`: where its octets come from."""

    source: Leaf | tuple[Leaf, ...] | bytes
    size: int  # decoded octets

    @property
    def length(self) -> int:
        """Octets of the JSON member, without its name."""
        return (self.size + 2) // 3 * 4

    def encode(self, content: Buffer) -> Iterator[bytes | bytearray]:
        """The Base64, in blocks."""
        leaf = self.source
        if not isinstance(leaf, Leaf) or leaf.encoding != "base64":
            yield from _encode(self.decode(content))
            return
        for block in read_blocks(content, leaf.start, leaf.clean_end, _SEND):
            stripped = strip_blanks(block)
            if not is_alphabet(stripped):
                # It stands in the request as it is: what another process has said of it is not believed.
                raise ValueError("the content is not the Base64 that it was")
            yield stripped
        start = max(leaf.start, leaf.clean_end)
        yield from _encode(decode_base64_blocks(read_blocks(content, start, leaf.end)))

    def decode(self, content: Buffer) -> Iterator[bytes]:
        """The octets of the file, in blocks."""
        if isinstance(self.source, bytes):
            return (self.source[at : at + BLOCK] for at in range(0, len(self.source), BLOCK))
        leaves = (self.source,) if isinstance(self.source, Leaf) else self.source
        return chain.from_iterable(decode_blocks(content, leaf) for leaf in leaves)


def _encode(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Base64 of octets that come in blocks of any size."""
    rest = b""
    for block in blocks:
        octets = rest + block if rest else block
        keep = len(octets) // 3 * 3
        rest = octets[keep:]
        for at in range(0, keep, BLOCK):
            yield pybase64.b64encode(octets[at : min(keep, at + BLOCK)])
    yield pybase64.b64encode(rest)


@dataclass(frozen=True, slots=True)
class Payload:
    """One request's body; picklable, and without any hold on the content."""

    segments: tuple[bytes | Data | Rest, ...]
    length: int  # octets: the Content-Length

    def blocks(self, content: Buffer) -> Iterator[bytes]:
        """The body in blocks of about 64 KiB; their lengths add up to `length`.

        Raises:
            ValueError: the content is not what this payload was made from; the request must not be ended.
        """
        pending = bytearray()
        sent = 0
        for piece in self._pieces(content):
            pending += piece
            if len(pending) >= _SEND:
                sent += len(pending)
                yield bytes(pending)
                pending.clear()
        sent += len(pending)
        if sent != self.length:
            raise ValueError(f"{sent} octets came out, {self.length} were announced")
        yield bytes(pending)

    def _pieces(self, content: Buffer) -> Iterator[bytes | bytearray]:
        for segment in self.segments:
            if isinstance(segment, Data):
                yield b'"data":"'
                yield from segment.encode(content)
                yield b'"'
            elif isinstance(segment, Rest):
                yield from escape_rest(content, segment)
            else:
                yield from (segment[at : at + _SEND] for at in range(0, len(segment), _SEND))

    def describe(self, content: Buffer) -> Iterator[bytes]:
        """The same body with `size` and `sha256` of each attachment in place of its `data`."""
        for segment in self.segments:
            if isinstance(segment, Data):
                digest = hashlib.sha256()
                for block in segment.decode(content):
                    digest.update(block)
                yield f'"size":{segment.size},"sha256":"{digest.hexdigest()}"'.encode()
            elif isinstance(segment, Rest):
                yield from escape_rest(content, segment)
            else:
                yield segment


def make_payload(mail: Mail, destinations: Destinations, conversion: Conversion, body: bytes) -> Payload:
    """The request that sends the mail to those destinations.

    Args:
        mail: what is sent.
        destinations: to whom.
        conversion: how.
        body: the mail's body in JSON; the requests of one mail share it.
    """
    request: dict[str, str | bool] = {"to": "; ".join(destinations.to)}
    if destinations.cc:
        request["cc"] = "; ".join(destinations.cc)
    if destinations.bcc:
        request["bcc"] = "; ".join(destinations.bcc)
    request["subject"] = mail.subject
    segments: list[bytes | Data | Rest] = [dump(request)[:-1] + b',"body":', body]
    if mail.rest is not None:
        segments[-1:] = [body[:-1], mail.rest, b'"']
    request = {}
    request["contentType"] = mail.content_type
    if mail.user_name:
        request["userName"] = mail.user_name
    request["isSaveSentMail"] = conversion.save_sent
    request["isSaveTracking"] = conversion.tracking
    request["isSendSeparately"] = conversion.send_separately or destinations.separately
    if conversion.security_level:
        request["securityLevel"] = conversion.security_level
    segments.append(b"," + dump(request)[1:-1])
    for number, attachment in enumerate(mail.attachments):
        segments.append(b",{" if number else b',"attachments":[{')
        segments.append(Data(attachment.source, attachment.size))
        segments.append(b"," + dump(_members(attachment))[1:])
    segments.append(b"]}" if mail.attachments else b"}")
    return Payload(tuple(segments), sum(map(_measure, segments)))


def _measure(segment: bytes | Data | Rest) -> int:
    """Octets of a segment in the body."""
    if isinstance(segment, Data):
        return segment.length + _MEMBER
    return segment.length if isinstance(segment, Rest) else len(segment)


def _members(attachment: Attachment) -> dict[str, str | bool]:
    members: dict[str, str | bool] = {"filename": attachment.filename, "fileType": attachment.media_type}
    if attachment.inline:
        members |= {"cid": attachment.cid, "inline": True}
    return members
