"""File names and subjects that are safe in JSON, in a log, on a page and on a disk."""

import re
import unicodedata
from pathlib import PurePosixPath

LONGEST_FILENAME = 250  # characters, Works API §1; counted in UTF-16 units to be on the safe side
LONGEST_SUBJECT = 180  # UTF-16 code units, Works API §1
_LINE_BREAKS = re.compile(r"[\r\n\t\v\f\x85\u2028\u2029]+")
# Marks that turn the direction of text: "exe.fdp" would be read backwards.
_MARKS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]")
_EXTENSIONS = {
    "application/acrobat": ".pdf",
    "application/dicom": ".dcm",
    "application/epub+zip": ".epub",
    "application/gzip": ".gz",
    "application/haansofthwp": ".hwp",
    "application/javascript": ".js",
    "application/json": ".json",
    "application/msword": ".doc",
    "application/oxps": ".oxps",
    "application/pdf": ".pdf",
    "application/pgp-encrypted": ".asc",
    "application/pgp-keys": ".asc",
    "application/pgp-signature": ".asc",
    "application/pkcs7-mime": ".p7m",
    "application/pkcs7-signature": ".p7s",
    "application/postscript": ".ps",
    "application/rtf": ".rtf",
    "application/vnd.fujixerox.docuworks": ".xdw",
    "application/vnd.fujixerox.docuworks.binder": ".xbd",
    "application/vnd.hancom.hwp": ".hwp",
    "application/vnd.hancom.hwpx": ".hwpx",
    "application/vnd.ms-excel": ".xls",
    "application/vnd.ms-excel.sheet.macroenabled.12": ".xlsm",
    "application/vnd.ms-outlook": ".msg",
    "application/vnd.ms-powerpoint": ".ppt",
    "application/vnd.ms-tnef": ".dat",
    "application/vnd.ms-word.document.macroenabled.12": ".docm",
    "application/vnd.ms-xpsdocument": ".xps",
    "application/vnd.oasis.opendocument.presentation": ".odp",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods",
    "application/vnd.oasis.opendocument.text": ".odt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.rar": ".rar",
    "application/x-7z-compressed": ".7z",
    "application/x-bzip2": ".bz2",
    "application/x-gzip": ".gz",
    "application/x-hwp": ".hwp",
    "application/x-lzh": ".lzh",
    "application/x-pdf": ".pdf",
    "application/x-pkcs7-mime": ".p7m",
    "application/x-pkcs7-signature": ".p7s",
    "application/x-rar-compressed": ".rar",
    "application/x-tar": ".tar",
    "application/x-zip": ".zip",
    "application/x-zip-compressed": ".zip",
    "application/xhtml+xml": ".xhtml",
    "application/xml": ".xml",
    "application/zip": ".zip",
    "audio/amr": ".amr",
    "audio/basic": ".au",
    "audio/mp3": ".mp3",
    "audio/mp4": ".m4a",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "audio/wav": ".wav",
    "audio/wave": ".wav",
    "audio/x-wav": ".wav",
    "image/avif": ".avif",
    "image/bmp": ".bmp",
    "image/gif": ".gif",
    "image/heic": ".heic",
    "image/heif": ".heif",
    "image/jp2": ".jp2",
    "image/jpeg": ".jpg",
    "image/jpg": ".jpg",
    "image/pjpeg": ".jpg",
    "image/png": ".png",
    "image/svg+xml": ".svg",
    "image/tif": ".tif",
    "image/tiff": ".tif",
    "image/vnd.dwg": ".dwg",
    "image/vnd.microsoft.icon": ".ico",
    "image/webp": ".webp",
    "image/x-bmp": ".bmp",
    "image/x-icon": ".ico",
    "image/x-ms-bmp": ".bmp",
    "image/x-png": ".png",
    "image/x-tiff": ".tif",
    "image/x-xbitmap": ".xbm",
    "message/delivery-status": ".txt",
    "message/disposition-notification": ".txt",
    "message/external-body": ".txt",
    "message/global": ".eml",
    "message/news": ".eml",
    "message/partial": ".eml",
    "message/rfc822": ".eml",
    "text/calendar": ".ics",
    "text/css": ".css",
    "text/csv": ".csv",
    "text/directory": ".vcf",
    "text/html": ".html",
    "text/markdown": ".md",
    "text/plain": ".txt",
    "text/rfc822-headers": ".txt",
    "text/richtext": ".rtx",
    "text/rtf": ".rtf",
    "text/tab-separated-values": ".tsv",
    "text/vcard": ".vcf",
    "text/x-vcalendar": ".vcs",
    "text/x-vcard": ".vcf",
    "text/xml": ".xml",
    "video/3gpp": ".3gp",
    "video/mp4": ".mp4",
    "video/quicktime": ".mov",
    "video/webm": ".webm",
    "video/x-ms-wmv": ".wmv",
    "video/x-msvideo": ".avi",
}


