"""A reload takes rights away from sessions that are open, from their next MAIL, and gives them new ones."""

import base64
import ssl

import pytest

from tests.smtp.test_life import client_certificate
from tests.support.smtp import LOOPBACK, PASSWORD, House, listeners, users

LOGIN = base64.b64encode(f"\0erp\0{PASSWORD}".encode()).decode()
ANYWHERE = {"address": "127.0.0.1:0", "networks": LOOPBACK}
AGAIN = "421 4.7.0 what is allowed here has changed, connect again"
DEVICE = {"address": "127.0.0.1"}
ELSEWHERE = {"networks": ["10.0.0.0/8"]}


def configure(house, **changes):
    """Reload with other tables in place of the configuration's."""
    house.call(house.service.reload(house.config.model_copy(update=changes)))


def changed(rows, **changes):
    return tuple(one.model_copy(update=changes) for one in rows)


def open_session(house, *, login=True):
    client = house.connect("only")
    client.greet()
    if login:
        assert client.ask(f"AUTH PLAIN {LOGIN}").startswith("235")
    assert client.send_mail(b"Subject: before\r\n\r\nx", sender="a@example.com").startswith("250 ")
    return client


def assert_is_sent_away(client):
    with client:
        assert client.ask("MAIL FROM:<a@example.com>") == AGAIN
        assert client.is_closed()


LOGGED_IN = {"auth": "required", "auth_without_tls": True}
TAKEN = {
    "the user is gone": (LOGGED_IN, True, lambda config: {"user": ()}),
    "its hash is another": (
        LOGGED_IN,
        True,
        lambda config: {"user": changed(config.user, password_hash="$argon2id$another")},
    ),
    "its network is gone": (
        {},
        False,
        lambda config: {"listener": changed(config.listener, networks=())},
    ),
    "its network is gone, for a user": (
        LOGGED_IN,
        True,
        lambda config: {"listener": changed(config.listener, networks=())},
    ),
    "the device is gone": (ELSEWHERE, False, lambda config: {"device": ()}),
    "the listener is gone": (LOGGED_IN, True, lambda config: {"listener": ()}),
}


@pytest.mark.parametrize("case", TAKEN)
def test_an_open_session_loses_what_the_configuration_no_longer_grants(tmp_path, case):
    """A session kept all of it for as long as it went on sending."""
    listener, login, change = TAKEN[case]
    devices = [DEVICE] if listener is ELSEWHERE else []
    with House(tmp_path, kinds={"only": ANYWHERE | listener}, device=devices) as house:
        client = open_session(house, login=login)
        configure(house, **change(house.config))
        assert_is_sent_away(client)


@pytest.mark.parametrize("change", ["user", "common name", "authorities"])
def test_a_certificate_stands_for_its_user_no_longer_than_the_configuration_says(tmp_path, change):
    path = tmp_path / "printer.pem"
    path.write_bytes(client_certificate("printer-3f"))
    kinds = {"only": listeners(tmp_path)["implicit"] | {"client_ca_file": str(path)}}
    user = {"name": "printer", "certificate": "printer-3f"}
    with House(tmp_path, kinds=kinds, user=[user, *users()]) as house:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(path)
        client = house.connect("only")
        client.start_tls(context=context)
        client.greet()
        assert client.send_mail(b"Subject: x\r\n\r\nx").startswith("250 ")
        rows = {
            "user": {"user": house.config.user[1:]},
            "common name": {"user": changed(house.config.user, certificate="printer-4f")},
            "authorities": {"listener": changed(house.config.listener, client_ca_file="")},
        }
        configure(house, **rows[change])
        assert_is_sent_away(client)


@pytest.mark.parametrize("auth", [{}, LOGGED_IN])
def test_a_device_that_was_being_learned_goes_when_its_window_closes(tmp_path, auth):
    networks = {} if auth else ELSEWHERE
    with House(tmp_path, kinds={"only": ANYWHERE | auth | networks}) as house:
        learning = house.service.server.learning
        learning.open("127.0.0.0/8", 600)
        client = open_session(house, login=False)
        learning.stop()
        assert_is_sent_away(client)


def test_a_device_that_is_adopted_goes_on(tmp_path):
    with House(tmp_path, kinds={"only": ANYWHERE | ELSEWHERE}) as house:
        house.service.server.learning.open("127.0.0.0/8", 600)
        with open_session(house, login=False) as client:
            house.call(house.service.verbs.find("learn_adopt")("127.0.0.1"))
            assert "held" not in client.send_mail(b"Subject: adopted\r\n\r\nx")


def test_other_rules_are_obeyed_from_the_next_mail(tmp_path):
    """Sessions go on; what was open when the configuration changed comes to its end as it began."""
    with House(tmp_path, kinds={"only": ANYWHERE | LOGGED_IN}) as house, open_session(house) as client:
        client.ask("MAIL FROM:<a@example.com>")
        configure(house, user=changed(house.config.user, may_send_as=("b@example.com",), account="scanner"))
        assert client.ask("RCPT TO:<x@example.net>").startswith("250 ")
        client.ask("RSET")
        assert client.ask("MAIL FROM:<a@example.com>").startswith("550 5.7.1 ")
        assert client.ask("MAIL FROM:<b@example.com>").startswith("250 ")
        client.ask("RSET")
        configure(house, user=changed(house.config.user, recipient_domains=("example.org",)))
        client.ask("MAIL FROM:<b@example.com>")
        assert client.ask("RCPT TO:<x@example.net>").startswith("550 5.7.1 ")


def test_a_listener_that_asks_for_a_login_now_asks_open_sessions_too(tmp_path):
    with House(tmp_path, kinds={"only": ANYWHERE}) as house, open_session(house, login=False) as client:
        configure(house, listener=changed(house.config.listener, auth="required", auth_without_tls=True))
        assert client.ask("MAIL FROM:<a@example.com>").startswith("530 5.7.0 ")
