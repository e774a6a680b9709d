"""Structure, charsets, names and addresses: what the tables of known hazards name, and what lies near it."""

from tests.golden.made import GIF, JPEG, PDF, PNG, b64, fields, file, jis, mail, multi, part, qp, word
from tests.golden.programs import HTML

NAMES = {
    "rfc2231-plain": "Content-Disposition: attachment; filename*=utf-8'ja'%E6%96%87%E6%9B%B8.pdf",
    "rfc2231-beside-plain": "Content-Disposition: attachment; filename=\"doc.pdf\"; filename*=utf-8''%E6%96%87%E6%9B%B8.pdf",
    "rfc2231-plain-after": "Content-Disposition: attachment; filename*=utf-8''%E6%96%87%E6%9B%B8.pdf; filename=\"doc.pdf\"",
    "rfc2231-empty": "Content-Disposition: attachment; filename=\"doc.pdf\"; filename*=utf-8''",
    "rfc2231-sections": 'Content-Disposition: attachment;\n filename*0="a long ";\n filename*1="name.pdf"',
    "rfc2231-sections-out-of-order": 'Content-Disposition: attachment;\n filename*1="b.pdf";\n filename*0="a"',
    "rfc2231-iso-2022-jp-split": "Content-Disposition: attachment;\n filename*0*=iso-2022-jp''%1B%24B%46%7C;\n filename*1*=%4B%5C%1B%28B.pdf",
    "rfc2231-mixed-sections": "Content-Disposition: attachment;\n filename*0*=utf-8''%E6%96%87;\n filename*1=\"(1).pdf\"",
    "rfc2231-quoted": "Content-Disposition: attachment; filename*=\"utf-8''%E6%96%87.pdf\"",
    "rfc2231-in-plain": "Content-Disposition: attachment; filename=\"utf-8''%E6%96%87.pdf\"",
    "rfc2231-unknown-charset": "Content-Disposition: attachment; filename*=x-unknown''%E6%96%87.pdf",
    "rfc2047-quoted": 'Content-Disposition: attachment; filename="=?UTF-8?B?5paH5pu4LnBkZg==?="',
    "rfc2047-unquoted": "Content-Disposition: attachment; filename==?UTF-8?Q?=E6=96=87.pdf?=",
    "rfc2047-folded": 'Content-Disposition: attachment; filename="=?UTF-8?B?5paH?=\n =?UTF-8?B?5pu4LnBkZg==?="',
    "rfc2047-in-sections": 'Content-Disposition: attachment;\n filename*0="=?UTF-8?B?5paH5pu4";\n filename*1="LnBkZg==?="',
    "raw-utf-8": 'Content-Disposition: attachment; filename="文書.pdf"',
    "raw-cp932": 'Content-Disposition: attachment; filename="見積書表.pdf"'.encode("cp932"),
    "raw-euc-kr": 'Content-Disposition: attachment; filename="견적서.pdf"'.encode("cp949"),
    "raw-iso-2022-jp": b'Content-Disposition: attachment; filename="' + jis("議事録.pdf") + b'"',
    "path-windows": 'Content-Disposition: attachment; filename="C:\\Users\\kimura\\Desktop\\a.pdf"',
    "path-traversal": 'Content-Disposition: attachment; filename="../../etc/passwd"',
    "controls": b'Content-Disposition: attachment; filename="a\x01b\x00c.pdf"',
    "encoded-crlf": 'Content-Disposition: attachment; filename="=?utf-8?q?a=0D=0AB=3A_c.pdf?="',
    "too-long": 'Content-Disposition: attachment; filename="' + "長" * 300 + '.pdf"',
    "spaces-unquoted": "Content-Disposition: attachment; filename=my scan file.pdf",
    "unclosed-quote": 'Content-Disposition: attachment; filename="a b.pdf',
    "dots-only": 'Content-Disposition: attachment; filename=".."',
    "none": "Content-Disposition: attachment",
    "bidi": 'Content-Disposition: attachment; filename="=?utf-8?q?a=E2=80=AEfdp.exe?="',
    "escaped-quotes": 'Content-Disposition: attachment; filename="a \\"b\\".pdf"',
    "semicolon-in-quotes": 'Content-Disposition: attachment; filename="a;b.pdf"',
}
CHARSETS = {
    "shift-jis-is-cp932": ("shift_jis", "髙﨑①㈱～\n".encode("cp932")),
    "x-sjis": ("x-sjis", "表示\n".encode("cp932")),
    "euc-kr-is-cp949": ("euc-kr", "똠방각하 펲시\n".encode("cp949")),
    "gb2312-is-gb18030": ("gb2312", "镕囍中文\n".encode("gb18030")),
    "latin-1-is-cp1252": ("iso-8859-1", "“quotes” – €\n".encode("cp1252")),
    "cp1252-undefined": ("windows-1252", b"a\x81b\x9dc\n"),
    "iso-2022-jp-nec-ibm": ("iso-2022-jp", jis("①㈱髙﨑\n")),
    "iso-2022-jp-halfwidth": ("iso-2022-jp", b"\x1b(I6@6E\x1b(B\n"),
    "iso-2022-jp-8bit-kana": ("iso-2022-jp", b"\xb6\xc0\xb6\xc5 " + jis("漢字\n")),
    "iso-2022-jp-ms": ("iso-2022-jp-ms", jis("①\n")),
    "cp50220": ("cp50220", jis("㈱\n")),
    "iso-2022-jp-not-closed": ("iso-2022-jp", jis("漢字")[:-3] + b"\n"),
    "iso-2022-kr": ("iso-2022-kr", "한글\n".encode("iso2022_kr")),
    "euc-jp-nec": ("euc-jp", b"\xad\xa1\xad\xea " + "漢字\n".encode("euc_jp")),
    "eucjp-ms": ("eucjp-ms", "漢字\n".encode("euc_jp")),
    "hz": ("hz-gb-2312", "中文\n".encode("hz")),
    "utf-7": ("utf-7", "日本語 +\n".encode("utf-7")),
    "utf-16-bom": ("utf-16", b"\xff\xfe" + "日本\n".encode("utf-16-le")),
    "utf-16le": ("utf-16le", "日本\n".encode("utf-16-le")),
    "utf-8-bom": ("utf-8", b"\xef\xbb\xbfBOM\n"),
    "utf8mb4": ("utf8mb4", "😀\n".encode()),
    "unknown": ("x-nothing", "日本語です\n".encode()),
    "unknown-escaped": ("_iso-2022-jp$ESC", jis("日本語\n")),
    "cp-850": ("cp-850", "é\n".encode("cp850")),
    "idna-never": ("idna", "日本語です\n".encode()),
    "rot13-never": ("rot13", b"plain text\n"),
    "unicode-escape-never": ("unicode_escape", b"\\u0041\n"),
    "declared-utf-8-is-cp932": ("utf-8", "会議の件についてお知らせします。\n".encode("cp932")),
    "declared-utf-8-one-bad": ("utf-8", "会議の件についてお知らせします。".encode() + b"\xff\n"),
    "declared-ascii-is-utf-8": ("us-ascii", "日本語です。\n".encode()),
    "declared-shift-jis-is-utf-8": ("shift_jis", "日本語の件名です。\n".encode()),
    "declared-euc-kr-is-utf-8": ("euc-kr", "안녕하세요 반갑습니다\n".encode()),
    "declared-utf-8-is-iso-2022-jp": ("utf-8", jis("日本語\n")),
    "big5": ("big5", "會議通知\n".encode("big5")),
    "koi8-r": ("koi8-r", "Привет\n".encode("koi8_r")),
    "windows-1251": ("windows-1251", "Привет\n".encode("cp1251")),
    "tis620": ("tis620", "สวัสดี\n".encode("cp874")),
    "gb-18030": ("GB-18030", "会议通知\n".encode("gb18030")),
    "x-mac-japanese": ("x-mac-japanese", "会議\n".encode("cp932")),
    "tis-620": ("tis-620", "สวัสดี\n".encode("cp874")),
    "iso-8859-15": ("iso-8859-15", "€uro\n".encode("iso8859_15")),
    "nul-in-text": ("utf-8", b"a\0b\x07c\n"),
}
SUBJECTS = {
    "q-latin-1": b"=?iso-8859-1?Q?Caf=E9_cr=E8me?=",
    "split-character": b"=?utf-8?B?44GC44E=?= =?utf-8?B?hOOBhg==?=",
    "split-quantum": b"=?utf-8?B?44GC4?=\n =?utf-8?B?4GE?=",
    "adjacent-charsets": word("日本", "UTF-8") + b" " + word("語", "ISO-2022-JP", "iso2022_jp"),
    "nec-row-13": b"=?ISO-2022-JP?B?" + b64(jis("①㈱")) + b"?=",
    "no-space-around": b"a=?utf-8?q?b?=c",
    "space-in-word": b"=?utf-8?Q?two words?=",
    "question-mark-in-q": b"=?utf-8?Q?what?now?=",
    "language": b"=?utf-8*ja?B?5pel?=",
    "raw-utf-8": "件名です".encode(),
    "raw-cp932": "見積書の件".encode("cp932"),
    "raw-euc-kr": "견적서 송부의 건".encode("cp949"),
    "raw-iso-2022-jp": jis("会議の件"),
    "decodes-to-crlf": b"=?utf-8?q?a=0D=0ABcc:_evil@example.com?=",
    "empty": b"",
    "long": b"=?utf-8?B?" + b64(("あ" * 179 + "😀い").encode(), 10_000) + b"?=",
    "unknown-charset": b"=?x-unknown?B?5pel5pys?=",
    "unfinished-word": b"=?utf-8?B?5pel",
    "folded": b"first\n second\n\tthird",
}
ADDRESSES = {
    "semicolons": "a@example.com; b@example.com;c@example.com",
    "group": "Team: a@example.com, B <b@example.com>;, c@example.com",
    "empty-group": "unlisted-recipients:; (no To-header on input)",
    "comments": "a@example.com (A (nested) comment), (b) b@example.com",
    "quoted-name": '"Doe, John; x" <a@example.com>, "b@example.com" <b@example.com>',
    "missing-bracket": "A <a@example.com, B <b@example.com>",
    "no-brackets-with-name": "John Doe a@example.com",
    "blanks-only-between": "a@example.com b@example.com",
    "route": "<@relay1.example.com,@relay2.example.com:a@example.com>",
    "encoded-name": "=?utf-8?B?5bGx55Sw?= <a@example.com>, =?utf-8?Q?Doe,_J?= <b@example.com>",
    "encoded-whole": "=?utf-8?Q?Yamada_<a@example.com>?=",
    "raw-name": "山田 <a@example.com>",
    "other-case": "A@Example.COM, a@example.com",
    "twice": "a@example.com, a@example.com, A <a@example.com>",
    "international-domain": "a@例え.example, b@xn--r8jz45g.example",
    "docomo": "a..b.@docomo.example.com",
    "folded": "a@example.com,\n b@example.com,\n\tc@example.com",
    "angle-twice": "<<a@example.com>>",
    "mailto": "<mailto:a@example.com>",
    "single-quotes": "'a@example.com' <a@example.com>",
    "local-only": "root, a@example.com",
    "quoted-local-part": '"john doe"@example.com, a@example.com',
    "apostrophe": "o'brien@example.com",
    "empty-items": ", ,a@example.com,,",
    "bracket-with-semicolons": "<a@example.com;b@example.com>",
    "wide-separators": "a@example.com；b@example.com，c@example.com、d@example.com　e@example.com",
    "quoted-name-without-brackets": '"Taro" a@example.com, b@example.com "Jiro Suzuki"',
    "quoted-as-a-whole": '"a@example.com; b@example.com"',
    "within-words": "Contact John at a@example.com for details",
    "quote-never-closed": '"John <a@example.com>, b@example.com',
    "fold-alone-between": "a@example.com\n\tb@example.com",
    "invisible-marks": "\ufeffa@example.com\u200b, b@example.com\u00a0",
    "outlook-mailto": "John a@example.com [mailto:a@example.com]",
    "tabs": "\ta@example.com\t,\tb@example.com",
}


