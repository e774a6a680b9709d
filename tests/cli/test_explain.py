"""`relay explain`, run as people and scripts run it."""

import base64
import hashlib
import json
import os
import subprocess

import pytest

from tests.support import warm

PDF = bytes(range(256)) * 700
MESSAGE = (
    (
        "From: Scan <scan@example.com>\r\nTo: a@example.com\r\nCc: b@example.com\r\nBcc: c@example.com\r\n"
        "Subject: 報告\r\n"
        "Reply-To: desk@example.net\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n本文です\r\n"
        "--b\r\nContent-Type: application/pdf; name=a.pdf\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n"
    ).encode()
    + base64.encodebytes(PDF).replace(b"\n", b"\r\n")
    + b"--b--\r\n"
)


@pytest.fixture
def run(tmp_path):
    def run(*arguments, stdin=b"", code=0):
        environ = {k: v for k, v in os.environ.items() if not k.startswith("RELAY_")}
        command = [*warm.relay(), "explain", *arguments]
        done = subprocess.run(
            command, input=stdin, capture_output=True, check=False, env=environ, cwd=tmp_path
        )
        assert done.returncode == code, done.stderr.decode()
        assert b"Traceback" not in done.stderr
        return done.stdout.decode()

    return run


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "m.eml"
    path.write_bytes(MESSAGE)
    return str(path)


def test_the_whole_request(run, file):
    found = json.loads(run(file, "--json"))
    assert list(found) == ["request", "losses"]
    request = found["request"]
    assert (request["to"], request["cc"], request["bcc"]) == (
        "a@example.com",
        "b@example.com",
        "c@example.com",
    )
    assert base64.b64decode(request["attachments"][0]["data"], validate=True) == PDF
    (loss,) = [loss for loss in found["losses"] if loss["loss"] == "reply-to"]
    assert loss["weight"] == "notable"
    assert request["body"] == loss["added"] + "本文です"


def test_no_data(run, file):
    (one,) = json.loads(run(file, "--json", "--no-data"))["request"]["attachments"]
    assert one["size"] == len(PDF)
    assert one["sha256"] == hashlib.sha256(PDF).hexdigest()
    assert "data" not in one


def test_standard_input_line_ends_and_an_envelope(run):
    whole = json.loads(run("-", "--json", "--rcpt", "z@example.com", stdin=MESSAGE))
    assert whole["request"]["to"] == "z@example.com"
    for octets in (MESSAGE.replace(b"\r\n", b"\n"), MESSAGE.replace(b"\r\n", b"\r")):
        assert json.loads(run("-", "--json", "--rcpt", "z@example.com", stdin=octets)) == whole


def test_several_files_and_the_highest_exit_code(run, file, tmp_path):
    bad = tmp_path / "bad.eml"
    bad.write_bytes(b"Subject: " + b"a" * 70_000 + b"\r\n\r\nx")
    lines = [json.loads(line) for line in run(file, str(bad), file, "--json", code=65).splitlines()]
    assert [line["file"] for line in lines] == [file, str(bad), file]
    assert lines[1]["error"]["status"] == "5.6.0"
    assert lines[0]["request"] == lines[2]["request"]


def test_refused(run, file, tmp_path):
    config = tmp_path / "relay.toml"
    config.write_text('[works]\nattachment_limit = "100KB"\n')
    found = json.loads(run(file, "--json", "--config", str(config), code=65))
    assert found["error"]["status"] == "5.3.4"
    assert "dpi" in found["error"]["reason"]


def test_no_address_at_all(run):
    found = json.loads(run("-", "--json", stdin=b"To: undisclosed-recipients:;\r\n\r\nx"))
    assert found["request"]["to"] == ""
    assert "no-recipient" in [loss["loss"] for loss in found["losses"]]


def test_an_address_that_the_api_would_split_is_not_given_to_it(run):
    found = json.loads(run("-", "--json", stdin=b'To: "x;evil"@example.com, a@example.com\r\n\r\nx'))
    assert found["request"]["to"] == "a@example.com"
    assert "recipient-address" in [loss["loss"] for loss in found["losses"]]


def test_for_people(run, file):
    shown = run(file)
    assert "報告" in shown
    assert "a.pdf" in shown
    assert "reply-to" in shown


def test_a_file_that_is_not_there(run):
    run("nowhere.eml", code=66)


def test_a_losses_table_with_an_unknown_name(run, file, tmp_path):
    config = tmp_path / "relay.toml"
    config.write_text('[losses]\nreply_two = "keep"\n')
    run(file, "--json", "--config", str(config), code=78)


def test_one_object_is_one_line_to_unicode_too(run, tmp_path):
    """Readers that split at Unicode's line ends (U+0085, U+2028) must not cut an object in two."""
    for name in ("a.eml", "b.eml"):
        body = "one\u2028two\u0085three\u2029four".encode()
        (tmp_path / name).write_bytes(
            b"To: a@example.com\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + body
        )
    lines = run("--json", "a.eml", "b.eml").splitlines()
    assert [json.loads(line)["request"]["body"] for line in lines] == [
        "one\u2028two\u0085three\u2029four"
    ] * 2


def test_the_account_is_the_one_that_a_session_would_take(run, tmp_path):
    """It looked at Sender where there is no From, and knew no user: other accounts were shown than sent."""
    accounts = "".join(
        f'[[account]]\nname = "{name}"\naddress = "{name}@example.com"\nuser_name = "{name}"\n'
        f"default = {default}\n"
        for name, default in [("scanner", "true"), ("erp", "false"), ("printer", "false")]
    )
    (tmp_path / "relay.toml").write_text(
        f'{accounts}[[user]]\nname = "u"\npassword_hash = "$argon2id$x"\naccount = "erp"\n'
        '[[device]]\naddress = "192.168.1.50"\naccount = "printer"\n'
    )
    message = b"Sender: erp@example.com\r\nTo: a@example.com\r\n\r\nx"

    def explain(*more):
        arguments = ("-", "--json", "--config", str(tmp_path / "relay.toml"), *more)
        return json.loads(run(*arguments, stdin=message))["request"]["userName"]

    assert explain() == "scanner"
    assert explain("--from", "erp@example.com") == "erp"
    assert explain("--client", "192.168.1.50") == "printer"
    assert explain("--client", "192.168.1.50", "--user", "u") == "erp"
    run("-", "--config", str(tmp_path / "relay.toml"), "--user", "none", stdin=message, code=64)


def test_options_by_field_are_those_of_a_session(run, tmp_path):
    (tmp_path / "relay.toml").write_text('[[device]]\naddress = "192.168.1.50"\noptions_by_field = true\n')
    message = b"To: a@example.com\r\nX-Works-Tracking: yes\r\n\r\nx"
    arguments = ("-", "--json", "--config", str(tmp_path / "relay.toml"))
    plain = json.loads(run(*arguments, stdin=message))
    assert plain["request"]["isSaveTracking"] is False
    assert "options" in [one["loss"] for one in plain["losses"]]
    chosen = json.loads(run(*arguments, "--client", "192.168.1.50", stdin=message))
    assert chosen["request"]["isSaveTracking"] is True
    wrong = message.replace(b"yes", b"maybe")
    refused = json.loads(run(*arguments, "--client", "192.168.1.50", stdin=wrong, code=65))
    assert refused["error"] == {"status": "5.6.0", "reason": "X-Works-Tracking: expected yes or no"}
