"""Scans, faxes and reports as office devices send them: shapes, not copies."""

from tests.golden.made import (
    CSV,
    GIF,
    JPEG,
    PDF,
    PNG,
    TIFF,
    b64,
    fields,
    file,
    jis,
    mail,
    multi,
    part,
    uu,
    word,
)

CASES = {
    "canon-scan-pdf": mail(
        "From: canon-mfp@example.com",
        b"Subject: " + word("スキャン文書", "ISO-2022-JP", "iso2022_jp"),
        "X-Mailer: Canon MFP",
        "Message-Id: <20240603091500.0001@mfp.example.com>",
        body=multi(
            "mixed",
            part("text/plain; charset=ISO-2022-JP", jis("スキャンしました。\n")),
            file("application/pdf", "0603091500_001.pdf", PDF),
            boundary="Canon_MFP_0001",
        ),
    ),
    "canon-scan-no-subject": mail(
        "From: mfp@example.com",
        body=multi(
            "mixed",
            part("text/plain; charset=us-ascii", ""),
            file("image/tiff", "SCAN0001.TIF", TIFF),
            boundary="_MULTIPART_MIXED_BOUNDARY_",
        ),
    ),
    "canon-ifax": mail(
        "From: FAX=+81312345678@example.com",
        "Subject: Attached TIFF-FX",
        "Content-Features: (color=Binary)",
        body=part(
            "image/tiff; application=faxbw",
            TIFF,
            'Content-Disposition: inline; filename="FAX.TIF"',
            encoding="base64",
        ),
    ),
    "ricoh-scan-pdf": mail(
        'From: "RNP002673A1B2C3" <ricoh@example.com>',
        'Subject: Message from "RNP002673A1B2C3"',
        "X-Mailer: RICOH IM C3000",
        "X-Priority: 3",
        body=multi(
            "mixed",
            part(
                "text/plain; charset=us-ascii",
                'This E-mail was sent from "RNP002673A1B2C3" (IM C3000).\n\n'
                "Scan Date: 06.03.2024 09:15:00 (+0900)\nQueries to: desk@example.com\n",
            ),
            file("application/pdf", "20240603091500123.pdf", PDF),
            boundary="DC_BOUND_PRE_<1717373700.0002673a1b2c3>",
        ),
    ),
    "ricoh-scan-japanese": mail(
        "From: ricoh@example.com",
        b"Subject: " + word("スキャナーから送信", "ISO-2022-JP", "iso2022_jp"),
        body=multi(
            "mixed",
            part("text/plain; charset=iso-2022-jp", jis("このメールは複合機から送信されました。㈱リコー①\n")),
            part(
                "application/pdf",
                PDF,
                b'Content-Disposition: attachment; filename="'
                + word("見積書.pdf", "ISO-2022-JP", "iso2022_jp")
                + b'"',
                encoding="base64",
            ),
        ),
    ),
    "ricoh-scan-long-lines": mail(
        "Subject: scan",
        body=multi(
            "mixed",
            part("text/plain", "scan\n"),
            fields('Content-Type: image/jpeg; name="a.jpg"', "Content-Transfer-Encoding: base64")
            + b"\n"
            + b64(JPEG, 996),
        ),
    ),
    "kyocera-scan": mail(
        "From: kyocera@example.com",
        "Subject: Send data from MFP11223344 06/03/2024 09:15",
        "X-Mailer: KYOCERA MFP",
        body=multi(
            "mixed",
            part(
                "text/plain; charset=UTF-8",
                "Scanned from MFP11223344\nDate:06/03/2024 09:15\n"
                "Pages:1\nResolution:300x300 DPI\n----------------------------------------\n",
                encoding="8bit",
            ),
            part(
                'application/pdf; name="doc01234520240603091500.pdf"',
                PDF,
                'Content-Disposition: attachment; filename="doc01234520240603091500.pdf"',
                encoding="base64",
            ),
            boundary="----=_KMBoundary_001",
        ),
    ),
    "kyocera-report-text-attachment": mail(
        "Subject: MFP counter",
        body=multi(
            "mixed",
            part("text/plain", "Counter report\n"),
            part(
                'text/plain; name="counter.txt"',
                "Total: 12345\nColor: 678\n",
                'Content-Disposition: attachment; filename="counter.txt"',
            ),
        ),
    ),
    "xerox-workcentre": mail(
        "From: Xerox WorkCentre <xerox@example.com>",
        "Subject: Scanned from a Xerox Multifunction Printer",
        body=multi(
            "mixed",
            part(
                "text/plain; charset=ISO-8859-1",
                "Please open the attached document. "
                "It was sent to you using a Xerox multifunction printer.\n\nNumber of Images: 1\nAttachment File Type: PDF\n",
                "Content-Disposition: inline",
                encoding="quoted-printable",
            ),
            file("application/pdf", "Scan.pdf", PDF),
            boundary="--XEROX-BOUNDARY--",
        ),
    ),
    "xerox-no-to": mail(
        "Subject: fax", "To: undisclosed-recipients:;", body=part("image/tiff", TIFF, encoding="base64")
    ),
    "fujifilm-scan-sjis-raw": fields(
        "From: fuji@example.com",
        "To: a@example.com",
        b"Subject: " + "複合機からの送信".encode("cp932"),
        "MIME-Version: 1.0",
        'Content-Type: multipart/mixed; boundary="fx"',
    )
    + b"\n--fx\n"
    + b"Content-Type: text/plain; charset=Shift_JIS\n\n"
    + "株式会社㈱テスト①\n".encode("cp932")
    + b"\n--fx\n"
    + b'Content-Type: application/pdf; name="'
    + "注文書.pdf".encode("cp932")
    + b'"\nContent-Transfer-Encoding: base64\n\n'
    + b64(PDF)
    + b"\n--fx--\n",
    "hp-scan": mail(
        "From: HP Officejet <hp@example.com>",
        "Subject: Scan from HP ePrint user",
        body=multi(
            "mixed",
            multi(
                "alternative",
                part("text/plain; charset=utf-8", "This email and attachment are sent by HP.\n"),
                part(
                    "text/html; charset=utf-8",
                    "<html><body><p>This email and attachment are sent by HP.</p></body></html>\n",
                ),
                boundary="hp2",
            ),
            file("application/pdf", "scan0001.pdf", PDF),
            boundary="hp1",
        ),
    ),
    "brother-scan": mail(
        'From: "Brother DCP-L2550DW" <brother@example.com>',
        "Subject: ScanData",
        "X-Mailer: Brother MFC",
        body=multi(
            "mixed",
            part("text/plain; charset=ISO-8859-1", "** This E-mail is sent from the network device. **\n"),
            part(
                'application/pdf; name="BRWDCP_000123.pdf"',
                PDF,
                "Content-Disposition: attachment;",
                ' filename="BRWDCP_000123.pdf"',
                encoding="base64",
            ),
        ),
    ),
    "brother-bare-address": mail(
        "From: brother", "Subject: scan", body=part("application/pdf", PDF, encoding="base64")
    ),
    "sharp-scan": mail(
        "From: SHARP MX <sharp@example.com>",
        "Subject: Scanned image from MX-2651",
        "Reply-To: nobody@example.com",
        body=multi(
            "mixed",
            part(
                "text/plain; charset=UTF-8",
                "Reply to: SHARP MX <sharp@example.com>\nDevice Name: Not Set\nFile Format: PDF (Medium)\nResolution: 200dpi x 200dpi\n\n"
                "Attached file is scanned image in PDF format.\n",
                encoding="8bit",
            ),
            file("application/pdf", "sharp@example.com_20240603_091500.pdf", PDF),
        ),
    ),
    "sharp-scan-japanese": mail(
        "From: sharp@example.com",
        "Reply-To: desk@example.net",
        b"Subject: " + word("スキャン画像"),
        body=multi(
            "mixed",
            part("text/plain; charset=UTF-8", "添付ファイルはスキャン画像です。\n", encoding="8bit"),
            file("application/pdf", "scan.pdf", PDF),
        ),
    ),
    "konica-scan": mail(
        "From: bizhub <km@example.com>",
        "Subject: Message from KM_C258",
        body=multi(
            "mixed",
            part("text/plain; charset=us-ascii", "\n"),
            file("application/pdf", "SKM_C25824060309150.pdf", PDF),
            boundary="KONICA_MINOLTA_Internet_Fax",
        ),
    ),
    "oki-scan-tiff-multi": mail(
        "Subject: oki",
        body=multi(
            "mixed",
            part("text/plain", "2 files\n"),
            file("image/tiff", "Image.tif", TIFF),
            file("image/tiff", "Image.tif", TIFF[::-1]),
        ),
    ),
    "epson-scan-korean": mail(
        "From: epson@example.com",
        b"Subject: " + word("스캔 문서", "EUC-KR"),
        body=multi(
            "mixed",
            part(
                "text/plain; charset=ks_c_5601-1987",
                "똠방각하 스캔입니다.\n".encode("cp949"),
                encoding="8bit",
            ),
            fields(
                b'Content-Type: application/pdf; name="' + word("견적서.pdf", "EUC-KR") + b'"',
                "Content-Transfer-Encoding: base64",
            )
            + b"\n"
            + b64(PDF),
        ),
    ),
    "panasonic-fax-text-plain-base64": mail(
        "Subject: fax", body=part('text/plain; name="FAX0001.pdf"', PDF, encoding="base64")
    ),
    "old-scanner-uuencode": fields("From: scanner@example.com", "To: a@example.com", "Subject: scan")
    + b"\n"
    + b"Image follows.\n\n"
    + uu(b"scan.gif", GIF)
    + b"\nEnd of message.\n",
    "old-scanner-uuencode-cut-off": fields("From: scanner@example.com", "To: a@example.com", "Subject: scan")
    + b"\n"
    + uu(b"scan.jpg", JPEG).rsplit(b"`", 1)[0],
    "copier-without-fields": b"\nCounter: 12345\nToner: 20%\n",
    "copier-without-header": b"Toner is low\nPlease order black toner.\n",
    "copier-pdf-only": mail("Subject: scan", body=part("application/pdf", PDF, encoding="base64")),
    "copier-empty-file": mail(
        "Subject: scan",
        body=multi("mixed", part("text/plain", "x\n"), file("application/pdf", "empty.pdf", b"")),
    ),
    "copier-cut-off": mail(
        "Subject: scan",
        body=multi(
            "mixed", part("text/plain", "x\n"), file("application/pdf", "a.pdf", PDF)[:-30], closed=False
        ),
    ),
    "copier-octet-stream": mail(
        "Subject: scan",
        body=multi("mixed", part("text/plain", "x\n"), file("application/octet-stream", "scan.pdf", PDF)),
    ),
    "copier-without-type": mail(
        "Subject: scan",
        body=multi(
            "mixed",
            part("text/plain", "x\n"),
            fields(
                'Content-Disposition: attachment; filename="scan.jpg"', "Content-Transfer-Encoding: base64"
            )
            + b"\n"
            + b64(JPEG),
        ),
    ),
    "copier-boundary-without-quotes": fields(
        "From: a@example.com",
        "To: b@example.com",
        "Subject: s",
        "Content-Type: multipart/mixed; boundary=----=_Part_1 a",
    )
    + b"\n------=_Part_1 a\nContent-Type: text/plain\n\nhi\n"
    + b"------=_Part_1 a--\n",
    "copier-boundary-missing": fields(
        "From: a@example.com", "To: b@example.com", "Subject: s", "Content-Type: multipart/mixed"
    )
    + b"\n--xyz\nContent-Type: text/plain\n\nhi\n--xyz\n"
    + file("application/pdf", "a.pdf", PDF)
    + b"\n--xyz--\n",
    "copier-semicolons": mail(
        "Subject: s", to="a@example.com; b@example.com;c@example.com", body=part("text/plain", "x\n")
    ),
    "nas-alert": mail(
        "From: NAS <nas@example.com>",
        b"Subject: " + word("[NAS] ハードディスク異常"),
        "X-Priority: 1 (Highest)",
        "Importance: high",
        body=part("text/plain; charset=utf-8", "ディスク 2 に異常があります。\n", encoding="base64"),
    ),
    "ups-alert": fields("From: ups@example.com", "To: admin@example.com", "Subject: UPS: On battery")
    + b"\nUPS on battery\n",
    "camera-snapshots": mail(
        "Subject: Motion",
        body=multi(
            "mixed",
            part("text/plain", "Motion detected\n"),
            part(
                'image/jpeg; name="1.jpg"',
                JPEG,
                "Content-Disposition: inline",
                "Content-ID: <1>",
                encoding="base64",
            ),
            part(
                'image/jpeg; name="2.jpg"',
                JPEG[::-1],
                "Content-Disposition: inline",
                "Content-ID: <2>",
                encoding="base64",
            ),
        ),
    ),
    "pbx-voicemail": mail(
        "Subject: Voicemail",
        body=multi(
            "mixed",
            part("text/plain", "From 0312345678\n"),
            part(
                "audio/x-wav",
                b"RIFF\x24\0\0\0WAVEfmt ",
                'Content-Disposition: attachment; filename="msg0001.WAV"',
                encoding="base64",
            ),
        ),
    ),
    "erp-csv": mail(
        b"Subject: " + word("在庫一覧", "Shift_JIS"),
        body=multi(
            "mixed",
            part("text/plain; charset=Shift_JIS", "在庫一覧です。\n".encode("cp932"), encoding="8bit"),
            part(
                "text/csv; charset=Shift_JIS",
                CSV.encode("cp932"),
                'Content-Disposition: attachment; filename="zaiko.csv"',
                encoding="base64",
            ),
        ),
    ),
    "erp-text-attachment-7bit": mail(
        "Subject: s",
        body=multi(
            "mixed",
            part("text/plain", "see file\n"),
            part("text/plain", "a;b\n1;2\n", 'Content-Disposition: attachment; filename="data.txt"'),
        ),
    ),
    "erp-qp-attachment": mail(
        "Subject: s",
        body=multi(
            "mixed",
            part("text/plain", "x\n"),
            part(
                "application/pdf",
                PDF,
                'Content-Disposition: attachment; filename="a.pdf"',
                encoding="quoted-printable",
            ),
        ),
    ),
    "scanner-png-inline-type": mail(
        "Subject: s",
        body=part('image/png; name="scan.png"', PNG, "Content-Disposition: inline", encoding="base64"),
    ),
}
