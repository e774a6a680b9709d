"""Parameters, encoded-words and mailboxes, as they are sent."""

import pytest

from relay.message.addresses import read_addresses
from relay.message.parameters import read_structured
from relay.message.parse import parse
from relay.message.text.encoded_words import decode_unstructured


@pytest.mark.parametrize(
    ("raw", "value", "parameters"),
    [
        (b' filename="x.pdf"', "", {"filename": "x.pdf"}),
        (b" attachment filename=x.pdf", "attachment", {"filename": "x.pdf"}),
        (b" text/plain; charset", "text/plain", {}),
        (b' multipart/mixed; boundary*0="ab"; boundary*1=cd', "multipart/mixed", {"boundary": "abcd"}),
        (b" text/plain charset=us-ascii", "text/plain", {"charset": "us-ascii"}),
        (b' text/plain;charset="utf-8";;name=x', "text/plain", {"charset": "utf-8", "name": "x"}),
        (b" inline;\r\n filename=foo.pdf;\r\n\tsize=3", "inline", {"filename": "foo.pdf", "size": "3"}),
        (b' application/pdf; name="a"b.pdf"', "application/pdf", {"name": 'a"b.pdf'}),
        (b' "text/plain"', "text/plain", {}),
        (b" text / html ; charset = utf-8", "text/html", {"charset": "utf-8"}),
        (b" TEXT/PLAIN (x); NAME=A", "text/plain", {"name": "A"}),
        (b" text/plain; name=foo (1).txt; charset=x", "text/plain", {"name": "foo (1).txt", "charset": "x"}),
        (b" a/b; name*=us-ascii'en-us'This%20is%20%2A", "a/b", {"name": "This is *"}),
        (b" a/b; name*=UTF-8''\"%E3%81%82 %22b%22.pdf\"", "a/b", {"name": 'あ "b".pdf'}),
        (b" a/b; name*0*=UTF-8''\"%E3%81; name*1*=%82.pdf", "a/b", {"name": "あ.pdf"}),
        (b" a/b; name=first; name=second", "a/b", {"name": "first"}),
        (b"", "", {}),
        (b';;;=;="', "", {}),
    ],
)
def test_structured_field(raw, value, parameters):
    found = read_structured(raw)
    assert (found.value, found.parameters) == (value, parameters)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"=?utf-8?Q?a?==?utf-8?Q?b?=", "ab"),
        (b" =?UTF-8?Q?=E2=9C=94?= ok", "✔ ok"),
        (b"x =?us-ascii?q?y?= z", "x y z"),
        (b"=?windows-1252?Q?=93hi=94?=", "“hi”"),
        (b"=?gb2312?B?1tDOxA==?=", "中文"),
        (b"=?UTF-8?B?8J+YgA?=", "😀"),
        (b"=?utf-8?q??=", ""),
        (b"=?iso-2022-jp?Q?=1B$B$3=1B(B?=", "こ"),
        (b"=?utf-8?X?abc?=", "=?utf-8?X?abc?="),
        (b"=? =?=", "=? =?="),
        (b"=?koi8-r?B?8NLJ18XU?=", "Привет"),
        (b"=?unknown-8bit?Q?caf=E9?=", "café"),
        (b"Caf\xe9 cr\xe8me", "Café crème"),
    ],
)
def test_unstructured_field(raw, text):
    assert decode_unstructured(raw) == text


@pytest.mark.parametrize(
    ("raw", "mailboxes"),
    [
        (b'"A, B" <a@b.c>, C <c@d.e>', [("A, B", "a@b.c"), ("C", "c@d.e")]),
        (b"a@b.c (John)", [("John", "a@b.c")]),
        (b"<a@b.c>, <>", [("", "a@b.c")]),
        (b"undisclosed-recipients: ;", []),
        (b'Group: a@b.c, "X" <d@e.f>; , z@y.x', [("", "a@b.c"), ("X", "d@e.f"), ("", "z@y.x")]),
        (
            b"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>",
            [("Pete", "pete@silly.test")],
        ),
        (b'"Joe & J. Harvey" <ddd @Org>, JJV @ BBN', [("Joe & J. Harvey", "ddd@Org"), ("", "JJV@BBN")]),
        (b"<a@b.c> <d@e.f>", [("", "a@b.c"), ("", "d@e.f")]),
        (b'"unclosed <a@b.c>', [("unclosed", "a@b.c")]),
        (b"Bob@Home <bob@b.c>", [("Bob@Home", "bob@b.c")]),
        (b'"=?utf-8?Q?a=2Cb?=" <x@y.z>', [("a,b", "x@y.z")]),
        (b"a@b.c, =?utf-8?Q?Foo=2C?= Bar <d@e.f>", [("", "a@b.c"), ("Foo, Bar", "d@e.f")]),
        (b"info@ex.com.", [("", "info@ex.com")]),
        (b"a..b.@docomo.example", [("", "a..b.@docomo.example")]),
        (b"<@a,@b:c@d.e>", [("", "c@d.e")]),
        (b'"john doe"@example.com', [("", '"john doe"@example.com')]),
        (b"(" * 1000, []),
        (b"<" * 1000, []),
    ],
)
def test_mailboxes(raw, mailboxes):
    assert [(one.display_name, one.addr_spec) for one in read_addresses([raw])] == mailboxes


def test_a_fold_is_no_hint_at_the_charset():
    """A guess over raw octets is the same whether the way had LF or CRLF."""
    raw = b"This subject that wraps\n onto a new line with a space\n\tand then o"
    raw += b"\xd1\x81\xd0\xb0\xd0\xb9\xd1\x82.\xd1ed by a tab"
    assert decode_unstructured(raw) == decode_unstructured(raw.replace(b"\n", b"\r\n"))


@pytest.mark.parametrize(("name", "is_said"), [("Subject", True), ("To", True), ("X-Long", False)])
def test_a_line_end_within_a_field_is_named(name, is_said):
    """What stood behind it was left out in silence; an X- field is left out as a whole, which is said."""
    mail = parse(f"{name}: one\r\ntwo three\r\nMIME-Version: 1.0\r\n\r\nx\r\n".encode()).mail
    assert ("damaged" in [loss.loss for loss in mail.losses]) is is_said
