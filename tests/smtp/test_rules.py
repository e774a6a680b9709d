"""Which account sends, as whom, and over TLS only: rules of users, devices and listeners."""

import base64

import pytest

from relay.config.load import ConfigError
from tests.support.smtp import LOOPBACK, PASSWORD, House, listeners, settings, users

LOGIN = base64.b64encode(f"\0printer\0{PASSWORD}".encode()).decode()
NAMES = ("of-user", "of-device", "of-listener", "of-from", "of-path", "default")


def accounts():
    return [{"name": name, "address": f"{name}@example.com", "default": name == "default"} for name in NAMES]


def start(folder, listener=None, device=None, user=None, **more):
    """A relay with one listener, a device at 127.0.0.1, and a user."""
    listener = {"address": "127.0.0.1:0", "networks": LOOPBACK, **(listener or {})}
    login = {"name": "printer", "password_hash": users()[0]["password_hash"], **(user or {})}
    more["device"] = [] if device is None else [{"address": "127.0.0.1", **device}]
    return House(folder, kinds={"only": listener}, user=[login], **more)


def entry(house, fields, *, sender, login=False):
    """Submit a message; gives what the spool keeps of it, or the refusal."""
    with house.connect("only") as client:
        client.greet()
        if login:
            assert client.ask(f"AUTH PLAIN {LOGIN}").startswith("235")
        answer = client.send_mail(
            fields.encode() + b"\r\nTo: a@example.net\r\nSubject: s\r\n\r\nhi", sender=sender
        )
    assert answer.startswith("250 "), answer
    return house.call(house.service.spool.show(answer.rpartition("id=")[2]))


@pytest.mark.parametrize("known", range(len(NAMES)))
def test_the_account_of_the_nearest_rule_sends(tmp_path, known):
    """User, device, listener, From, reverse-path, default: the first of them that says anything."""
    said = [{"account": name} if number >= known else {} for number, name in enumerate(NAMES[:3])]
    author = NAMES[3] if known <= 3 else "nobody"
    path = NAMES[4] if known <= 4 else "nobody"
    listener = {"auth": "optional", "auth_without_tls": True, **said[2]}
    with start(tmp_path, listener, said[1], said[0], account=accounts(), delivery={"wait": "0s"}) as house:
        kept = entry(house, f"From: {author}@example.com", sender=f"{path}@example.com", login=True)
        assert kept.account == NAMES[known]


ONLY_A, ONLY_B = {"may_send_as": ["a@example.com"]}, {"may_send_as": ["b@example.com", "a@example.com"]}


@pytest.mark.parametrize(
    ("listener", "device", "refused"),
    [
        (ONLY_A, None, "b@example.com"),
        ({}, ONLY_A, "b@example.com"),
        (ONLY_A, ONLY_B, "b@example.com"),
        (ONLY_B, ONLY_A, "b@example.com"),
        ({"may_send_as": []}, ONLY_A, "a@example.com"),
    ],
)
def test_every_level_must_allow_the_sender(tmp_path, listener, device, refused):
    """A listener without a login let every device send as every mailbox."""
    with start(tmp_path, listener, device) as house, house.connect("only") as client:
        client.greet()
        assert client.ask(f"MAIL FROM:<{refused}>").startswith("550 5.7.1 ")
        if refused != "a@example.com":
            said = client.send_mail(b"From: b@example.com\r\n\r\nx", sender="a@example.com")
            assert said.startswith("550 5.7.1 ")
            assert client.send_mail(b"From: a@example.com\r\n\r\nx", sender="a@example.com").startswith(
                "250 "
            )


