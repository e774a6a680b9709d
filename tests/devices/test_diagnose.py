"""What the doctor says of a session: pure, a record in, sentences out."""

import json

import pytest

from relay import reply
from relay.config.load import build
from relay.devices.doctor import BY_REPLY, BY_TROUBLE, diagnose
from relay.devices.doctor.login import nearest
from relay.devices.recorder import DeviceFault, Recorder
from tests.support.at_once import at_once

HASH = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g"
PLAIN, STARTTLS, IMPLICIT, LEGACY = "0.0.0.0:25", "0.0.0.0:587", "0.0.0.0:465", "0.0.0.0:5870"


def config(**more):
    tls = {"certificate_file": "cert.pem"}
    private = {"networks": ["192.168.1.0/24"]}
    return build(
        {
            "hostname": "relay.example.com",
            "account": [{"name": "scanner", "address": "scanner@example.com"}],
            "user": [{"name": "scanner", "password_hash": HASH, "may_send_as": ["scanner@example.com"]}],
            "listener": [
                {"address": PLAIN, **private},
                {"address": STARTTLS, "tls": "starttls", "auth": "required", **tls, **private},
                {"address": IMPLICIT, "tls": "implicit", "auth": "required", **tls, **private},
                {"address": LEGACY, "tls": "starttls", "tls_profile": "legacy", **tls, **private},
            ],
            **more,
        },
        {},
    )


def session(*script, listener=PLAIN, client="192.168.1.50", offered="", troubles=()):
    """Replies stand for themselves, texts are commands."""
    record = Recorder().open(client, listener, "a1b2c3d4")
    record.offered = offered
    for line in script:
        record.heard(line) if isinstance(line, str) else record.said(line)
    for trouble, detail in dict(troubles).items():
        record.note(trouble, detail)
    record.close()
    return record


def advice(*script, configuration=None, **more):
    return diagnose(session(*script, **more), configuration or config())


def text(*script, **more):
    found = advice(*script, **more)
    assert len(found) == 1, found
    return found[0].text


def test_a_good_session_needs_no_advice():
    assert advice("EHLO printer", reply.OK, "MAIL FROM:<a@example.com>", reply.SENDER_OK, "QUIT") == []


@pytest.mark.parametrize("version", ["TLS 1.0", "TLS 1.1"])
@pytest.mark.parametrize("listener", [STARTTLS, IMPLICIT])
def test_old_tls(version, listener):
    said = text(listener=listener, offered=version, troubles={DeviceFault.TLS_FAILED: "UNSUPPORTED_PROTOCOL"})
    assert said == (
        f'this device offers only {version}: give it a listener of its own with tls_profile = "legacy", '
        "or switch SSL/TLS off on its panel and choose port 25."
    )


def test_tls_that_even_the_legacy_profile_has_not():
    said = text(listener=LEGACY, offered="SSL 3.0", troubles={DeviceFault.TLS_FAILED: "UNSUPPORTED_PROTOCOL"})
    assert "SSL 3.0" in said
    assert 'tls = "none"' in said


def test_tls_on_a_plain_port_names_the_way_that_is_there():
    said = text(troubles={DeviceFault.TLS_ON_PLAIN_PORT: ""})
    assert said == (
        "it sent a TLS handshake to the plain port 25: choose STARTTLS and port 587 on its panel, or "
        "choose port 465."
    )
    said = text(listener=STARTTLS, troubles={DeviceFault.TLS_ON_PLAIN_PORT: ""})
    assert said == (
        "it sent a TLS handshake to the plain port 587: choose STARTTLS on its panel (not SSL), or choose "
        "port 465."
    )
    alone = config(listener=[{"address": PLAIN}])
    said = text(configuration=alone, troubles={DeviceFault.TLS_ON_PLAIN_PORT: ""})
    assert "switch SSL/TLS off" in said
    assert "relay certificate" in said


@pytest.mark.parametrize(
    "trouble", [{DeviceFault.PLAIN_ON_TLS_PORT: ""}, {DeviceFault.TLS_FAILED: "HTTP_REQUEST"}]
)
def test_plain_text_on_a_tls_port(trouble):
    said = text(listener=IMPLICIT, troubles=trouble)
    assert said.startswith("it speaks plain text on port 465, which is TLS from the first octet")


