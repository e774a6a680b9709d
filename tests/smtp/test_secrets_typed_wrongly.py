"""AUTH mixed up: what may be a password stands in no log, record, advice or trace."""

import base64
import json
import time

import pytest

from tests.support.smtp import House, users

PASSWORD = "Winter2026!"
LOOPBACK = ["127.0.0.0/8"]


def coded(text):
    return base64.b64encode(text.encode()).decode()


PLAIN = coded(f"\0scanner\0{PASSWORD}")
# What a client sends, line by line; the relay may end the session in the middle.
MIXED_UP = {
    "plain's message as the name": ["AUTH LOGIN", PLAIN, coded("x")],
    "plain's message as the first answer": [f"AUTH LOGIN {PLAIN}", coded("x")],
    "plain's message twice": ["AUTH LOGIN", PLAIN, PLAIN],
    "the password as the name": ["AUTH LOGIN", coded(PASSWORD), coded("scanner")],
    "the password as the first answer": [f"AUTH LOGIN {coded(PASSWORD)}", coded("scanner")],
    "the password twice": ["AUTH LOGIN", coded(PASSWORD), coded(PASSWORD)],
    "name and password in one": ["AUTH LOGIN", coded(f"scanner:{PASSWORD}"), coded("x")],
    "name and password with a line end": ["AUTH LOGIN", coded(f"scanner\r\n{PASSWORD}"), coded("x")],
    "name and password with a tab": ["AUTH LOGIN", coded(f"scanner\t{PASSWORD}"), coded("x")],
    "coded twice": ["AUTH LOGIN", coded(coded(PASSWORD)), coded("x")],
    "not coded": ["AUTH LOGIN", PASSWORD, PASSWORD],
    "not coded, in one line": [f"AUTH LOGIN scanner {PASSWORD}"],
    "plain without authzid": [f"AUTH PLAIN {coded(f'scanner{chr(0)}{PASSWORD}')}"],
    "plain in another order": [f"AUTH PLAIN {coded(f'{chr(0)}{PASSWORD}{chr(0)}scanner')}"],
    "plain with the password as authzid": [f"AUTH PLAIN {coded(f'{PASSWORD}{chr(0)}scanner{chr(0)}x')}"],
    "plain with everything in the name": [f"AUTH PLAIN {coded(f'{chr(0)}scanner {PASSWORD}{chr(0)}')}"],
    "plain not coded": [f"AUTH PLAIN scanner {PASSWORD}"],
    "the password as mechanism": [f"AUTH {PASSWORD}"],
    "the password without AUTH": [PASSWORD],
    "as in POP": ["USER scanner", f"PASS {PASSWORD}"],
    "the message without AUTH": [PLAIN],
    "a mechanism that is not offered": ["AUTH CRAM-MD5", coded(f"scanner {PASSWORD}")],
}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    listener = {"address": "127.0.0.1:0", "networks": LOOPBACK, "auth": "optional", "auth_without_tls": True}
    # The limit of guesses is another test's.
    limits = {"login_failures": 60, "login_delay": "0s", "errors": 20}
    folder = tmp_path_factory.mktemp("mixed")
    with House(folder, kinds={"only": listener}, user=users(), limits=limits) as running:
        yield running


def test_no_password_that_was_typed_into_the_wrong_place_is_kept(house):
    """The message of PLAIN in answer to "Username:" stood in the log and in the doctor's advice."""
    leaks = []
    for name, lines in MIXED_UP.items():
        before = len(house.log.getvalue())
        with house.connect("only") as client:
            client.greet()
            for line in lines:
                if client.ask(line).startswith("421"):
                    break
        record = house.service.server.recorder.visits("127.0.0.1").last
        advice = house.call(house.service.verbs.find("doctor")("127.0.0.1"))
        seen = house.log.getvalue()[before:] + json.dumps(advice, default=str) + str(record)
        leaks += [f"{name}: {secret}" for secret in (PASSWORD, PLAIN, coded(PASSWORD)) if secret in seen]
    assert not leaks


def test_a_name_that_is_nearly_one_of_ours_is_shown(house):
    """So that the log and the doctor can say what is wrong."""
    until = time.monotonic() + 20
    while '"user": "scan"' not in house.log.getvalue():  # a second has three lines of the kind
        assert time.monotonic() < until
        with house.connect("only") as client:
            client.greet()
            client.ask(f"AUTH PLAIN {coded(f'{chr(0)}scan{chr(0)}x')}")
        time.sleep(0.3)
