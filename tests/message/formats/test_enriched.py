"""text/enriched and text/richtext as plain text."""

import pytest

from relay.message.formats.enriched import read_enriched, read_richtext


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<nofill>A  1\nB  2\n</nofill>", "A  1\nB  2\n"),
        ("one\nline\n\n<NoFill>A\n\n\nB</nofill>\nand\nfilled", "one line\nA\n\n\nB and filled\n"),
        ("<nofill>A\n<nofill>B\n</nofill>C\nD</nofill>\nE", "A\nB\nC\nD E\n"),
        ("<nofill>A\n<bold>B</bold>\nC", "A\nB\nC\n"),
        ("<param><nofill></param>a\nb</nofill>\nc <<nofill>\nd", "a b c <nofill> d\n"),
    ],
    ids=["a table", "text around it", "one within another", "never closed", "no command"],
)
def test_lines_that_are_not_filled(text, expected):
    """Tables and listings stand in `<nofill>`: there line ends are to be taken literally (RFC 1896)."""
    assert read_enriched(text) == expected


def test_richtext_has_its_own_line_ends():
    """In text/richtext a line end is a space, however many there are (RFC 1341 §7.1.3)."""
    assert read_richtext("<bold>a</bold>\n\nb<nl>c <lt>d") == "a  b\nc <d\n"
