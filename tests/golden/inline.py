"""Images within html by references that no standard has, and that programs write all the same."""

from tests.golden.made import PNG, fields, mail, multi, part
from tests.golden.programs import img, inline

REFERENCES = {
    "brackets": (img("cid:<logo@x>"), "<logo@x>"),
    "brackets-escaped": (img("cid:&lt;logo@x&gt;"), "<logo@x>"),
    "blank": (img("cid:my logo"), "<my logo>"),
    "blank-percent": (img("cid:my%20logo"), "<my logo>"),
    "blank-before": (img("cid: logo@x"), "<logo@x>"),
    "parentheses": (img("cid:logo (1).png"), "<logo (1).png>"),
    "escaped-quotes": (
        part("text/html", '<td style="background-image:url(&quot;cid:logo@x&quot;)">x</td>\n'),
        "<logo@x>",
    ),
    "no-quotes-slash": (part("text/html", "<p>Hi<br/><img src=cid:logo@x/></p>\n"), "<logo@x>"),
    "srcset": (part("text/html", '<img src="cid:logo@x" srcset="a.png 1x, cid:logo@x 2x">\n'), "<logo@x>"),
    "vml": (part("text/html", '<v:imagedata src="cid:logo@x" o:title="">\n'), "<logo@x>"),
    # Words about a Content-ID are no reference: the image would be seen nowhere.
    "only-mentioned": (part("text/html", "<p>There is no cid:logo@x here.</p>\n"), "<logo@x>"),
}
CASES = {
    f"html-inline-{name}": mail("Subject: x", body=multi("related", page, inline(cid)))
    for name, (page, cid) in REFERENCES.items()
}
UNNAMED = (
    "application/vnd.fujixerox.docuworks",
    "application/x-hwp",
    "application/x-pdf",
    "audio/x-wav",
    "image/pjpeg",
    "image/x-tiff",
    "message/feedback-report",
    "message/news",
    "text/x-patch",
)
CASES |= {
    "unnamed-by-their-types": mail(
        "Subject: x",
        body=multi("mixed", part("text/plain", "x\n"), *(part(kind, "octets\n") for kind in UNNAMED)),
    ),
    # Scripts and old gateways: the type without its first half, or in brackets.
    "content-type-multipart-alone": mail(
        "Subject: x",
        body=multi("mixed", part("text/plain", "x\n"), part("image/png; name=a.png", PNG, encoding="base64")),
    ).replace(b"multipart/mixed", b"multipart"),
    "content-type-in-brackets": mail("Subject: x", body=fields("Content-Type: <html>") + b"\n<p>x</p>\n"),
}
# Nothing but text is seen of it, and a reference that is no image.
CASES["html-head-not-closed"] = mail(
    "Subject: x",
    body=multi(
        "mixed",
        part("text/plain", "Report:\n"),
        part(
            "text/html",
            '<html><head><title>t</title><body>All <b>well</b> <a href="cid:logo@x">x</a></body>\n',
        ),
        inline("<logo@x>"),
    ),
)
