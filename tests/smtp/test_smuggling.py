"""Nothing that is not CRLF.CRLF ends the data, and nothing said before TLS is obeyed behind it."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.smtp.data import ChunkDecoder, DataDecoder, normalise

# The malformed endings of the SMTP smuggling research (CVE-2023-51764, -51765, -51766, CVE-2024-27305).
ENDINGS = [
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n.\r", b"\r.\n",
    b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n.\r\0\n", b"\r\r\n.\n", b"\n\r.\r\n", b"\r\n.\r\r\n",
    b"\r\n .\r\n", b"\r\n. \r\n", b"\r\n..\r\n", b"\r\n\xe2\x80\xa4\r\n",
]  # fmt: skip


@pytest.mark.parametrize("ending", ENDINGS, ids=repr)
def test_no_malformed_ending_smuggles_a_second_message(house, ending):
    before = len(house.sandbox.messages)
    smuggled = b"MAIL FROM:<evil@example.net>\r\nRCPT TO:<evil@example.net>\r\nDATA\r\nSubject: two\r\n\r\nx"
    with house.connect() as client:
        client.greet()
        answer = client.send_mail(b"Subject: one\r\n\r\nx" + ending + smuggled)
        assert answer.startswith("250 2.0.0 relayed")
        assert client.ask("QUIT").startswith("221"), "what followed was taken for commands"
    assert len(house.sandbox.messages) == before + 1


@pytest.mark.parametrize(
    "injected", [b"NOOP\r\n", b"MAIL FROM:<e@e.test>\r\n", b"EHLO evil\r\n", b"x" * 50_000]
)
def test_no_command_is_injected_before_starttls(house, injected):
    with house.connect("starttls-open") as client:
        client.greet()
        client.send(b"STARTTLS\r\n" + injected)
        assert client.reply().startswith("220")
        client.start_tls()
        assert client.ask("VRFY x").startswith("252"), "the first reply is not to the first command"
        assert client.ask("RCPT TO:<a@example.net>").startswith("503")


def reference(data):
    """What RFC 5321 §4.5.2 makes of the octets after DATA, written for clarity alone."""
    wire = b"\r\n" + data
    end = wire.index(b"\r\n.\r\n")
    lines = wire[2 : end + 2].split(b"\r\n")[:-1] if end else []
    content = b"".join((line[1:] if line.startswith(b".") else line) + b"\r\n" for line in lines)
    content = re.sub(rb"\r?\r\n|\r|\n", b"\r\n", content)
    return content, wire[end + 5 :]


pieces = st.lists(
    st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"\r\r\n", b"a", b"A" * 76 + b"\r\n", b"\0"]), max_size=40
)


@settings(max_examples=400, deadline=None)
@given(pieces, st.lists(st.integers(0, 200), max_size=12))
def test_data_means_the_same_however_it_is_split(parts, cuts):
    data = b"".join(parts) + b"\r\n.\r\nQUIT\r\n"
    decoder, content, start = DataDecoder(), b"", 0
    for cut in [*sorted(cut for cut in cuts if cut < len(data)), len(data)]:
        if decoder.done:
            decoder.rest += data[start:cut]
        elif cut > start:
            content += decoder.feed(data[start:cut])
        start = cut
    assert decoder.done
    assert (content, decoder.rest) == reference(data)


@settings(deadline=None)
@given(pieces)
def test_line_ends_are_all_crlf(parts):
    body = normalise(b"".join(parts))
    assert body.count(b"\r\n") == body.count(b"\r") == body.count(b"\n")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_cr_cr_lf_is_one_line_end(size):
    """A device that writes CRLF to a stream in text mode sends CR CR LF; as two line ends, the first field
    would be all that is left of the header.
    """
    sent = b"Subject: x\r\r\nTo: a@example.com\r\r\n\r\r\nbody\r\r\n..\r\r\n"
    wanted = b"Subject: x\r\nTo: a@example.com\r\n\r\nbody\r\n.\r\n"
    data, chunks = DataDecoder(), ChunkDecoder()
    whole = sent + b".\r\n"
    assert b"".join(data.feed(whole[at : at + size]) for at in range(0, len(whole), size)) == wanted
    pieces = [sent.replace(b"..", b".")[at : at + size] for at in range(0, len(sent) - 1, size)]
    assert b"".join(chunks.feed(piece) for piece in pieces) + chunks.feed(b"", last=True) == wanted
