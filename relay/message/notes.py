"""Lines put into the body for what cannot be carried otherwise, in the message's language."""

import re
from collections.abc import Sequence

from relay.mail import Address, Mail
from relay.message import html

_KANA = re.compile("[\u3040-\u30ff\uff66-\uff9f]")
_HANGUL = re.compile("[\uac00-\ud7a3\u1100-\u11ff]")
_HAN = re.compile("[\u4e00-\u9fff]")
_LOOK = 20_000  # characters that are enough to know the language by
_REPLY_TO = {"ja": "返信先", "ko": "회신 주소", "en": "Reply-To"}
_NOTE = {
    "ja": "このメールは変換できなかったため、元のまま添付します。",
    "ko": "이 메일은 변환할 수 없어 원본을 첨부합니다.",
    "en": "This message could not be converted; the original is attached.",
}


def find_language(mail: Mail) -> str:
    """ja, ko or en: by the letters of subject and body."""
    text = mail.subject + mail.body[:_LOOK]
    kana, hangul = len(_KANA.findall(text)), len(_HANGUL.findall(text))
    if kana or hangul:
        return "ja" if kana >= hangul else "ko"
    return "ja" if _HAN.search(text) and _HAN.search(mail.subject) else "en"


def say_reply_to(addresses: Sequence[Address], language: str) -> str:
    """The line that stands for a Reply-To."""
    return f"{_REPLY_TO[language]}: {', '.join(map(format_address, addresses))}"


def say_unreadable(language: str) -> str:
    """The note to which the original is attached."""
    return _NOTE[language]


def format_address(address: Address) -> str:
    """A mailbox for people to read."""
    return f"{address.display_name} <{address.addr_spec}>" if address.display_name else address.addr_spec


def put_first(body: str, content_type: str, lines: Sequence[str]) -> tuple[str, list[str]]:
    """The body with the lines before it, and what exactly was added for each."""
    if not lines:
        return body, []
    if content_type == "html":
        added = [html.note(line) for line in lines]
        return html.insert_first(body, "".join(added)), added
    added = [line + "\n" for line in lines]
    added[-1] += "\n"
    return "".join(added) + body, added
