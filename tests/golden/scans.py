"""Scans whose MIME is wrong, and raw names that only the rest of the message explains."""

import unicodedata
from urllib.parse import quote

from tests.golden.made import PDF, TIFF, b64, fields, jis, mail, multi, part, word

HELLO = part("text/plain; charset=us-ascii", "hi")
HALFWIDTH = "ｶﾀｶﾅ ﾃｽﾄ"
LONG = "複合機からのスキャン送信のお知らせ（至急ご確認ください）"


def pdf(*lines: str | bytes, data: bytes = b"") -> bytes:
    """A part with a scan, its fields written by hand."""
    return fields(*lines, "Content-Transfer-Encoding: base64") + b"\n" + (data or b64(PDF))


def scan(*lines: str | bytes, text: bytes = HELLO, boundary: str = "b1", data: bytes = b"") -> bytes:
    """A message with one scan; `boundary` is what is declared, b1 what is used."""
    body = multi("mixed", text, pdf(*lines, data=data), boundary="b1")
    return mail("Subject: scan", body=body.replace(b'boundary="b1"', f'boundary="{boundary}"'.encode()))


def named(name: bytes, charset: str = "", kind: str = "application/pdf", text: bytes = b"") -> bytes:
    """A scan whose name is raw octets, beside a text that declares a charset."""
    text = text or part(f"text/plain; charset={charset}" if charset else "text/plain", "hi")
    disposition = b'Content-Disposition: attachment; filename="' + name + b'"'
    return scan(f"Content-Type: {kind}", disposition, text=text)


def short(line: bytes) -> bytes:
    return mail(b"Subject: " + line, body=part("text/plain", "x\n"))


HTML = part("text/html", '<html><head><meta charset="windows-1256"></head><body>x</body></html>')
KOREAN = quote("견적서첨부합니다.pdf".encode("cp949"))
UTF_8 = b64("한국어 제목입니다".encode())