@pytest.mark.parametrize(
    ("reason", "problem", "words"),
    [
        ("TLSV1_ALERT_UNKNOWN_CA", "certificate-not-trusted", "among those that the device trusts"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "certificate-not-trusted", "among those that the device trusts"),
        ("SSLV3_ALERT_CERTIFICATE_UNKNOWN", "certificate-not-trusted", "among those"),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "certificate-expired", "clock"),
        ("TLSV1_UNRECOGNIZED_NAME", "certificate-name", "relay certificate NAME"),
        ("NO_SHARED_CIPHER", "no-shared-cipher", 'tls_profile = "legacy"'),
        ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "client-certificate", "client_ca_file"),
        ("UNEXPECTED_EOF_WHILE_READING", "tls-broken-off", "unexpected eof while reading"),
        ("", "tls-broken-off", "no reason given"),
    ],
)
def test_tls_that_failed(reason, problem, words):
    (found,) = advice(listener=STARTTLS, troubles={DeviceFault.TLS_FAILED: reason})
    assert found.problem == problem
    assert words in found.text


def test_no_cipher_even_with_the_legacy_profile():
    said = text(listener=LEGACY, troubles={DeviceFault.TLS_FAILED: "NO_SHARED_CIPHER"})
    assert "RC4" in said


def login(name):
    return {DeviceFault.LOGIN_FAILED: name}


def test_an_unknown_user_and_the_one_that_was_meant():
    said = text("AUTH LOGIN", reply.LOGIN_REFUSED, listener=STARTTLS, troubles=login("scan"))
    assert said == "it logs in as 'scan', which is no user here; did you mean 'scanner'?"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("scaner", "scanner"),
        ("SCANNER", "scanner"),
        ("scanner@example.com", "scanner"),
        ("Scan", "scanner"),
        ("warehouse", None),
        ("", None),
        ("x" * 5000, None),
    ],
)
def test_the_nearest_name(typed, meant):
    assert nearest(typed, ["scanner", "erp"]) == meant


def test_a_wrong_password():
    said = text("AUTH PLAIN x", reply.LOGIN_REFUSED, listener=STARTTLS, troubles=login("scanner"))
    assert "with a wrong password" in said


def test_a_works_mailbox_instead_of_a_user():
    said = text(
        reply.LOGIN_REFUSED,
        troubles=login("scanner@example.com"),
        configuration=config(user=[{"name": "erp", "password_hash": HASH}]),
    )
    assert "needs nobody's Works password" in said


def test_a_login_where_nobody_is_configured():
    said = text(reply.LOGIN_REFUSED, troubles=login("scan"), configuration=config(user=[]))
    assert "no [[user]] is configured" in said


def test_three_guesses_are_one_advice():
    script = ["AUTH LOGIN", reply.LOGIN_REFUSED] * 2 + ["AUTH LOGIN", reply.TOO_MANY_LOGINS]
    assert text(*script, troubles=login("scan")).endswith("did you mean 'scanner'?")


def test_a_wrong_sender():
    record = session(
        "EHLO x", reply.OK, "AUTH LOGIN", "MAIL FROM:<x@old.example> SIZE=100", reply.SENDER_NOT_ALLOWED
    )
    record.user = "scanner"
    (found,) = diagnose(record, config())
    assert found.text.startswith("it sends as x@old.example; add it to may_send_as of the user 'scanner'")


def test_a_user_that_may_send_as_nobody_and_gives_no_sender():
    """Its empty address made a sentence with a hole."""
    assert "empty sender address" in text("EHLO x", reply.OK, "MAIL FROM:<>", reply.SENDER_NOT_ALLOWED)


def test_a_wrong_network():
    said = text(reply.NETWORK_NOT_ALLOWED, client="192.168.7.9")
    assert 'add "192.168.7.9", or its whole network "192.168.7.0/24", to networks' in said
    assert "relay learn 192.168.7.0/24 --for 15m" in said


def test_a_public_address_is_never_simply_added():
    said = text(reply.NETWORK_NOT_ALLOWED, client="8.8.8.8")
    assert 'auth = "required"' in said
    assert "relay learn" not in said


