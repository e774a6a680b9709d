"""Lines put into the body for what cannot be carried otherwise, in the message's language."""

import re
from collections.abc import Collection, Sequence

from relay.mail import Address, Mail
from relay.message.formats import html
from relay.message.names import make_one_line

_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa\uff66-\uff9f]")
_HANGUL = re.compile("[\uac00-\ud7a3\u1100-\u11ff\u3131-\u318e]")
_HAN = re.compile("[\u4e00-\u9fff]")
_LOOK = 20_000  # characters that are enough to know the language by
_JAPANESE = {"iso-2022-jp", "cp932", "euc-jp"}
_KOREAN = {"cp949", "iso2022_kr", "johab"}
_CHINESE = {"gb18030", "big5", "hz", "gb2312"}
_REPLY_TO = {"ja": "返信先", "ko": "회신 주소", "en": "Reply-To"}
_REDIRECTED = {"ja": "本来の宛先", "ko": "원래 받는 사람", "en": "Redirected; its recipients were"}
_ENCLOSED = {
    "ja": "本文は添付ファイル {} の中にあります。",
    "ko": "본문은 첨부 파일 {} 안에 있습니다.",
    "en": "The text of this message is in the attached {}.",
}
_NOTE = {
    "ja": "このメールは変換できなかったため、元のまま添付します。",
    "ko": "이 메일은 변환할 수 없어 원본을 첨부합니다.",
    "en": "This message could not be converted; the original is attached.",
}


def find_language(mail: Mail, codecs: Collection[str]) -> str:
    """ja, ko or en: by the letters of subject and body, then by the charsets that the body came in."""
    text = mail.subject + "\n" + mail.body[:_LOOK]
    kana, hangul = len(_KANA.findall(text)), len(_HANGUL.findall(text))
    if kana or hangul:
        return "ja" if kana >= hangul else "ko"
    if _KOREAN.intersection(codecs):
        return "ko"
    if _JAPANESE.intersection(codecs):
        return "ja"
    # Han characters alone: a short Japanese subject, unless the charset is a Chinese one.
    return "ja" if _HAN.search(text) and not _CHINESE.intersection(codecs) else "en"


def say_reply_to(addresses: Sequence[Address], language: str) -> str:
    """The line that stands for a Reply-To."""
    return f"{_REPLY_TO[language]}: {', '.join(map(format_address, addresses))}"


def say_redirected(recipients: str, language: str) -> str:
    """The line that names those who would have got the message."""
    return f"{_REDIRECTED[language]}: {recipients}"


def say_enclosed(names: Sequence[str], language: str) -> str:
    """The line that stands where an encrypted message has no text."""
    return _ENCLOSED[language].format(", ".join(names))


def say_unreadable(language: str) -> str:
    """The note to which the original is attached."""
    return _NOTE[language]


def format_address(address: Address) -> str:
    """A mailbox for people to read, in one line."""
    name, spec = make_one_line(address.display_name), make_one_line(address.addr_spec)
    return f"{name} <{spec}>" if name and spec and name != spec else name or spec


def put_first(body: str, content_type: str, notes: Sequence[str]) -> tuple[str, list[str]]:
    """The body with the notes before it, and what exactly was added for each."""
    if not notes:
        return body, []
    if content_type == "html":
        added = [html.note(note) for note in notes]
        return html.insert_first(body, "".join(added)), added
    added = [note + "\n" for note in notes]
    added[-1] += "\n"
    return "".join(added) + body, added