CASES = {
    # Too few octets to guess by: something else in the message says what they are.
    "hint-text-part": named(f"{HALFWIDTH}.pdf".encode("cp932"), "shift_jis"),
    "hint-text-part-iso-2022-jp": named(f"{HALFWIDTH}.pdf".encode("cp932"), "iso-2022-jp"),
    "hint-euc-jp-under-shift-jis": named("文書スキャン.pdf".encode("euc_jp"), "shift_jis"),
    "hint-chinese": named("㈠朱镕基.pdf".encode("gb18030"), "gb2312"),
    "hint-cp866": named("Счёт.pdf".encode("cp866"), "ibm866"),
    "hint-macintosh": named("Größe für Müller.pdf".encode("mac-roman"), "macintosh"),
    "hint-html-meta": named("عرض سعر.pdf".encode("cp1256"), text=HTML),
    "hint-same-part": named(
        "عرض سعر.pdf".encode("cp1256"), "iso-8859-1", "application/pdf; charset=windows-1256"
    ),
    "hint-encoded-word": mail(
        b"From: " + word("テスト", "Shift_JIS", "cp932") + b" <a@example.com>",
        b"Subject: " + HALFWIDTH.encode("cp932"),
        body=part("text/plain", "x\n"),
    ),
    "hint-display-name": mail(
        b"From: " + "عرض".encode("cp1256") + b" <a@example.com>",
        "Subject: x",
        body=part("text/plain; charset=windows-1256", "x\n"),
    ),
    "hint-latin-1-is-none": named("見積書の件.pdf".encode("cp932"), "iso-8859-1"),
    "hint-utf-8-is-none": named("見積書の件.pdf".encode("cp932"), "utf-8"),
    # Boundaries.
    "boundary-declared-with-hyphens": scan('Content-Type: application/pdf; name="a.pdf"', boundary="--b1"),
    "boundary-other-case": scan('Content-Type: application/pdf; name="a.pdf"', boundary="B1"),
    # Parameters.
    "parameter-fold-without-blank": scan(
        "Content-Type: application/pdf",
        "Content-Disposition: attachment;",
        'filename="a.pdf"',
    ),
    "parameter-after-comma": scan(
        "Content-Type: application/pdf", 'Content-Disposition: attachment, filename="a.pdf"'
    ),
    "parameter-after-blank": scan('Content-Type: application/octet-stream name="x.pdf"'),
    "name-only-in-description": scan("Content-Type: application/pdf", "Content-Description: report.pdf"),
    "name-only-in-location": scan("Content-Type: application/pdf", "Content-Location: report.pdf"),
    "name-only-in-content-id": scan("Content-Type: application/pdf", "Content-ID: <report.pdf>"),
    "name-empty-beside-name": scan(
        'Content-Type: application/pdf; name="n.pdf"', 'Content-Disposition: attachment; filename=""'
    ),
    "name-rfc2231-euc-kr-cut-in-character": scan(
        "Content-Type: application/pdf",
        f"Content-Disposition: attachment; filename*0*=ks_c_5601-1987''{KOREAN[:31]};",
        f" filename*1*={KOREAN[31:]}",
    ),
    "name-rfc2231-shift-jis-language": scan(
        "Content-Type: application/pdf",
        "Content-Disposition: attachment; filename*=Shift_JIS'ja'" + quote("㈱資料ソ.pdf".encode("cp932")),
    ),
    "name-rfc2231-without-charset": scan(
        "Content-Type: application/pdf", 'Content-Disposition: attachment; filename*="%E8%B3%87.pdf"'
    ),
    "name-rfc2231-from-one": scan(
        "Content-Type: application/pdf", 'Content-Disposition: attachment; filename*1="a"; filename*2="b.pdf"'
    ),
    "name-emoji": scan(
        "Content-Type: application/pdf", 'Content-Disposition: attachment; filename="카카오톡_📷😀.pdf"'
    ),
    "name-decomposed-rfc2231": scan(
        "Content-Type: application/pdf",
        "Content-Disposition: attachment; filename*=utf-8''"
        + quote(unicodedata.normalize("NFD", "ガイド.pdf")),
    ),
    "name-backslash-within-shift-jis": named("表示ソ.pdf".encode("cp932"), "shift_jis"),
    # Base64.
    "base64-trailing-blanks": scan(
        'Content-Type: application/pdf; name="a.pdf"', data=b64(PDF, 60).replace(b"\n", b"   \n")
    ),
    "base64-empty-lines": scan(
        'Content-Type: application/pdf; name="a.pdf"', data=b64(PDF, 60).replace(b"\n", b"\n\n")
    ),
    # Subjects.
    "subject-cut-in-escape": short(
        b"=?ISO-2022-JP?B?"
        + b64(jis(LONG)[:2], 999)
        + b"?=\n =?ISO-2022-JP?B?"
        + b64(jis(LONG)[2:], 999)
        + b"?="
    ),
    "subject-cut-in-pair": short(
        b"=?ISO-2022-JP?B?"
        + b64(jis(LONG)[:14], 999)
        + b"?=\n =?ISO-2022-JP?B?"
        + b64(jis(LONG)[14:], 999)
        + b"?="
    ),
    "subject-line-break-in-word": short(b"=?utf-8?B?" + UTF_8[:20] + b"\n " + UTF_8[20:] + b"?="),
    "subject-cp949-syllables": short(word("똠방각하", "ks_c_5601-1987", "cp949")),
    "subject-ms932": short(word("㈱髙島屋", "ms932", "cp932")),
    # Texts.
    "charset-utf-7-by-its-old-name": mail(
        "Subject: x", body=part('text/plain; charset="unicode-1-1-utf-7"', "+ZeVnLIqe- ok\n")
    ),
    "text-controls-stay": mail("Subject: x", body=part("text/plain", "a\x03b\x1a\n")),
    "text-empty-beside-scan": scan(
        'Content-Type: application/pdf; name="a.pdf"', text=part("text/plain", "")
    ),
    "pages-as-parts": mail(
        "Subject: x",
        body=multi(
            "mixed",
            *(
                part(f'image/tiff; name="page{at}.tif"', TIFF + bytes([at]), encoding="base64")
                for at in (1, 2)
            ),
        ),
    ),
    "mbox-line-then-blanks": b"From a@b Mon Jan  1 00:00:00 2024\n   \n" + short(b"x"),
}