@pytest.mark.parametrize("level", ["listener", "device"])
def test_nothing_is_taken_without_tls_where_it_is_required(tmp_path, level):
    """A listener could not ask for TLS without asking for a login (RFC 3207 §4: 530)."""
    files = {key: value for key, value in listeners(tmp_path)["starttls-open"].items() if key != "auth"}
    more = {level: {"require_tls": True}}
    listener = files | {"auth": "optional", "auth_without_tls": True} | more.get("listener", {})
    with start(tmp_path, listener, more.get("device")) as house, house.connect("only") as client:
        assert "AUTH" not in client.greet()
        assert client.ask("MAIL FROM:<a@example.com>").startswith("530 5.7.0 ")
        assert client.ask(f"AUTH PLAIN {LOGIN}").startswith("538 5.7.11 ")
        assert client.ask("STARTTLS").startswith("220 ")
        client.start_tls()
        assert "AUTH" in client.ask("EHLO x")
        assert client.send_mail(b"Subject: x\r\n\r\nx").startswith("250 ")


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        ({"listener": {"require_tls": True}}, "require_tls needs tls"),
        (
            {"listener": {"account": "none"}},
            "[[listener]] no. 1, account: expected the name of an account, found 'none'",
        ),
        (
            {"device": {"account": "none"}},
            "[[device]] no. 1, account: expected the name of an account, found 'none'",
        ),
    ],
)
def test_rules_that_cannot_be_are_problems(tmp_path, tables, problem):
    kinds = {"only": {"address": "127.0.0.1:0", **tables.get("listener", {})}}
    devices = [{"address": "127.0.0.1", **tables["device"]}] if "device" in tables else []
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, "http://127.0.0.1:9", kinds=kinds, device=devices)
    assert problem in str(caught.value)


OTHERS = [
    '"CEO <ceo@example.com>"',
    "CEO ceo@example.com",
    '"ceo＠example.com"',
    '"ceo﹫example.com"',
    "=?utf-8?q?ceo=40example.com?=",
    "=?utf-8?b?Y2Vv77ygZXhhbXBsZS5jb20=?=",
    '"ceo @ example.com"',
    '"scanner@example.com, ceo@example.com"',
    '"scanner@example.com.evil.test"',
    '"c\u200beo@example.com"',
    '"(ceo@example.com)"',
    '"CEO\tceo@example.com"',
]


@pytest.mark.parametrize("level", ["listener", "device", "user"])
def test_recipients_see_no_address_that_the_sender_may_not_have(tmp_path, level):
    """The address of the From was checked and its name was not: recipients saw the CEO's address."""
    rule = {level: {"may_send_as": ["scanner@example.com"]}}
    rule.setdefault("listener", {}).update(auth="optional", auth_without_tls=True)
    with start(tmp_path, rule["listener"], rule.get("device"), rule.get("user")) as house:
        for name in [*OTHERS, "Scanner", '"scanner@example.com"', '"Scan (Scanner@Example.com)"']:
            entry(
                house,
                f"From: {name} <scanner@example.com>",
                sender="scanner@example.com",
                login=level == "user",
            )
        seen = [request.get("userName", "") for request in house.requests()]
        assert seen[-3:] == ["Scanner", "scanner@example.com", "Scan (Scanner@Example.com)"]
        assert seen[:-3] == [""] * len(OTHERS)


def test_a_name_that_was_left_out_is_a_loss(tmp_path):
    with start(tmp_path, {"may_send_as": ["scanner@example.com"]}) as house:
        entry(house, f"From: {OTHERS[0]} <scanner@example.com>", sender="scanner@example.com")
        house.wait_for_line("originator-name")


@pytest.mark.parametrize(
    ("user", "device", "seen"),
    [
        ({}, {}, "Of the From"),
        ({}, {"user_name": "Printer"}, "Printer"),
        ({"user_name": "U"}, {"user_name": "D"}, "U"),
    ],
)
def test_the_nearest_user_name_is_shown(tmp_path, user, device, seen):
    listener = {"auth": "optional", "auth_without_tls": True}
    with start(tmp_path, listener, device, user) as house:
        entry(house, "From: Of the From <scanner@example.com>", sender="scanner@example.com", login=True)
        assert house.requests()[0]["userName"] == seen