@pytest.mark.parametrize(
    ("script", "listener", "problem", "words"),
    [
        (["AUTH LOGIN", reply.AUTH_NEEDS_TLS], STARTTLS, "login-before-tls", "choose STARTTLS"),
        (["AUTH LOGIN", reply.AUTH_NEEDS_TLS], PLAIN, "login-before-tls", "auth_without_tls = true"),
        (["AUTH LOGIN", reply.NO_AUTH], PLAIN, "login-not-offered", '"no authentication"'),
        (["AUTH CRAM-MD5", reply.UNKNOWN_MECHANISM], STARTTLS, "login-mechanism", "by CRAM-MD5"),
        (["AUTH LOGIN", reply.AUTH_BAD_BASE64], STARTTLS, "login-garbled", "Base64"),
        (["MAIL FROM:<a@b.example>", reply.LOGIN_REQUIRED], IMPLICIT, "login-needed", "user name and pass"),
        (["MAIL FROM:<a@b.example>", reply.LOGIN_REQUIRED], STARTTLS, "login-needed", "choose STARTTLS"),
        (["STARTTLS", reply.NO_TLS], PLAIN, "no-starttls", "switch encryption off"),
        (["RCPT TO:<a@b>;<c@d>", reply.ONE_ADDRESS], PLAIN, "several-addresses", "its own entry"),
        (["MAIL FROM:<a@b>;", reply.ONE_SENDER], PLAIN, "several-senders", "(a@b;)"),
        (["RCPT TO:<yamada>", reply.NO_DOMAIN], PLAIN, "recipient-without-domain", "'yamada'"),
        (['RCPT TO:<"a b"@c>', reply.BAD_FORWARD_PATH], PLAIN, "bad-recipient", "address book"),
        (["MAIL FROM:<a..@>", reply.BAD_REVERSE_PATH], PLAIN, "bad-sender", "'a..@'"),
        (
            ["MAIL FROM:<a@b.example> SIZE=9", reply.TOO_LARGE],
            PLAIN,
            "too-large",
            "(files of 20.0 MB",
        ),
        (["DATA", reply.TOO_LARGE], PLAIN, "too-large", "less dpi"),
        (["RCPT TO:<a@b.example>", reply.NO_ACCOUNT], PLAIN, "no-account", "default = true"),
        (["GET / HTTP/1.1", reply.NOT_HTTP], PLAIN, "http", "browser"),
        (["DATA", reply.SPOOL_FULL], PLAIN, "relay-trouble", "relay check"),
        (["XYZZY", reply.UNKNOWN_COMMAND], PLAIN, "not-smtp", "not an SMTP command, 5 characters"),
        (["NOOP", reply.IDLE_TOO_LONG], PLAIN, "timeout", "said nothing"),
    ],
)
def test_refusals(script, listener, problem, words):
    (found,) = advice(*script, listener=listener)
    assert found.problem == problem
    assert words in found.text


@pytest.mark.parametrize(
    ("script", "listener", "phase", "problem", "words"),
    [
        ([], PLAIN, "command", "hung-up-after-banner", "without a word"),
        (["EHLO x", reply.OK], PLAIN, "command", "hung-up-after-greeting", "STARTTLS or a login (AUTH)"),
        (["EHLO x", reply.OK], STARTTLS, "command", "hung-up-after-greeting", "after STARTTLS only"),
        (["EHLO x", reply.OK, "STARTTLS"], STARTTLS, "tls", "certificate-not-trusted", "trust"),
        (["EHLO x", "MAIL FROM:<>", "DATA"], PLAIN, "data", "hung-up-in-data", "nothing was kept"),
        (["EHLO x", "MAIL FROM:<>", "DATA"], PLAIN, "reply", "impatient", 'wait = "0s"'),
    ],
)
def test_hanging_up(script, listener, phase, problem, words):
    (found,) = advice(*script, listener=listener, troubles={DeviceFault.HUNG_UP: phase})
    assert found.problem == problem
    assert words in found.text


@pytest.mark.parametrize("script", [[], ["EHLO x", reply.OK]])
def test_a_device_that_speaks_tls_is_not_told_to_choose_it(script):
    """On a port that is TLS from the first octet it had what the sentence says it waits for."""
    record = Recorder().open("192.168.1.50", IMPLICIT, "a1b2c3d4")
    record.secured("TLSv1.3", "TLS_AES_256_GCM_SHA384")
    for line in script:
        record.heard(line) if isinstance(line, str) else record.said(line)
    record.hung_up("command")
    listener = {"address": IMPLICIT, "tls": "implicit", "certificate_file": "cert.pem"}
    (found,) = diagnose(record, config(listener=[listener, {"address": STARTTLS}]))
    assert found.problem == ("hung-up-after-greeting" if script else "hung-up-after-banner")
    assert "TLS" not in found.text
    assert "encryption" not in found.text


