"""The octets of a message → what a person at a mail program would see of it.

The tree of parts comes from `structure`, what is body and what is a file from `body`; here they are put
together: the files get their names and sizes, and the html its inline images.
"""

from dataclasses import dataclass
from urllib.parse import unquote, urljoin

from relay.envelope import Buffer
from relay.mail import Mail, make_loss
from relay.message.body import Chosen, choose
from relay.message.files import File, join_calendars, make_attachments, measure_files
from relay.message.formats import html
from relay.message.header import Header, read_header
from relay.message.hints import settle_fields
from relay.message.long import split_rest
from relay.message.structure import read_structure
from relay.message.text import budget
from relay.message.text_part import Piece, decode_html, join, name_charset
from relay.message.winmail import expand


@dataclass(frozen=True, slots=True)
class Understood:
    """A message that was read: its header, and the mail that it comes to for any recipient."""

    header: Header
    mail: Mail
    codecs: frozenset[str] = frozenset()  # of the body's texts: a hint at the language
    is_sealed: bool = False  # whether what it says is encrypted, or in a signed file


@budget.bounded()
def parse(content: Buffer) -> Understood:
    """Read a message.

    Raises:
        Unconvertible: a limit is passed (5.6.0).
    """
    root, rest = split_rest(content, read_structure(content))
    settle_fields(content, root)
    header = read_header(root.fields)
    chosen = choose(content, root)
    _expand(content, chosen)
    files, empty = measure_files(content, chosen.files)
    files = join_calendars(content, files)
    tokens = _refer(chosen.pieces, files)
    attachments, losses = make_attachments(files, tokens)
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
        losses=(*(make_loss(*loss) for loss in dict.fromkeys(chosen.losses)), *empty, *losses),
        rest=rest,
    )
    codecs = frozenset(piece.codec for piece in chosen.pieces)
    return Understood(header, mail, codecs, is_sealed=chosen.is_sealed)


def _expand(content: Buffer, chosen: Chosen) -> None:
    """Take winmail.dat apart; where there is no other text, its own is the body, or goes along as RTF."""
    chosen.files, losses, within = expand(content, chosen.files)
    chosen.losses += losses
    if any(piece.shown for piece in chosen.pieces):
        return
    if within.html:
        decoded = decode_html(within.html, within.charset, within.codepage)
        chosen.pieces = [Piece(is_html=True, text=decoded.text, codec=decoded.codec)]
        chosen.losses += name_charset("winmail.dat", decoded)
    elif within.text is not None:
        chosen.pieces = [Piece(is_html=False, text=within.text.text.replace("\r\n", "\n"))]
        chosen.losses += name_charset("winmail.dat", within.text)
    elif within.file:
        chosen.files.append(within.file)


def _refer(pieces: list[Piece], files: list[File]) -> dict[int, str]:
    """Rewrite the html's references; gives the token of each file that it refers to, by the file's number."""
    references = _References(files)
    if references.is_empty:
        return {}
    for piece in pieces:
        if piece.is_html and piece.shown:
            references.base = piece.base
            piece.text = html.rewrite_cids(piece.text, references.find)
            if references.has_locations:  # few have, and every link would be looked up
                piece.text = html.rewrite_locations(piece.text, references.find)
    return references.tokens


class _References:
    """Files by the names under which html may refer to them."""

    def __init__(self, files: list[File]) -> None:
        self.base = ""
        self.tokens: dict[int, str] = {}
        self._by_id: dict[str, int] = {}
        self._by_location: dict[str, int] = {}
        for number, file in enumerate(files):
            for name in (file.content_id, unquote(file.content_id)):
                self._by_id.setdefault(name, number)
                self._by_id.setdefault(name.casefold(), number)
            self._by_location.setdefault(file.location, number)
        self._by_id.pop("", None)
        self._by_location.pop("", None)

    @property
    def is_empty(self) -> bool:
        return not self._by_id and not self._by_location

    @property
    def has_locations(self) -> bool:
        return bool(self._by_location)

    def find(self, reference: str, is_cid: bool) -> str:  # noqa: FBT001 - called by position
        """The token of the file that is referred to; "" when there is none."""
        number = None
        if not budget.current().take_reference():
            return ""
        if is_cid:
            number = self._by_id.get(reference, self._by_id.get(reference.casefold()))
        if number is None and self._by_location:
            number = self._by_location.get(reference)
            if number is None and not is_cid:
                number = self._by_location.get(_join_url(self.base, reference))
        return "" if number is None else self.tokens.setdefault(number, f"inline{number + 1}")


def _join_url(base: str, reference: str) -> str:
    try:
        return urljoin(base, reference)
    except ValueError:
        return reference
