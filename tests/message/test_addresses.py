"""Address lists that other parsers were seen to read, or to misread."""

import time

import pytest

from relay.mail import Unconvertible
from relay.message import destinations, originator_address
from relay.message.addresses import read_addresses, read_originators, read_words, unquote
from relay.message.parse import parse


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        pytest.param(
            b"a@x.example (Foo <x); b@x.example", ["a@x.example", "b@x.example"], id="< in a comment"
        ),
        pytest.param(b'a@x.example (5" pipe), b@x.example', ["a@x.example", "b@x.example"], id="quote in it"),
        pytest.param(b"a@x.example (a (b) c), b@x.example", ["a@x.example", "b@x.example"], id="nested"),
        pytest.param(b"a@x.example (a \\) b), b@x.example", ["a@x.example", "b@x.example"], id="escaped"),
        pytest.param(b"a@x.example (sales, b@x.example", ["a@x.example", "b@x.example"], id="never closed"),
        pytest.param(
            b"a@x.example (oops ( b@x.example), c@x.example",
            ["a@x.example", "c@x.example"],
            id="one too many",
        ),
        pytest.param(b'"a@x.example" <root>', ["root"], id="a name that looks like an address"),
        pytest.param(b'"a@x.example" </O=EX/CN=A>', ["a@x.example"], id="an X.500 name in brackets"),
        pytest.param(b'"a.b"@x.example', ["a.b@x.example"], id="quotes that are not needed"),
        pytest.param(b'"a@x.example" <>', ["a@x.example"], id="empty brackets"),
        pytest.param(b'"A <a@x.example>, b@x.example', ["a@x.example", "b@x.example"], id="quote not closed"),
        pytest.param(b"x [(<a@x.example>)] b@x.example", ["b@x.example"], id="a comment in square brackets"),
        pytest.param(b'["] <a@x.example> ["] <b@x.example>', ["b@x.example"], id="a quote in them"),
        pytest.param(
            b"a@[IPv6:2001:db8::1], b@[192.0.2.1]", ["a@[IPv6:2001:db8::1]", "b@[192.0.2.1]"], id="literals"
        ),
        pytest.param(b"A a@x.example>, b@x.example", ["a@x.example", "b@x.example"], id="> alone"),
        pytest.param(b"a@x.example\r\n\tb@x.example", ["a@x.example", "b@x.example"], id="a fold alone"),
    ],
)
def test_addresses(field, expected):
    """A comment holds anything but parentheses (RFC 5322 §3.2.2); nobody is lost for one that is damaged, and
    nobody gets mail who is only a display name.
    """
    found = [address.addr_spec for address in read_addresses([field])]
    assert found == expected


def test_a_comment_is_the_name_of_a_bare_address():
    """The old form, `a@x.example (John Smith)` (RFC 5322 §3.4)."""
    (address,) = read_addresses([b"a@x.example (John (Sales) Smith)"])
    assert address.display_name == "John (Sales) Smith"


@pytest.mark.parametrize(
    ("field", "name"),
    [
        pytest.param(b"=?utf-8?B?6KSH5ZCI5qmf?= <>", "複合機", id="empty brackets"),
        pytest.param(b'"Scanner (3F)" <>', "Scanner (3F)", id="in quotes"),
        pytest.param("複合機\r\n 3F".encode(), "複合機 3F", id="folded"),
        pytest.param(b"undisclosed:;", "", id="an empty group"),
        pytest.param(b" <>, ", "", id="nothing"),
    ],
)
def test_words_are_a_display_name(field, name):
    """Devices put what they are called where an address belongs (RFC 5322 §3.4 wants both)."""
    assert [one.display_name for one in read_words([b"", field])] == [name] * bool(name)


