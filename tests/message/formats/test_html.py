"""What of an html page is seen, and where a line is put before it."""

import time

import pytest

from relay.message.formats import html
from relay.message.parse import parse


@pytest.mark.parametrize(
    "page",
    [
        "<style>body{background:#fff}</style><body></body>",
        '<body style="background-color: white"><div><br></div></body>',
        "<!--[if mso]><table><tr><td>x</td></tr></table><![endif]--><p>&nbsp;</p>",
        "<table><tr><td>&nbsp;</td></tr></table>",
        "<hr>",
        "<!-- <img src=x> -->",
        "<!-- > <img src=x> --!><br>",
        "<input type=hidden><INPUT name=a TYPE = 'hidden'>",
        "<p>&#173;&#12288;&zwnj;&#847;</p>",
        "<title>Report</title><script>document.write('<img src=x>')</script>",
        "<style>@font-face{font-family:x;src:url(x.woff)} v\\:* {behavior:url(#default#VML);}</style>",
        '<td background="" title="background: url of the page">',
        '<p title="<img src=x>">',
        "<![if !mso]><p></p><![endif]></>",
        "<html><body><p>\n</bo",
    ],
)
def test_a_page_that_shows_nothing_gives_way_to_the_text(page):
    """Programs that have no html for a mail send a blank page beside the text, with all that a page of theirs
    has but its content; the text must not be lost for it.
    """
    mail = parse(
        b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\nthe text\r\n--b\r\n"
        b"Content-Type: text/html; charset=utf-8\r\n\r\n" + page.encode() + b"\r\n--b--\r\n"
    ).mail
    assert (mail.body, mail.content_type) == ("the text", "text")


@pytest.mark.parametrize(
    "page",
    [
        "<p>x",
        "a < b",
        "<3",
        "<!-->x",
        "<!--->x<!-- -->",
        "<!--[if !mso]><!-->x<!--<![endif]-->",
        "<![if !mso]>x<![endif]>",
        '<a title="a>b">x</a>',
        "<a title=it's>x</a>",
        '<a href="http://example.com/>x</a>',
        "<title>Report</titles></title>x",
        "<img src=x>",
        "<IMG/SRC=x>",
        "<svg><path d=''/></svg>",
        "<object data=x></object>",
        "<video src=x></video>",
        "<input type=submit>",
        "<table background=x.png><tr><td></table>",
        '<td style="background: #fff url(x.png)">',
        "<style>p{color:red;background-image:URL('x.png')}</style><p></p>",
        "<li style=\"list-style-image:url('x.png')\">",
    ],
)
def test_a_page_that_shows_anything_is_the_body(page):
    """What a browser shows, or would but for one forgotten quote, is never taken for nothing."""
    assert not html.is_empty(page)


@pytest.mark.parametrize(
    "piece",
    ['<a "', "<a =", '<a ="', "<!--", "<", "</", "<title>", "</title", "<style>x{image:", "<input type="],
)
def test_markup_without_an_end_takes_no_time(piece):
    """A megabyte that begins the same thing again and again is read once, not once for each beginning."""
    page = piece * (1_000_000 // len(piece))
    start = time.process_time()
    html.is_empty(page)
    html.insert_first(page, "<div>Reply-To</div>")
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "page",
    [
        "<!--[if mso]><body class=a><![endif]--><!--[if !mso]><!--><body>\n<!--<![endif]-->|<p>hi</p>",
        "<![if !mso]><body><![endif]>|<p>hi</p>",
        "<html><head><!-- <body> starts below --></head><body>|<p>hi</p></body></html>",
        "<html><head><style>/* <body> */</style></head><BODY\n>|<p>hi</p>",
        "<html><head><script>var s = '<body>';</script></head><body/>|<p>hi</p>",
        "<title><body></title><body>|<p>hi</p>",
        '<meta content="<body>"><body>|<p>hi</p>',
        "<body onload=\"a>b\" title='>'>|<p>hi</p>",
        "<body title=it's>|<p title='>'>hi</p>",
        "<tbody></tbody><body-x><body>|hi",
        "<!-- no </head> here -->\n<html lang=ja>|<p>hi</p>",
        "<!DOCTYPE html PUBLIC \"x\" 'y'><html><head><title>t</title></head >|<p>hi</p>",
        "<!DOCTYPE html><html>|<head><title>t</title><p>hi</p>",
        "<!doctype html>|<p>hi</p>",
        '<?xml version="1.0"?><html xmlns="u"><body>|<p>hi</p>',
        "|<p>hi</p><!-- <body>",
        "|<p>hi</p><body class='",
        "|hi",
    ],
)
def test_a_line_is_put_before_what_is_seen(page):
    """A kept Reply-To in a comment, a style sheet or the middle of a tag is lost, and the page may be too."""
    assert html.insert_first(page.replace("|", ""), "|") == page


def test_a_content_id_is_found_behind_all_that_may_stand_before_it():
    """What is looked at before `cid:` is of bounded length: escapes and blanks must fit in."""
    page = "<img src='{}cid:a@b'><p style=\"x:url({}CID:a@b)\">{}cid:a@b"
    page = page.format(" " * 20, "&#000039;" + " " * 20, "my")
    assert html.rewrite_cids(page, lambda name, _: "t" * (name == "a@b")) == (
        page.replace("cid:a@b'", "cid:t'").replace("CID:a@b)", "cid:t)")
    )
