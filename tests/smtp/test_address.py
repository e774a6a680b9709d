"""Paths: one grammar, whatever stands in quotes; what is checked is what is given on."""

import pytest

from relay.message import destinations
from relay.reply import ONE_ADDRESS, Rejected
from relay.smtp.address import check_forward_path, check_reverse_path, split_path
from tests.support.at_once import at_once

LOCALS = [
    "user",
    "a..b.",
    ".mama",
    "a.b.",
    "erp.mail",
    "a+b",
    "a'b",
    "o=b",
    "a/b",
    "山田",
    "a;b",
    "a,b",
    "odd user",
    "a@b",
    "",
    "a<b",
    "a:b",
    "(a)",
    "[a]",
    "=?x?=",
    "a\tb",
    "\u202ea",
]


def check(path: str) -> str | None:
    try:
        return check_forward_path(path)
    except Rejected:
        return None


@at_once
@pytest.mark.parametrize("local", LOCALS)
@pytest.mark.parametrize("domain", ["docomo.ne.jp", "例え.jp"])
def test_quotes_change_nothing(local, domain):
    """A quoted local part was refused for good, though the same mailbox without quotes was taken."""
    bare, quoted = check(f"{local}@{domain}"), check(f'"{local}"@{domain}')
    assert quoted == bare
    assert check('"' + "".join("\\" + one for one in local) + f'"@{domain}') == bare
    assert bare in {None, f"{local}@{domain}"}
    try:
        assert check_reverse_path(f'"{local}"@{domain}', "relay.example") == f"{local}@{domain}"
    except Rejected:
        assert bare is None


@pytest.mark.parametrize("path", ["a@[192.0.2.1]", "a@[IPv6:2001:db8::1]", '"a"@[192.0.2.1]'])
def test_a_literal_is_a_reverse_path_only(path):
    """The API refuses the whole message for one such recipient, and the good ones with it."""
    assert check(path) is None
    assert check_reverse_path(path, "relay.example") == path.replace('"', "")


@pytest.mark.parametrize("local", ["hana..ko", "taro.", "user"])
def test_fields_and_commands_agree(local):
    """`sendmail -t` and `send` take recipients from the fields and give them to the listener."""
    (found,) = destinations(f'To: "{local}"@docomo.ne.jp\r\n\r\nx'.encode())
    assert check(found.addr_spec) == check(f'"{local}"@docomo.ne.jp') == f"{local}@docomo.ne.jp"


@pytest.mark.parametrize("name", ["Yamada Taro ", '"Yamada, Taro" ', '"Yamada; Taro"'])
def test_a_display_name_before_a_path_may_be_quoted(name):
    """Devices send what their address book shows; a comma within quotes parts no addresses."""
    found = split_path(f"{name}<a@example.com> NOTIFY=NEVER", ONE_ADDRESS)
    assert found == ("a@example.com", "NOTIFY=NEVER")
    with pytest.raises(Rejected):
        split_path(f"{name}<a@example.com>, <b@example.com>", ONE_ADDRESS)
