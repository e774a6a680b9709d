"""Mail as programs compose it: mail readers, libraries, Unix tools, mobile carriers. Shapes, not copies."""

from tests.golden.made import CSV, GIF, PDF, PNG, b64, fields, file, jis, mail, multi, part, uu, word

HTML = "<html><head><title>t</title></head><body><p>Hello <b>world</b></p></body></html>\n"


def inline(cid: str, octets: bytes = PNG, kind: str = "image/png", disposition: str = "inline") -> bytes:
    more = [f"Content-ID: {cid}"] + (
        [f'Content-Disposition: {disposition}; filename="logo.png"'] if disposition else []
    )
    return part(kind, octets, *more, encoding="base64")


def img(reference: str) -> bytes:
    return part("text/html; charset=utf-8", f'<p>Hi<img src="{reference}" alt=""></p>\n')


CASES = {
    "outlook-related": mail(
        "Subject: logo",
        "Thread-Topic: logo",
        "X-MS-Has-Attach: yes",
        body=multi(
            "related",
            multi(
                "alternative",
                part("text/plain; charset=us-ascii", "Hi [cid:image001.png@01DAB5.1]\n"),
                part(
                    "text/html; charset=us-ascii",
                    '<html xmlns:v="urn:schemas-microsoft-com:vml"><body><img src="cid:image001.png@01DAB5.1">'
                    "</body></html>\n",
                    encoding="quoted-printable",
                ),
                boundary="_002",
            ),
            part(
                'image/png; name="image001.png"',
                PNG,
                "Content-Description: image001.png",
                'Content-Disposition: inline; filename="image001.png"; size=69;',
                ' creation-date="Mon, 03 Jun 2024 00:15:00 GMT"',
                "Content-ID: <image001.png@01DAB5.1>",
                encoding="base64",
            ),
            boundary="_001",
            more='; type="multipart/alternative"',
        ),
    ),
    "outlook-html-charset-iso-2022-jp": mail(
        b"Subject: =?ISO-2022-JP?B?" + b64(jis("髙﨑様①")) + b"?=",
        body=multi(
            "alternative",
            part("text/plain; charset=iso-2022-jp", jis("髙﨑様①㈱\n")),
            part("text/html; charset=iso-2022-jp", b"<html><body>" + jis("髙﨑様①㈱") + b"</body></html>\n"),
        ),
    ),
    "outlook-meeting": mail(
        "Subject: Meeting",
        body=multi(
            "alternative",
            part("text/plain", "Meeting at 10\n"),
            part("text/html", HTML),
            part(
                'text/calendar; charset="utf-8"; method=REQUEST',
                "BEGIN:VCALENDAR\nMETHOD:REQUEST\nBEGIN:VEVENT\nSUMMARY:x\nEND:VEVENT\nEND:VCALENDAR\n",
            ),
        ),
    ),
    "calendar-only": mail(
        "Subject: Meeting", body=part("text/calendar; method=CANCEL", "BEGIN:VCALENDAR\nEND:VCALENDAR\n")
    ),
    "outlook-mso-rtf": mail(
        "Subject: rtf",
        body=multi("mixed", part("text/plain", "x\n"), file("application/rtf", "a.rtf", rb"{\rtf1 x}")),
    ),
    "apple-mail-sandwich": mail(
        "Subject: two",
        body=multi(
            "alternative",
            part("text/plain", "one\ntwo\n"),
            multi(
                "mixed",
                part("text/html", "<html><body>one</body></html>\n"),
                part(
                    "application/pdf; x-unix-mode=0644; name=a.pdf",
                    PDF,
                    "Content-Disposition: inline;\n\tfilename=a.pdf",
                    encoding="base64",
                ),
                part("text/html", "<html><body>two</body></html>\n"),
                boundary="Apple-Mail=_2",
            ),
            boundary="Apple-Mail=_1",
        ),
    ),
    "apple-mail-text-sandwich": mail(
        "Subject: two",
        body=multi(
            "mixed",
            part("text/plain", "before\n"),
            file("image/png", "a.png", PNG, "inline"),
            part("text/plain", "after\n"),
            boundary="Apple-Mail-1",
        ),
    ),
    "apple-mail-appledouble": mail(
        "Subject: mac",
        body=multi(
            "mixed",
            part("text/plain", "x\n"),
            multi(
                "appledouble",
                part(
                    'application/applefile; name="a.pdf"',
                    b"\0\5\x16\7\0\2\0\0",
                    'Content-Disposition: attachment; filename="a.pdf"',
                    encoding="base64",
                ),
                file("application/pdf", "a.pdf", PDF),
                boundary="ad",
            ),
        ),
    ),
    "apple-mail-nfd-name": mail(
        "Subject: nfd",
        body=multi(
            "mixed",
            part("text/plain", "x\n"),
            fields(
                "Content-Type: application/pdf;",
                "\tname*=utf-8''%E3%81%8B%E3%82%99.pdf",
                "Content-Transfer-Encoding: base64",
            )
            + b"\n"
            + b64(PDF),
        ),
    ),
    "gmail-alternative": mail(
        "Subject: Hi",
        "X-Received: by 2002:a05:6000",
        body=multi(
            "alternative",
            part('text/plain; charset="UTF-8"', "Hello *world*\n"),
            part('text/html; charset="UTF-8"', '<div dir="ltr">Hello <b>world</b></div>\n'),
            boundary="000000000000abcdef",
        ),
    ),
    "gmail-inline": mail(
        "Subject: Hi",
        body=multi(
            "related",
            multi(
                "alternative",
                part("text/plain", "[image: x]\n"),
                part(
                    "text/html",
                    '<div dir="ltr"><img src="cid:ii_lx0abc" alt="x" width="1" height="1"></div>\n',
                ),
                boundary="b2",
            ),
            part(
                'image/png; name="x.png"',
                PNG,
                'Content-Disposition: inline; filename="x.png"',
                "X-Attachment-Id: ii_lx0abc",
                "Content-ID: <ii_lx0abc>",
                encoding="base64",
            ),
            boundary="b1",
        ),
    ),
    "gmail-amp": mail(
        "Subject: amp",
        body=multi(
            "alternative",
            part("text/plain", "text\n"),
            part("text/x-amp-html", "<!doctype html><html amp4email></html>\n"),
            part("text/html", HTML),
        ),
    ),
    "thunderbird-flowed": mail(
        "Subject: flowed",
        "User-Agent: Mozilla Thunderbird",
        body=part(
            "text/plain; charset=UTF-8; format=flowed",
            "This is one \nparagraph.\n\n> quoted \n> text\n>> deeper\n From stuffed\n-- \nsignature\n",
        ),
    ),
    "thunderbird-delsp": mail(
        "Subject: delsp",
        body=part(
            "text/plain; charset=UTF-8; format=flowed; delsp=yes",
            "これはとても長い \n段落です。\n",
            encoding="8bit",
        ),
    ),
    "thunderbird-forward": mail(
        "Subject: Fwd",
        body=multi(
            "mixed",
            part("text/plain", "see\n"),
            part(
                'message/rfc822; name="Original.eml"',
                "From: x@example.com\nSubject: inner\n\ninner\n",
                'Content-Disposition: attachment; filename="Original.eml"',
            ),
        ),
    ),
    "forward-base64-rfc822": mail(
        "Subject: Fwd",
        body=multi(
            "mixed",
            part("text/plain", "see\n"),
            part("message/rfc822", "From: x@example.com\nSubject: inner\n\ninner\n", encoding="base64"),
        ),
    ),
    "forward-two-unnamed": mail(
        "Subject: Fwd", body=multi("digest", b"\nSubject: one\n\n1\n", b"\nSubject: two\n\n2\n")
    ),
    "django-plain": mail(
        "Subject: =?utf-8?b?44OR44K544Ov44O844OJ5YaN6Kit5a6a?=",
        body=part(
            'text/plain; charset="utf-8"',
            "パスワードを再設定します。\nhttps://example.com/reset/abc=def\n",
            encoding="8bit",
        ),
    ),
    "django-alternative-file": mail(
        "Subject: report",
        body=multi(
            "mixed",
            multi(
                "alternative",
                part('text/plain; charset="utf-8"', "text\n"),
                part('text/html; charset="utf-8"', HTML),
                boundary="=2",
            ),
            part(
                "text/csv",
                CSV.encode(),
                'Content-Disposition: attachment; filename="r.csv"',
                encoding="base64",
            ),
            boundary="=1",
        ),
    ),
    "phpmailer": mail(
        "Subject: =?UTF-8?Q?Caf=C3=A9?=",
        "X-Mailer: PHPMailer 6.9.1 (https://github.com/PHPMailer/PHPMailer)",
        body=multi(
            "mixed",
            multi(
                "alternative",
                part("text/plain; charset=UTF-8", "Café\n", encoding="8bit"),
                multi(
                    "related",
                    part("text/html; charset=UTF-8", '<p>Café <img src="cid:logo"></p>\n', encoding="8bit"),
                    inline("<logo>"),
                    boundary="b3",
                ),
                boundary="b2",
            ),
            file("application/pdf", "=?UTF-8?Q?r=C3=A9sum=C3=A9.pdf?=", PDF),
            boundary="b1",
        ),
    ),
    "wordpress-plain": mail(
        "From: WordPress <wordpress@example.com>",
        "Subject: [Site] New user",
        body=part("text/plain; charset=UTF-8", "New user\n"),
    ),
    "nodemailer": mail(
        "Subject: =?UTF-8?B?44OG44K544OI?=",
        body=multi(
            "mixed",
            multi(
                "alternative",
                part("text/plain; charset=utf-8", "テスト\n", encoding="base64"),
                part("text/html; charset=utf-8", "<b>テスト</b>\n", encoding="base64"),
                boundary="--_NmP-2",
            ),
            part(
                'application/pdf; name="=?UTF-8?B?44OG44K544OILnBkZg==?="',
                PDF,
                "Content-Disposition: attachment;\n filename*0*=utf-8''%E3%83%86%E3%82%B9;\n filename*1*=%E3%83%88.pdf",
                encoding="base64",
            ),
            boundary="--_NmP-1",
        ),
    ),
    "javamail": mail(
        "Subject: =?ISO-2022-JP?B?GyRCJEYkOSRIGyhC?=",
        "X-Mailer: JavaMail",
        body=multi(
            "mixed",
            part("text/plain; charset=iso-2022-jp", jis("テスト\n")),
            fields(
                'Content-Type: application/pdf; name="=?ISO-2022-JP?B?GyRCJEYkOSRIGyhCLnBkZg==?="',
                "Content-Transfer-Encoding: base64",
                'Content-Disposition: attachment; filename="=?ISO-2022-JP?B?GyRCJEYkOSRIGyhCLnBkZg==?="',
            )
            + b"\n"
            + b64(PDF),
            boundary="----=_Part_0_1.2",
        ),
    ),
    "dotnet-smtpclient": mail(
        "Subject: =?utf-8?B?5rOo5paH56K66KqN?=",
        body=multi(
            "mixed",
            part("text/plain; charset=utf-8", "注文確認\n", encoding="quoted-printable"),
            part(
                'application/octet-stream; name="=?utf-8?B?5rOo5paHLnBkZg==?="',
                PDF,
                "Content-Disposition: attachment",
                encoding="base64",
            ),
            boundary="--boundary_0_1",
        ),
    ),
    "dotnet-split-name": mail(
        "Subject: x",
        body=multi(
            "mixed",
            part("text/plain", "x\n"),
            fields(
                "Content-Type: application/pdf;",
                ' name="=?utf-8?B?44GC44GE44GG44GI44GK44GL44GN44GP44GR44GT44GV44GX44GZ44Gb44Gd?=',
                ' =?utf-8?B?44Gf44Gh44GkLnBkZg==?="',
                "Content-Transfer-Encoding: base64",
            )
            + b"\n"
            + b64(PDF),
        ),
    ),
    "vb6-cdo": mail(
        "Subject: cdo",
        "Content-Class: urn:content-classes:message",
        "Importance: normal",
        "Priority: normal",
        body=part('text/plain; charset="shift_jis"', "髙橋様\n".encode("cp932"), encoding="8bit"),
    ),
    "perl-mime-lite": mail(
        "Subject: lite",
        body=multi(
            "mixed",
            part('text/html; name="body.html"', HTML, 'Content-Disposition: inline; filename="body.html"'),
            part(
                'image/gif; name="a.gif"',
                GIF,
                'Content-Disposition: inline; filename="a.gif"',
                "Content-ID: <a.gif>",
                encoding="base64",
            ),
            boundary="_----------=_1",
        ),
    ),
    "ruby-mail-pdf-cid": mail(
        "Subject: ruby",
        body=multi(
            "mixed",
            part("text/plain", "x\n", "Content-ID: <body@x>"),
            part(
                "application/pdf; filename=a.pdf",
                PDF,
                "Content-ID: <665d@host.mail>",
                "Content-Disposition: attachment; filename=a.pdf",
                encoding="base64",
            ),
            boundary="--==_mimepart_1",
        ),
    ),
    "cron": fields(
        "From: root (Cron Daemon)",
        "To: root@example.com",
        "Subject: Cron <root@host> /usr/local/bin/backup",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=UTF-8",
        "Content-Transfer-Encoding: 8bit",
        "X-Cron-Env: <SHELL=/bin/sh>",
        "X-Cron-Env: <HOME=/root>",
        "Auto-Submitted: auto-generated",
    )
    + b"\nbackup done\n",
    "mailx": fields(
        "From: root@example.com", "To: admin@example.com", "Subject: disk", "User-Agent: Heirloom mailx 12.5"
    )
    + b"\n/dev/sda1 90%\n",
    "s-nail-attachment": mail(
        "Subject: s-nail",
        body=multi(
            "mixed",
            part("text/plain; charset=us-ascii", "x\n", "Content-Disposition: inline", "Content-ID: <1@x>"),
            part(
                "application/pdf",
                PDF,
                'Content-Disposition: attachment; filename="a.pdf"',
                "Content-ID: <2@x>",
                encoding="base64",
            ),
            boundary="=_1",
        ),
    ),
    "mutt": mail(
        "Subject: mutt",
        "User-Agent: Mutt/1.10",
        body=multi(
            "mixed",
            part("text/plain; charset=utf-8", "x\n", "Content-Disposition: inline"),
            part(
                "text/x-diff; charset=us-ascii",
                "--- a\n+++ b\n",
                'Content-Disposition: attachment; filename="fix.patch"',
            ),
        ),
    ),
    "mutt-pgp-signed": mail(
        "Subject: pgp",
        body=multi(
            "signed",
            part("text/plain; charset=utf-8", "signed\n"),
            part(
                'application/pgp-signature; name="signature.asc"',
                "-----BEGIN PGP SIGNATURE-----\nx\n-----END PGP SIGNATURE-----\n",
            ),
            more='; micalg=pgp-sha256; protocol="application/pgp-signature"',
        ),
    ),
    "pgp-encrypted": mail(
        "Subject: pgp",
        body=multi(
            "encrypted",
            part("application/pgp-encrypted", "Version: 1\n"),
            part(
                'application/octet-stream; name="encrypted.asc"',
                "-----BEGIN PGP MESSAGE-----\nx\n-----END PGP MESSAGE-----\n",
            ),
            more='; protocol="application/pgp-encrypted"',
        ),
    ),
    "smime-signed": mail(
        "Subject: smime",
        body=multi(
            "signed",
            part("text/plain", "signed\n"),
            part(
                'application/pkcs7-signature; name="smime.p7s"',
                b"\x30\x80",
                'Content-Disposition: attachment; filename="smime.p7s"',
                encoding="base64",
            ),
        ),
    ),
    "smime-opaque": mail(
        "Subject: smime",
        body=part("application/pkcs7-mime; smime-type=signed-data", b"\x30\x80", encoding="base64"),
    ),
    "smime-enveloped": mail(
        "Subject: smime",
        body=part(
            'application/pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"',
            b"\x30\x80",
            encoding="base64",
        ),
    ),
    "mailman-footer": mail(
        "Subject: [list] x",
        "List-Id: <list.example.com>",
        "List-Unsubscribe: <mailto:x@example.com>",
        "Precedence: list",
        body=multi(
            "mixed",
            part("text/plain", "Hello\n"),
            part("text/plain", "____\nlist mailing list\n", "Content-Disposition: inline"),
        ),
    ),
    "mailman-html-footer": mail(
        "Subject: [list] x",
        body=multi(
            "mixed",
            multi("alternative", part("text/plain", "Hello\n"), part("text/html", HTML), boundary="b2"),
            part("text/plain", "____\nlist <list@example.com>\n"),
        ),
    ),
    "dsn": mail(
        "From: MAILER-DAEMON@example.com",
        "Subject: Undelivered Mail Returned to Sender",
        "Auto-Submitted: auto-replied",
        body=multi(
            "report",
            part(
                "text/plain; charset=us-ascii",
                "This is the mail system.\n",
                "Content-Description: Notification",
            ),
            fields("Content-Description: Delivery report", "Content-Type: message/delivery-status")
            + b"\nReporting-MTA: dns; example.com\n\nAction: failed\nStatus: 5.1.1\n",
            fields("Content-Type: message/rfc822") + b"\nFrom: a@example.com\nSubject: x\n\ny\n",
            more="; report-type=delivery-status",
        ),
    ),
    "read-receipt": mail(
        "Subject: Read",
        "Disposition-Notification-To: boss@example.com",
        "Return-Receipt-To: boss@example.com",
        body=part("text/plain", "x\n"),
    ),
    "docomo": mail(
        "From: taro..yamada.@docomo.example.com",
        "Subject: =?Shift_JIS?B?g2WDWINn?=",
        body=part("text/plain; charset=Shift_JIS", "ドコモ\n".encode("cp932"), encoding="base64"),
    ),
    "docomo-decomail": mail(
        "Subject: deco",
        body=multi(
            "mixed",
            multi(
                "related",
                multi(
                    "alternative",
                    part("text/plain; charset=Shift_JIS", "絵\n".encode("cp932"), encoding="base64"),
                    part(
                        "text/html; charset=Shift_JIS",
                        '<HTML><BODY><IMG SRC="cid:01@1.jp">絵</BODY></HTML>\n'.encode("cp932"),
                        encoding="quoted-printable",
                    ),
                    boundary="b3",
                ),
                part('image/gif; name="e.gif"', GIF, "Content-ID: <01@1.jp>", encoding="base64"),
                boundary="b2",
            ),
            boundary="b1",
        ),
    ),
    "hanmail": mail(
        'From: "=?euc-kr?B?yKux5rW/?=" <hong@hanmail.example.com>',
        b"Subject: " + word("안녕하세요 테스트", "euc-kr"),
        "X-Originating-IP: [192.0.2.1]",
        body=multi(
            "alternative",
            part('text/plain; charset="euc-kr"', "안녕\n".encode("cp949"), encoding="base64"),
            part('text/html; charset="euc-kr"', "<p>안녕</p>\n".encode("cp949"), encoding="base64"),
        ),
    ),
    "naver": mail(
        "Subject: =?utf-8?B?64Sk7J2067KE?=",
        body=multi(
            "mixed",
            multi(
                "alternative",
                part("text/plain; charset=utf-8", "네이버\n", encoding="base64"),
                part("text/html; charset=utf-8", "<p>네이버</p>\n", encoding="base64"),
                boundary="b2",
            ),
            part(
                'application/octet-stream;\n name="=?utf-8?B?67O06rOg7IScLmh3cA==?="',
                b"HWP",
                'Content-Disposition: attachment;\n filename="=?utf-8?B?67O06rOg7IScLmh3cA==?="',
                encoding="base64",
            ),
        ),
    ),
    "naver-reply-to": mail(
        b"Subject: " + word("문의"),
        "Reply-To: =?utf-8?B?64u064u57J6Q?= <desk@naver.example.com>",
        body=part(
            "text/html; charset=utf-8",
            "<!DOCTYPE html><html><head><meta charset=utf-8></head><body class=x><p>본문</p></body></html>\n",
            encoding="8bit",
        ),
    ),
    "cybozu": mail(
        b"Subject: " + jis("お知らせ"), body=part("text/plain; charset=iso-2022-jp", jis("～ー−∥①\n"))
    ),
    "becky": mail(
        b"Subject: =?ISO-2022-JP?B?GyRCNDAbKEI=?=\n =?ISO-2022-JP?B?GyRCTjsbKEI=?=",
        body=part('text/plain; charset="ISO-2022-JP"', jis("完了\n")),
    ),
    "lotus-notes": mail(
        "Subject: notes",
        "X-Mailer: Lotus Notes",
        body=multi(
            "related",
            multi(
                "alternative",
                part("text/plain", "x\n"),
                part("text/html", '<img src=cid:_1_0123456789ABCDEF alt="logo">\n'),
                boundary="=_alternative 1",
            ),
            part("image/gif", GIF, "Content-ID: <_1_0123456789ABCDEF>", encoding="base64"),
            boundary="=_related 1",
        ),
    ),
    "usenet-yenc": mail(
        "Subject: yenc",
        body=part(
            "text/plain; charset=iso-8859-1",
            b"before\n=ybegin line=128 size=5 name=a.bin\n"
            + bytes((octet + 42) % 256 for octet in b"Hi\x01zz")
            + b"\n=yend size=5\nafter\n",
            encoding="8bit",
        ),
    ),
    "begin-base64": mail(
        "Subject: b64",
        body=part("text/plain", b"x\nbegin-base64 644 a.txt\n" + b64(b"hello") + b"\n====\ny\n"),
    ),
    "sun-attachment-unknown-encoding": mail(
        "Subject: x-uue",
        body=part('application/octet-stream; name="a.gif"', uu(b"a.gif", GIF), encoding="x-uuencode"),
    ),
    "enriched": mail(
        "Subject: enriched",
        body=part(
            "text/enriched", "<bold>Bold</bold> and\n<color><param>red</param>red</color>\n\nnew << line\n"
        ),
    ),
    "richtext": mail("Subject: richtext", body=part("text/richtext", "<bold>Bold</bold><nl>line\n")),
    "html-inline-attachment-disposition": mail(
        "Subject: x", body=multi("related", img("cid:logo@x"), inline("<logo@x>", disposition="attachment"))
    ),
    "html-inline-no-disposition": mail(
        "Subject: x", body=multi("related", img("cid:logo@x"), inline("<logo@x>", disposition=""))
    ),
    "html-inline-no-brackets": mail("Subject: x", body=multi("related", img("cid:logo@x"), inline("logo@x"))),
    "html-inline-percent": mail(
        "Subject: x", body=multi("related", img("cid:logo%40x%2B1"), inline("<logo@x+1>"))
    ),
    "html-inline-other-case": mail(
        "Subject: x", body=multi("related", img("CID:Logo@X"), inline("<logo@x>"))
    ),
    "html-inline-in-mixed": mail(
        "Subject: x",
        body=multi("mixed", img("cid:logo@x"), inline("<logo@x>"), file("application/pdf", "a.pdf", PDF)),
    ),
    "html-inline-location": mail(
        "Subject: x",
        body=multi(
            "related",
            part(
                "text/html", '<img src="images/a.png">\n', "Content-Location: http://example.com/p/index.html"
            ),
            part("image/png", PNG, "Content-Location: http://example.com/p/images/a.png", encoding="base64"),
        ),
    ),
    "html-inline-css-url": mail(
        "Subject: x",
        body=multi(
            "related", part("text/html", '<div style="background:url(cid:bg)">x</div>\n'), inline("<bg>")
        ),
    ),
    "html-unreferenced-image": mail(
        "Subject: x", body=multi("related", part("text/html", "<p>no image</p>\n"), inline("<logo@x>"))
    ),
    "html-data-uri": mail(
        "Subject: x",
        body=part("text/html", '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw="><p>x</p>\n'),
    ),
    "html-only-empty-falls-back": mail(
        "Subject: x",
        body=multi(
            "alternative",
            part("text/plain", "the text\n"),
            part(
                "text/html",
                "<html><head><title>t</title><style>p{}</style></head><body> &nbsp;</body></html>\n",
            ),
        ),
    ),
    "html-attachment-stays": mail(
        "Subject: x",
        body=multi(
            "mixed",
            part("text/plain", "see\n"),
            part(
                "text/html; name=report.html", HTML, 'Content-Disposition: attachment; filename="report.html"'
            ),
        ),
    ),
    "html-reply-to-doctype": mail(
        "Subject: x",
        "Reply-To: other@example.net",
        body=part("text/html", "<!DOCTYPE html>\n<html><body bgcolor=white>x</body></html>\n"),
    ),
    "html-meta-charset": mail(
        "Subject: x",
        body=part(
            "text/html",
            b'<html><head><meta http-equiv="Content-Type" content="text/html; charset=euc-jp"></head><body>'
            + "日本語".encode("euc_jp")
            + b"</body></html>\n",
            encoding="8bit",
        ),
    ),
    "uuencode-two-files": mail(
        "Subject: uu",
        body=part("text/plain", b"one\n" + uu(b"a.gif", GIF) + b"two\n" + uu(b"b.txt", b"hello\n")),
    ),
}
