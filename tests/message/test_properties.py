"""Round trips: whatever is composed comes out with the same recipients, text, html, names and octets."""

import base64
import json
from email.headerregistry import Address as Mailbox
from email.message import EmailMessage
from email.policy import SMTP

from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from relay.mail import Conversion, Unconvertible
from relay.message import convert, destinations, originators
from relay.message.transfer import decode_base64

LETTERS = st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Cn", "Co"])
WORDS = st.text(LETTERS, min_size=1, max_size=40).map(lambda text: " ".join(text.split())).filter(bool)
LINES = st.lists(st.text(LETTERS, max_size=60).map(str.rstrip), min_size=1, max_size=4).map("\n".join)
BODIES = LINES.map(lambda text: text + "\n").filter(lambda text: text.strip())
LOCAL = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=12)
SPECS = st.tuples(LOCAL, st.sampled_from(["example.com", "example.net"])).map("@".join)
NAMES = st.text(LETTERS, min_size=1, max_size=60).filter(
    lambda name: name.strip(" ._") and name == " ".join(name.split()) and not set(name) & set('/\\"=?%')
)
FILES = st.lists(
    st.tuples(NAMES, st.binary(min_size=1, max_size=3000)),
    max_size=3,
    unique_by=lambda one: one[0].casefold(),
)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def run(content: bytes, paths: list[str]) -> dict:
    request = convert(content, paths, Conversion(account_address="me@example.com")).requests[0]
    octets = b"".join(request.payload.blocks(content))
    assert len(octets) == request.payload.length
    return json.loads(octets)


@QUICK
@given(
    subject=WORDS.filter(lambda text: len(text.encode("utf-16-le")) <= 360 and "=?" not in text),
    to=st.lists(SPECS, min_size=1, max_size=5, unique=True),
    bcc=st.lists(SPECS, max_size=3, unique=True),
    name=WORDS,
    text=BODIES,
    # `<p><?` shows nothing: the text beside it is the body then.
    html=st.none() | BODIES.filter(lambda text: "<" not in text),
    files=FILES,
)
def test_composed_by_the_standard_library(subject, to, bcc, name, text, html, files):
    message = EmailMessage(policy=SMTP)
    message["From"] = "me@example.com"
    message["To"] = [Mailbox(name, addr_spec=spec) for spec in to]
    message["Subject"] = subject
    message.set_content(text)
    if html is not None:
        message.add_alternative("<p>" + html, subtype="html")
    for filename, octets in files:
        message.add_attachment(octets, maintype="application", subtype="pdf", filename=filename)
    raw = message.as_bytes()
    # CPython 3.11 folds some addresses behind a long name into its encoded-word: then nobody finds them.
    assume(all(f"<{spec}>".encode() in raw for spec in to))
    body = run(raw, [*to, *bcc])
    assert body["subject"] == subject
    assert body["to"].split("; ") == to
    assert set(body.get("bcc", "").split("; ")) - {""} == set(bcc) - set(to)
    # The policy SMTP puts CRLF into Base64, where html is left as it is.
    assert body["body"].replace("\r\n", "\n") == (text if html is None else "<p>" + html)
    found = [(one["filename"], base64.b64decode(one["data"])) for one in body.get("attachments", [])]
    assert found == files


@st.composite
def raw_messages(draw):
    """What `email` would not write: charsets by hand, separators, folds, any encoding, any nesting."""
    codec, label = draw(st.sampled_from([("cp932", "Shift_JIS"), ("euc_kr", "EUC-KR"), ("utf-8", "UTF-8")]))
    letters = {"cp932": "見積書の件カナ①", "euc_kr": "견적서 송부", "utf-8": "文書견적é😀"}[codec]
    text = draw(st.text(letters + "abc ", min_size=1, max_size=30)).strip() or "x"
    encoded = base64.b64encode(text.encode(codec))
    separator = draw(st.sampled_from([", ", "; ", ",\r\n ", " , "]))
    specs = draw(st.lists(SPECS, min_size=1, max_size=4, unique=True))
    octets = draw(st.binary(min_size=1, max_size=2000))
    width = draw(st.integers(1, 90))
    data = base64.b64encode(octets)
    lines = b"\r\n".join(data[at : at + width] for at in range(0, len(data), width))
    depth = draw(st.integers(1, 6))
    head = b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (level, level)
        for level in range(depth)
    )
    tail = b"".join(b"\r\n--b%d--" % level for level in range(depth - 1, 0, -1))
    message = b"Subject: =?%s?B?%s?=\r\nTo: %s\r\n" % (
        label.encode(),
        encoded,
        separator.join(specs).encode(),
    )
    message += (
        head
        + b"Content-Type: text/plain; charset=%s\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        % label.encode()
    )
    message += encoded + tail + b"\r\n--b0\r\nContent-Type: image/tiff; name=a.tif\r\n"
    message += b"Content-Transfer-Encoding: BASE64\r\n\r\n" + lines + b"\r\n--b0--\r\n"
    return message, text, specs, octets


@QUICK
@given(raw_messages())
def test_composed_by_hand(made):
    message, text, specs, octets = made
    body = run(message, specs)
    assert body["subject"] == " ".join(text.split()) or body["subject"] == text
    assert body["to"].split("; ") == specs
    assert body["body"] == text
    assert base64.b64decode(body["attachments"][0]["data"]) == octets
    assert run(message.replace(b"\r\n", b"\n"), specs) == body


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"Subject: ", b"Content-Type: multipart/mixed; boundary=", b"To: "]),
)
def test_any_octets_are_converted(octets, before):
    content = before + octets
    try:
        (request,) = convert(content, ["a@example.com"], Conversion()).requests
    except Unconvertible as refused:
        assert refused.status.startswith("5.")  # noqa: PT017 - both ends are good ones
        return
    json.loads(b"".join(request.payload.blocks(content)))
    assert isinstance(originators(content), tuple)
    assert isinstance(destinations(content), tuple)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=20), min_size=1, max_size=6), st.binary(max_size=3, min_size=1))
@example([b"\x00\x00\x00\x00", b"\x02\x06\xda\xae\x06\xda"], b"+")  # …==Agbargba, as a name is written
def test_base64_in_pieces(pieces, junk):
    """Padding in the middle, line ends and junk of no letters: all octets are read."""
    noise = junk.translate(None, bytes(range(0x2B, 0x7B))) or b"\r\n"
    encoded = [base64.b64encode(piece).decode() for piece in pieces if piece]
    # On a line of its own, what is written as a word behind padding is one.
    assume(noise == b"\r\n" or not any(one.isalpha() and (one.islower() or one.istitle()) for one in encoded))
    joined = (noise + b"\r\n").join(map(str.encode, encoded))
    assert decode_base64(joined.replace(noise, b"")) == b"".join(pieces)
