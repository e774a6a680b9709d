"""Transfer encodings that are not what they say."""

import base64

import pytest

from relay.message.parse import parse
from relay.message.transfer import decode_base64


@pytest.mark.parametrize(
    "text", ["<p>Scan of page 1</p>\n", "Please find the scan attached.\n", "お世話になっております。\n"]
)
@pytest.mark.parametrize("subtype", ["plain", "html"])
def test_a_text_that_was_never_encoded_is_shown_as_it_is(text, subtype):
    """Programs that encode their attachments say base64 of the text too, and forget to encode it."""
    field = f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    assert parse((field + text).encode()).mail.body.strip() == text.strip()


@pytest.mark.parametrize("junk", ["", "!", "\r\n", " "])
def test_base64_with_little_junk_is_base64(junk):
    """RFC 2045 §6.8: what is not of the alphabet is skipped."""
    encoded = base64.b64encode("お世話になっております。".encode()).decode()
    field = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    assert (
        parse((field + encoded[:20] + junk + encoded[20:]).encode()).mail.body == "お世話になっております。"
    )


@pytest.mark.parametrize("behind", [b"epilogue\n", b"Confidential\n", b"--\nfooter\n"])
def test_a_word_behind_the_padding_is_not_decoded(behind):
    """What gateways append to a message whose last boundary is missing would grow the file."""
    assert decode_base64(base64.encodebytes(b"%PDF") + behind) == b"%PDF"