def test_hanging_up_after_mail_was_taken_is_no_trouble():
    assert advice("EHLO x", "MAIL FROM:<>", "DATA", reply.OK, troubles={DeviceFault.HUNG_UP: "command"}) == []


def test_a_device_that_ends_its_data_with_a_bare_line_feed():
    troubles = {DeviceFault.TIMEOUT: "data", DeviceFault.BARE_DOT: ""}
    (found,) = advice("DATA", reply.IDLE_TOO_LONG, troubles=troubles)
    assert found.problem == "bare-dot"


def test_a_device_that_ends_its_data_with_a_bare_line_feed_and_gives_up_first():
    """It does so long before the relay: its switch and its network are not to blame."""
    (found,) = advice("DATA", troubles={DeviceFault.HUNG_UP: "data", DeviceFault.BARE_DOT: ""})
    assert found.problem == "bare-dot"


def test_what_follows_from_a_refusal_is_not_told_as_well():
    script = ["RCPT TO:<yamada>", reply.NO_DOMAIN, "DATA", reply.NO_RECIPIENTS]
    assert [a.problem for a in advice(*script)] == ["recipient-without-domain"]


def test_a_message_that_works_refused_points_to_its_trace():
    said = text("DATA", reply.refused("5.6.0", "the subject is empty", "20261122-abcdef"))
    assert said == "its message was refused: the subject is empty; relay trace 20261122-abcdef says more."


REFUSALS = {
    name: value for name, value in vars(reply).items() if isinstance(value, reply.Reply) and value.code >= 400
}


@at_once
@pytest.mark.parametrize("name", REFUSALS)
def test_every_refusal_has_a_rule(name):
    """A reply that is added gets its advice, or says by None that nothing has to change."""
    assert REFUSALS[name] in BY_REPLY


def test_every_trouble_has_a_rule():
    assert set(BY_TROUBLE) == set(DeviceFault)


@at_once
@pytest.mark.parametrize("listener", [PLAIN, STARTTLS, "192.0.2.1:99"])
@pytest.mark.parametrize("answer", REFUSALS.values(), ids=REFUSALS)
def test_no_rule_fails_whatever_the_session_was(answer, listener):
    """Also for a listener that is no longer configured, and for an answer to nothing."""
    for script in ([answer], ["", answer], ["MAIL", answer], ["RCPT TO:<>", answer]):
        for one in advice(*script, listener=listener):
            assert one.text.endswith((".", "?", "15m", "passwd", "NAME", "says more"))
            assert json.dumps(one.text, ensure_ascii=True)


@pytest.mark.parametrize("secret", ["aHVudGVyMg==", "hunter2"])
def test_no_secret_is_kept(secret):
    """Whatever comes after a refused AUTH may be a password, and so may a command's argument."""
    record = session(
        f"AUTH PLAIN {secret}", f"auth {secret}", secret, f"{secret} x", f"NOOP {secret}", f"QUIT {secret}"
    )
    kept = " ".join(text for line in record.lines for text in line.texts)
    assert secret not in kept
    assert secret.upper() not in kept


def test_a_session_is_bounded():
    """A client that talks for ever keeps its beginning and its end."""
    record = session(*(f"RCPT TO:<a{n}@{'x' * 5000}>" for n in range(1000)))
    assert len(record.lines) <= 120
    assert record.left_out > 800
    assert record.lines[1].text.startswith("RCPT TO:<a0@")
    assert record.lines[-2].text.startswith("RCPT TO:<a999@")
    assert max(len(line.text) for line in record.lines) <= 200


def test_addresses_are_bounded():
    recorder = Recorder(most=100)
    for n in range(1000):
        recorder.open(f"10.0.{n // 256}.{n % 256}", PLAIN, "s").close()
    assert len(recorder.all()) == 100
    assert recorder.visits("10.0.3.231") is not None
    assert recorder.visits("10.0.0.0") is None


def test_a_troubled_session_outlives_the_next_good_one():
    recorder = Recorder()
    bad = recorder.open("192.168.1.5", PLAIN, "one")
    bad.said(reply.NO_DOMAIN)
    bad.close()
    good = recorder.open("192.168.1.5", PLAIN, "two")
    good.close()
    visits = recorder.visits("192.168.1.5")
    assert (visits.last, visits.troubled) == (good, bad)
