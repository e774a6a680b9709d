"""What is in winmail.dat, in its place: its files, and its text for a message that has no other."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from relay.envelope import Buffer
from relay.message.files import File, octets_of
from relay.message.formats.rtf import decompress, is_checked
from relay.message.formats.tnef import SIGNATURE, Fault, Tnef, TnefFile, read_tnef
from relay.message.formats.tnef_message import make_eml, make_eml_name
from relay.message.text import budget
from relay.message.text.charsets import Decoded

_TYPES = {"application/ms-tnef", "application/vnd.ms-tnef"}
_NAME = "winmail.dat"
_DEEPEST = 5  # winmail.dat within winmail.dat
_UNREADABLE = "cannot be read; it goes along as it is"
Losses = list[tuple[str, str]]  # name and detail of each


@dataclass(slots=True)
class Within:
    """What stood in winmail.dat beside its files, for a message without any other text."""

    text: Decoded | None = None
    html: bytes = b""
    charset: str = ""  # of the html, as winmail.dat declares it
    codepage: str = ""  # of the system that made it
    file: File | None = None  # its RTF; itself, where nothing of it can be read


def expand(content: Buffer, files: list[File]) -> tuple[list[File], Losses, Within]:
    """Take the files out of winmail.dat; gives the files, the losses, and what else stood in it."""
    kept: list[File] = []
    losses: Losses = []
    within = Within()
    for file in files:
        if file.media_type not in _TYPES and file.name.lower() != _NAME:
            kept.append(file)
            continue
        budget.current().take_format()
        stream = octets_of(content, file)
        found = read_tnef(stream)
        if found is None or not _holds_anything(found):
            kept.append(replace(file, damage=_say_broken(stream, found)))
            continue
        kept += _take_out(found, 0)
        losses += _name_losses(found)
        is_kept = any(_is_lost(one) for one in found.walk())
        if is_kept:
            kept.append(replace(file, name=file.name or _NAME))
        _take_text(within, found, None if is_kept else file)
    return kept, losses, within


def _holds_anything(found: Tnef) -> bool:
    """Whether anything could be read, or nothing is wrong."""
    return not found.damage or bool(found.files or found.text.text or found.html or found.rtf)


def _say_broken(stream: bytes, found: Tnef | None) -> str:
    if not stream:
        return ""
    if found is None and stream.startswith(SIGNATURE):
        return "it holds too many files, and goes along as it is"
    return "it is none of its kind" if found is None else found.damage


def _is_lost(found: Tnef) -> bool:
    """Whether something of it is not carried by its texts and files."""
    return found.damage is Fault.CUT or found.is_item or any(file.is_lost for file in found.files)


def _name_losses(found: Tnef) -> Losses:
    losses = [("text-alternative", "what winmail.dat held beside its files")]
    for one in found.walk():
        losses += [("damaged", f"{_NAME}: {one.damage}")] if one.damage else []
        if any(file.is_lost for file in one.files):
            losses.append(("damaged", f"a message within {_NAME} {_UNREADABLE}"))
        if one.is_item:
            losses.append(("damaged", f"an appointment, a contact or a task within {_NAME} {_UNREADABLE}"))
        if one.rtf and not is_checked(one.rtf):
            losses.append(("damaged", f"{_NAME}: its RTF is not whole"))
        if one is not found:  # those of the stream itself are named with its files
            losses += [("damaged", f"{file.name}: {file.damage}") for file in one.files if file.damage]
    return losses


def _take_text(within: Within, found: Tnef, file: File | None) -> None:
    if within.text is None and found.text.text.strip():
        within.text = found.text
    if found.html and not within.html:
        within.html, within.charset, within.codepage = found.html, found.charset, found.codepage
    if within.file is None and (found.rtf or not found.files):
        octets = decompress(found.rtf)
        within.file = file if octets is None else File("message.rtf", "application/rtf", octets)


def _take_out(found: Tnef, depth: int) -> Iterator[File]:
    """The files of a stream; those of one within it too."""
    for file in found.files:
        if file.message is not None:
            name = make_eml_name(file, file.message)
            yield File(name, "message/rfc822", make_eml(file.message), damage=file.damage)
            continue
        inner = read_tnef(file.octets) if depth < _DEEPEST else None
        if inner is None or not _holds_anything(inner) or any(map(_is_lost, inner.walk())):
            faults = [detail for loss, detail in _name_losses(inner) if loss == "damaged"] if inner else []
            damage = "; ".join(filter(None, (file.damage, *faults)))
            yield File(file.name, file.media_type, file.octets, content_id=file.content_id, damage=damage)
            continue
        yield from _take_out_all(file, inner, depth)


def _take_out_all(file: TnefFile, inner: Tnef, depth: int) -> Iterator[File]:
    """What a winmail.dat holds that was a file of another."""
    files = list(_take_out(inner, depth + 1))
    damage = file.damage or inner.damage
    if inner.html or inner.text.text:
        extension = ".html" if inner.html else ".txt"
        octets = inner.html or inner.text.text.encode()
        files.insert(0, File((file.name or "message") + extension, "", octets))
    elif inner.rtf:
        rtf = decompress(inner.rtf)
        name = (file.name or "message") + (".dat" if rtf is None else ".rtf")
        files.insert(0, File(name, "", file.octets if rtf is None else rtf))
    if files and damage:
        files[0] = replace(files[0], damage=files[0].damage or damage)
    yield from files
