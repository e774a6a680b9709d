"""The octets of a message → what a person at a mail program would see of it.

The tree of parts comes from `structure`, what is body and what is a file from `body`; here the files get
their names and sizes, and the html its inline images.
"""

from dataclasses import dataclass, replace

from relay.envelope import Buffer
from relay.mail import Attachment, Loss, Mail
from relay.message import html
from relay.message.body import Chosen, Piece, choose, content_id_of, filename_of, join
from relay.message.charsets import decode_field
from relay.message.header import Header, read_header
from relay.message.losses import make_loss
from relay.message.names import keep_apart, make_filename
from relay.message.structure import Part, read_structure
from relay.message.transfer import measure


@dataclass(frozen=True, slots=True)
class Understood:
    """A message that was read: its header, and the mail that it comes to for any recipient."""

    header: Header
    mail: Mail


def parse(content: Buffer) -> Understood:
    """Read a message.

    Raises:
        Unconvertible: a limit is passed (5.6.0).
    """
    root = read_structure(content)
    header = read_header(root.fields)
    chosen = choose(content, root)
    tokens = _refer(chosen)
    attachments, losses = _make_attachments(content, chosen.files, tokens)
    body, content_type = join(chosen.pieces)
    mail = Mail(
        subject=header.subject,
        body=body,
        content_type=content_type,
        originator=header.originators[0] if header.originators else None,
        reply_to=header.reply_to,
        to=header.to,
        cc=header.cc,
        bcc=header.bcc,
        attachments=tuple(attachments),
        losses=(*(make_loss(*loss) for loss in dict.fromkeys(chosen.losses)), *losses),
    )
    return Understood(header, mail)


def _refer(chosen: Chosen) -> dict[int, str]:
    """Rewrite the html's references; gives the token of each file that it refers to, by the file's number."""
    by_cid: dict[str, int] = {}
    by_location: dict[str, int] = {}
    for number, part in enumerate(chosen.files):
        if cid := content_id_of(part):
            by_cid.setdefault(cid, number)
        if location := "".join(decode_field(part.fields.first("content-location") or b"").split()):
            by_location.setdefault(location, number)
    tokens: dict[int, str] = {}

    def find(reference: str, is_cid: bool) -> str:  # noqa: FBT001 - called by position
        number = by_cid.get(reference) if is_cid else None
        number = by_location.get(reference) if number is None else number
        if number is None:
            return ""
        return tokens.setdefault(number, f"inline{number + 1}")

    if by_cid or by_location:
        for piece in chosen.pieces:
            if piece.is_html:
                piece.text = html.rewrite_references(piece.text, find)
    return tokens


def _make_attachments(
    content: Buffer, files: list[Part], tokens: dict[int, str]
) -> tuple[list[Attachment], list[Loss]]:
    attachments: list[Attachment] = []
    losses: list[Loss] = []
    for number, part in enumerate(files):
        leaf, size = measure(content, part.leaf)
        given = filename_of(part)
        name = make_filename(given, part.media_type, _fallback(part))
        if not size:
            losses.append(make_loss("empty-attachment", name))
            continue
        token = tokens.get(number, "")
        attachments.append(Attachment(name, _file_type(part), leaf, size, token, inline=bool(token)))
    names = keep_apart([one.filename for one in attachments])
    return [replace(one, filename=name) for one, name in zip(attachments, names, strict=True)], losses


def _fallback(part: Part) -> str:
    if part.media_type in {"message/rfc822", "message/global"}:
        return "message"
    if part.media_type == "text/calendar":
        return "invite"
    return "signature" if "signature" in part.media_type else "attachment"


def _file_type(part: Part) -> str:
    method = part.content_type.parameters.get("method", "")
    if part.media_type == "text/calendar" and method.isalpha():
        return f"text/calendar; method={method.upper()}"
    return part.media_type if part.media_type.isascii() else "application/octet-stream"


__all__ = ["Piece", "Understood", "parse"]