def _attached(line: str | bytes) -> bytes:
    body = (
        fields("Content-Type: application/pdf", line, "Content-Transfer-Encoding: base64") + b"\n" + b64(PDF)
    )
    return mail("Subject: name", body=multi("mixed", part("text/plain", "x\n"), body))


def _text(label: str, octets: bytes) -> bytes:
    if b"\0" in octets or label.startswith("utf-16"):
        return mail("Subject: charset", body=part(f"text/plain; charset={label}", octets, encoding="base64"))
    return mail("Subject: charset", body=part(f"text/plain; charset={label}", octets, encoding="8bit"))


CASES = {f"name-{name}": _attached(line) for name, line in NAMES.items()}
CASES |= {f"charset-{name}": _text(*text) for name, text in CHARSETS.items()}
CASES |= {
    f"subject-{name}": mail(b"Subject: " + line, body=part("text/plain", "x\n"))
    for name, line in SUBJECTS.items()
}
CASES |= {
    f"to-{name}": mail("Subject: to", f"To: {line}", body=part("text/plain", "x\n"))
    for name, line in ADDRESSES.items()
}
PLAIN = part("text/plain", "text\n")
CASES |= {
    "base64-padding-within": mail(
        "Subject: x", body=part("application/x; name=a.bin", b"QQ==\nQg==\n").replace(b"7bit", b"base64")
    ),
    "base64-no-padding": mail(
        "Subject: x", body=part("application/x; name=a.bin", b"QUI\n").replace(b"7bit", b"base64")
    ),
    "base64-junk": mail(
        "Subject: x", body=part("application/x; name=a.bin", b"QU*JD\n!!\nREVG\n").replace(b"7bit", b"base64")
    ),
    "base64-footer": mail(
        "Subject: x",
        body=part("application/x; name=a.bin", b"QUI=\n\n-- \nScanned by nobody.\n").replace(
            b"7bit", b"base64"
        ),
    ),
    "base64-one-character-lines": mail(
        "Subject: x", body=part("application/x; name=a.bin", b"Q\nU\nJ\nD\n").replace(b"7bit", b"base64")
    ),
    "base64-empty": mail(
        "Subject: x", body=part("application/x; name=a.bin", b"\n").replace(b"7bit", b"base64")
    ),
    "qp-broken": mail(
        "Subject: x",
        body=part("text/plain; charset=utf-8", b"a=ZZ b= \nc=3D=\nd=e9\n").replace(
            b"7bit", b"quoted-printable"
        ),
    ),
    "encoding-upper-case": mail(
        "Subject: x",
        body=part("text/plain; charset=utf-8", "日本\n", encoding="base64").replace(b"base64", b"BASE64 "),
    ),
    "encoding-unknown": mail(
        "Subject: x", body=part("text/plain", "as it is\n").replace(b"7bit", b"x-nothing")
    ),
    "boundary-prefix-of-another": mail(
        "Subject: x",
        body=multi(
            "mixed",
            multi("alternative", PLAIN, part("text/html", HTML), boundary="ab"),
            file("application/pdf", "a.pdf", PDF),
            boundary="a",
        ),
    ),
    "boundary-never-closed": mail(
        "Subject: x", body=multi("mixed", PLAIN, file("application/pdf", "a.pdf", PDF), closed=False)
    ),
    "boundary-inner-not-closed": mail(
        "Subject: x",
        body=multi(
            "mixed",
            multi("alternative", PLAIN, part("text/html", HTML), boundary="in", closed=False),
            file("application/pdf", "a.pdf", PDF),
            boundary="out",
        ),
    ),
    "boundary-same-twice": mail(
        "Subject: x", body=multi("mixed", multi("mixed", PLAIN, boundary="same"), boundary="same")
    ),
    "boundary-trailing-space": mail(
        "Subject: x", body=multi("mixed", PLAIN).replace(b"--=_b1\n", b"--=_b1 \t\n")
    ),
    "boundary-never-comes": mail(
        "Subject: x", body=fields("Content-Type: multipart/mixed; boundary=nowhere") + b"\nonly text\n"
    ),
    "preamble-and-epilogue": mail(
        "Subject: x",
        body=multi("mixed", PLAIN).replace(b"\n--=_b1\n", b"\nThis is a preamble.\n--=_b1\n", 1)
        + b"epilogue\n",
    ),
    "part-without-fields": mail(
        "Subject: x", body=multi("mixed", b"\nno fields\n", part("text/plain", "fields\n"))
    ),
    "part-without-empty-line": mail(
        "Subject: x", body=multi("mixed", b"text at once\n", b"Content-Type: text/plain\n")
    ),
    "multipart-encoded-as-a-whole": mail(
        "Subject: x",
        body=fields('Content-Type: multipart/mixed; boundary="=_b1"', "Content-Transfer-Encoding: base64")
        + b"\n"
        + b64(b"\n".join(multi("mixed", PLAIN, file("application/pdf", "a.pdf", PDF)).split(b"\n")[2:])),
    ),
    "multipart-empty": mail("Subject: x", body=multi("mixed")),
    "nested-five": mail(
        "Subject: x",
        body=multi(
            "mixed",
            multi(
                "mixed",
                multi(
                    "mixed", multi("mixed", multi("mixed", PLAIN, boundary="5"), boundary="4"), boundary="3"
                ),
                boundary="2",
            ),
            boundary="1",
        ),
    ),
    "related-start": mail(
        "Subject: x",
        body=multi(
            "related",
            part("image/png", PNG, "Content-ID: <i>", encoding="base64"),
            part("text/html", '<img src="cid:i">\n', "Content-ID: <root>"),
            more='; start="<root>"',
        ),
    ),
    "related-in-alternative": mail(
        "Subject: x",
        body=multi(
            "alternative",
            PLAIN,
            multi(
                "related",
                part("text/html", '<img src="cid:i">\n'),
                part("image/png", PNG, "Content-ID: <i>", encoding="base64"),
                boundary="r",
            ),
        ),
    ),
    "alternative-text-last": mail("Subject: x", body=multi("alternative", part("text/html", HTML), PLAIN)),
    "alternative-two-texts": mail(
        "Subject: x", body=multi("alternative", part("text/plain", "one\n"), part("text/plain", "two\n"))
    ),
    "alternative-pdf": mail(
        "Subject: x", body=multi("alternative", PLAIN, file("application/pdf", "a.pdf", PDF))
    ),
    "mixed-text-and-html": mail("Subject: x", body=multi("mixed", PLAIN, part("text/html", HTML))),
    "mixed-three-texts": mail(
        "Subject: x",
        body=multi(
            "mixed", part("text/plain", "one\n"), part("text/plain", "two"), part("text/plain", "three\n")
        ),
    ),
    "external-body": mail(
        "Subject: x",
        body=multi(
            "mixed",
            PLAIN,
            part(
                'message/external-body; access-type=URL; URL="http://example.com/a"',
                "Content-Type: text/plain\n\n",
            ),
        ),
    ),
    "partial": mail(
        "Subject: x", body=part('message/partial; id="a@b"; number=1; total=2', "Subject: inner\n\nhalf\n")
    ),
    "content-type-junk": mail("Subject: x", body=part("text/plain>", "x\n")),
    "content-type-no-semicolon": mail(
        "Subject: x", body=multi("mixed", PLAIN, part('application/pdf name="a.pdf"', PDF, encoding="base64"))
    ),
    "content-type-blanks": mail("Subject: x", body=part("text / html ; charset = utf-8", "<p>x</p>\n")),
    "content-type-comment": mail(
        "Subject: x", body=part("text/html (comment); charset=utf-8", "<p>é</p>\n", encoding="8bit")
    ),
    "content-type-twice": fields(
        "From: a@example.com", "To: b@example.com", "Content-Type: text/html", "Content-Type: text/plain"
    )
    + b"\n<p>x</p>\n",
    "same-names": mail(
        "Subject: x",
        body=multi(
            "mixed",
            PLAIN,
            file("image/gif", "a.gif", GIF),
            file("image/gif", "A.GIF", GIF + b"\0"),
            file("image/gif", "a.gif", GIF),
        ),
    ),
    "several-unnamed": mail(
        "Subject: x",
        body=multi(
            "mixed",
            PLAIN,
            part("image/jpeg", JPEG, encoding="base64"),
            part("image/jpeg", JPEG, encoding="base64"),
        ),
    ),
    "zip-qp": mail(
        "Subject: x",
        body=multi(
            "mixed",
            PLAIN,
            part("application/zip; name=a.zip", qp(b"PK\x03\x04\r\n\x00")).replace(
                b"7bit\n\nPK", b"quoted-printable\n\nPK"
            ),
        ),
    ),
    "mbox-line": b"From sender@example.com Mon Jun  3 09:15:00 2024\n" + mail("Subject: x", body=PLAIN),
    "leading-blank-lines": b"\n \n" + mail("Subject: x", body=PLAIN),
    "fold-without-blank": fields(
        "From: a@example.com",
        "To: b@example.com",
        "Subject: x",
        "X-Long: one",
        "two three",
        "Content-Type: text/html",
    )
    + b"\n<p>x</p>\n",
    "no-empty-line": b"From: a@example.com\nTo: b@example.com\nSubject: x\nThe body follows at once.\nAnd goes on.\n",
    "resent": mail("Subject: x", "Resent-From: r@example.com", "Resent-To: s@example.com", body=PLAIN),
    "threading": mail(
        "Subject: Re: x",
        "In-Reply-To: <1@example.com>",
        "References: <0@example.com> <1@example.com>",
        "Message-ID: <2@example.com>",
        body=PLAIN,
    ),
    "sensitivity": mail("Subject: x", "Sensitivity: Company-Confidential", body=PLAIN),
    "options": mail("Subject: x", "X-Works-Security-Level: Restricted", "X-Works-Tracking: yes", body=PLAIN),
    "reply-to-same-as-from": mail("Subject: x", "Reply-To: Sender <SENDER@example.com>", body=PLAIN),
    "bcc-field": mail("Subject: x", "Bcc: hidden@example.com", body=PLAIN),
    "message-id-brackets": mail("Subject: x", "Message-ID: <>", "Message-ID: <[x]>", body=PLAIN),
    "too-large": mail("Subject: x", body=multi("mixed", PLAIN, file("application/pdf", "a.pdf", PDF * 1000))),
    "too-long-field": mail("Subject: x", "X-Long: " + "a" * 70_000, body=PLAIN),
}