@pytest.mark.parametrize("field", [b'"\\"' * 20_000, b'"a <x@y>, ' * 6_000, "a@b；".encode() * 10_000])
def test_time_is_linear(field):
    """A quotation mark that never closes is looked for once, not once for each that follows."""
    began = time.process_time()
    read_addresses([field])
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("field", "specs"),
    [
        (b"jdoe@test . example", ["jdoe@test.example"]),
        (b"jdoe@test .example", ["jdoe@test.example"]),
        (b"jdoe@test . example . com", ["jdoe@test.example.com"]),
        (b"jdoe@test. example", ["jdoe@test.example"]),
        (b"jdoe@test . example, b@x . y", ["jdoe@test.example", "b@x.y"]),
        (b"<jdoe@test . example>", ["jdoe@test.example"]),
        (b"jdoe@test (comment) . example", ["jdoe@test.example"]),
        (b"Mama .mama@docomo.ne.jp", [".mama@docomo.ne.jp"]),
        (b"taro . yamada@example.com", ["taro.yamada@example.com"]),
        (b"taro . y . yamada@example . com, b@x.y", ["taro.y.yamada@example.com", "b@x.y"]),
        (b"<taro . yamada@example.com>", ["taro.yamada@example.com"]),
        (b"Joe Q . Public john@example.com", ["john@example.com"]),
        ("taro@example.com（営業）".encode(), ["taro@example.com"]),
        (b"Dr. John john@example.com", ["john@example.com"]),
        (b"john@example.com. Thanks", ["john@example.com"]),
        (b"a@example.com b@example.com", ["a@example.com", "b@example.com"]),
    ],
)
def test_blanks_around_the_dots_of_a_domain(field, specs):
    """RFC 5322 §4.4 lets them stand; without brackets the address ended there, and was another one."""
    assert [one.addr_spec for one in read_addresses([field])] == specs


@pytest.mark.parametrize(
    ("spec", "bare"),
    [
        ('"user"@x', "user@x"),
        ('"a..b."@x', "a..b.@x"),
        ('"a\\b"@x', "ab@x"),
        ('"a".b."c"@x', "a.b.c@x"),
        ('"a b"@x', "a b@x"),
        ('"a@b"@c', "a@b@c"),
        ('""@x', "@x"),
        ('a"b"@x', 'a"b"@x'),
        ('"a"b@x', '"a"b@x'),
        ('"a@x', '"a@x'),
        ("a@x", "a@x"),
        ('a@"x"', 'a@"x"'),
    ],
)
def test_a_local_part_is_unquoted(spec, bare):
    assert unquote(spec) == bare


def test_many_blanks_and_dots_take_linear_time():
    """`@ . . . .` was joined dot by dot."""
    field = b"a@b" + b" . c" * 15_000
    assert read_addresses([field])[0].addr_spec == "a@b" + ".c" * 15_000
    assert read_addresses([b"a@b" + b" ." * 30_000])
    assert read_addresses([b"a . b" * 15_000 + b"@c"])


def test_a_destination_field_may_be_as_long_as_the_section():
    """20,000 addresses are allowed, and 5,000 of them did not fit into one field."""
    to = b",\r\n ".join(b"person.%d@example.com" % number for number in range(5000))
    assert len(parse(b"To: " + to + b"\r\n\r\nx").header.to) == 5000
    with pytest.raises(Unconvertible, match="header field"):
        parse(b"Subject: " + to + b"\r\n\r\nx")


@pytest.mark.parametrize(
    ("field", "names", "specs"),
    [
        (b"Yamada, Taro <taro@example.com>", ["Yamada, Taro"], ["taro@example.com"]),
        (b"Yamada, Taro, Sales <s@e.com>, b@e.com", ["Yamada, Taro, Sales", ""], ["s@e.com", "b@e.com"]),
        (b"a@e.com, Taro <t@e.com>", ["", "Taro"], ["a@e.com", "t@e.com"]),
        (b"root, t@e.com", ["", ""], ["root", "t@e.com"]),
        (b"UPS-01", [""], ["UPS-01"]),
    ],
)
def test_a_comma_in_an_originators_name_makes_no_second_mailbox(field, names, specs):
    """Nobody had quoted the name: the account was chosen, and may_send_as asked, by an address `Yamada`."""
    found = read_originators([field])
    assert [one.display_name for one in found] == names
    assert [one.addr_spec for one in found] == specs


def test_the_account_is_chosen_by_the_mailbox_and_not_by_its_name():
    content = b"From: Yamada, Taro <taro@example.com>\r\nTo: Suzuki, root\r\n\r\nx"
    assert originator_address(content) == "taro@example.com"
    assert [one.addr_spec for one in destinations(content)] == ["Suzuki", "root"]