def extension_of(media_type: str) -> str:
    """The usual extension of a media type, with its dot; `.bin` where there is none and it is no text."""
    media_type = media_type.partition(";")[0].strip()
    # What RFC 2046 calls text is for people to read; what it calls message (but those named) are fields.
    is_text = media_type.startswith(("text/", "message/"))
    return _EXTENSIONS.get(media_type, ".txt" if is_text else ".bin")


def count_units(text: str) -> int:
    """The length in UTF-16 code units, as the API's limits are counted."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut_units(text: str, most: int) -> str:
    """The beginning of the text, at most so many UTF-16 code units; no character, with its marks, is
    split.
    """
    if count_units(text) <= most:
        return text
    kept: list[str] = []
    length = 0
    for character in text:
        length += 1 + (character > "\uffff")
        if length > most:
            break
        kept.append(character)
    following = text[len(kept)]
    while kept and (unicodedata.combining(following) or following in "\u200d\ufe0f" or kept[-1] == "\u200d"):
        following = kept.pop()
    return "".join(kept)


def make_one_line(text: str) -> str:
    """Text in one line, without controls: an encoded-word may have decoded to CR LF."""
    return _UNPRINTABLE.sub("", _MARKS.sub("", _LINE_BREAKS.sub(" ", text))).strip()


def make_filename(name: str, media_type: str, fallback: str = "attachment") -> str:
    """A safe file name.

    Only what stands behind the last slash or backslash is kept; controls are replaced; a name too long keeps
    its extension; no name at all is made from the type.
    """
    base = _UNPRINTABLE.sub("_", _MARKS.sub("", _LINE_BREAKS.sub(" ", name)))
    base = re.split(r"[/\\]", base.rstrip("/\\ "))[-1].strip()
    if not base.strip("._ "):
        return fallback + extension_of(media_type)
    return _shorten(base, LONGEST_FILENAME)


def complete_filename(name: str, media_type: str) -> str:
    """A name that was cut off somewhere, with the extension of its type."""
    name = name.rstrip("\ufffd ")
    extension = _EXTENSIONS.get(media_type.partition(";")[0].strip(), "")
    if not extension or name.lower().endswith(extension):
        return name
    stem, dot, end = name.rpartition(".")
    is_begun = bool(dot) and extension.startswith(dot + end.lower())
    return (stem if is_begun else name) + extension


def _shorten(name: str, most: int) -> str:
    if count_units(name) <= most:
        return name
    suffix = PurePosixPath(name).suffix
    suffix = suffix if count_units(suffix) <= 20 else ""
    return cut_units(name.removesuffix(suffix), most - count_units(suffix)).rstrip() + suffix


def keep_apart(names: list[str]) -> list[str]:
    """The names, with a number put into those that stand there already (without regard to case)."""
    taken = {name.casefold() for name in names}
    seen: set[str] = set()
    counts: dict[str, int] = {}
    kept = []
    for name in names:
        one = name
        while one.casefold() in seen:
            counts[name] = counts.get(name, 1) + 1
            suffix = PurePosixPath(name).suffix
            mark = f" ({counts[name]})"
            stem = cut_units(name.removesuffix(suffix), LONGEST_FILENAME - count_units(suffix) - len(mark))
            one = f"{stem}{mark}{suffix}"
            if one.casefold() in taken:
                seen.add(one.casefold())
        seen.add(one.casefold())
        kept.append(one)
    return kept
