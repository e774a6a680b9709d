"""White space of commands is ASCII's, and after any of it what follows BDAT is no command."""

import base64

import pytest

from tests.support.smtp import PASSWORD


@pytest.mark.parametrize("blank", ["\t", "\v", "\f", "\r", " \t "])
def test_any_white_space_ends_a_verb(house, blank):
    """`BDAT<TAB>5` was an unknown command, and its octets were read as commands."""
    with house.connect() as client:
        client.greet()
        assert client.ask(f"MAIL{blank}FROM:<scanner@example.com>").startswith("250 ")
        assert client.ask(f"RCPT{blank}TO:<a@example.net>").startswith("250 ")
        client.send(f"BDAT{blank}6{blank}LAST\r\nRSET\r\n".encode())
        assert client.reply().startswith("250 2.0.0 ")
        assert client.ask("NOOP").startswith("250 ")


@pytest.mark.parametrize("line", ["BDAT5", "BDAT\u20285", "BDAT\xa05", "BDAT\x005", "BDAT\u30005 LAST"])
def test_a_chunk_of_no_known_size_ends_the_session(house, line):
    with house.connect() as client:
        client.greet()
        client.send(f"{line}\r\nNOOP\r\n".encode())
        assert client.reply().startswith("501 ")
        assert client.is_closed()
        assert not client._buffer


@pytest.mark.parametrize("mark", ["\u2028", "\u3000", "\x85", "\x1c", "\x1f", "\xa0"])
def test_what_only_python_takes_for_white_space_is_none(house, mark):
    """A command behind U+2028 was obeyed."""
    with house.connect() as client:
        client.greet()
        assert client.ask(f"{mark}MAIL FROM:<scanner@example.com>").startswith("500 ")
        assert client.ask(f"MAIL FROM:<scanner@example.com>{mark}").startswith(("501 ", "555 "))
        assert client.ask(f"MAIL FROM:{mark}<scanner@example.com>").startswith(("250 ", "501 ", "553 "))
        client.ask("RSET")
        assert client.ask(f"MAIL FROM:<scanner@example.com> SIZE=5{mark}BODY=7BIT").startswith("501 ")


@pytest.mark.parametrize(
    ("authzid", "code"), [("", "235 "), ("erp", "235 "), ("admin", "535 5.7.8 "), ("ERP", "535 ")]
)
def test_nobody_acts_for_another(house, authzid, code):
    """RFC 4616 §2: an authorization identity that is not allowed is refused. It was ignored."""
    login = base64.b64encode(f"{authzid}\0erp\0{PASSWORD}".encode()).decode()
    with house.connect("login") as client:
        client.greet()
        assert client.ask(f"AUTH PLAIN {login}").startswith(code)
