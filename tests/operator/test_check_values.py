"""`relay check` sees what stops `serve`, what was left in, and what was hardly meant."""

import json
import socket
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from relay.cli import group
from relay.config.load import build
from relay.config.model import Listener
from relay.host import certificate, systemd
from relay.operator.check import _age, _listener
from relay.operator.findings import Level
from relay.operator.ports import find_port_problems
from relay.operator.suspicions import find_suspicions
from tests.support.relay import grant_of
from tests.support.toml import to_toml

ACCOUNT = {"name": "scanner", "address": "scanner@tomo.co.jp", "default": True}


def config_of(**sections):
    base = {"account": [dict(ACCOUNT)], "console": {"address": ""}, "works": {"client_id": "x"}}
    return build(base | sections, {})


def ports(**sections):
    return [
        (one.subject, one.level, one.text, one.remedy) for one in find_port_problems(config_of(**sections))
    ]


def test_a_port_that_another_program_has():
    """`check` said ok, and `serve` ended with exit code 69."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        (found,) = ports(listener=[{"address": address}])
        assert found[:2] == (f"listener {address}", Level.PROBLEM)
        assert "Address already in use" in found[2]
        assert "end the program that has it" in found[3]
        # The console's keeps nobody's mail.
        (found,) = ports(listener=[{"address": "127.0.0.1:0"}], console={"address": address})
        assert found[:2] == (f"console {address}", Level.WARNING)
    assert ports(listener=[{"address": address}]) == []  # and it was let go again
    assert ports(listener=[{"address": address}]) == []


def test_an_address_that_this_machine_has_not():
    (found,) = ports(listener=[{"address": "192.0.2.1:2525"}])
    assert found[1] is Level.PROBLEM
    assert "this machine does not have the address" in found[3]


def test_a_port_that_systemd_holds_is_no_problem(tmp_path, monkeypatch):
    """Nobody but systemd may open port 25, and it has done so."""
    program = tmp_path / "systemctl"
    program.write_text(
        "#!/bin/sh\nprintf 'ActiveState=active\\nListen=[::]:25 (Stream)\\nListen=0.0.0.0:587 (Stream)\\n'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert systemd.find_unit_ports() == {25, 587}
    assert ports(listener=[{"address": "192.0.2.1:25"}]) == []
    program.write_text("#!/bin/sh\nprintf 'ActiveState=inactive\\nListen=[::]:25 (Stream)\\n'\n")
    assert systemd.find_unit_ports() == frozenset()


@pytest.mark.parametrize(
    ("days", "level", "words"),
    [
        (-1, Level.PROBLEM, "has expired"),
        (6, Level.WARNING, "good for 5 days"),
        (300, Level.OK, "good for 299 days"),
    ],
)
def test_a_certificate_that_ends(tmp_path, days, level, words):
    """Of an expired one it said ok."""
    files = tmp_path / "crt.pem", tmp_path / "key.pem"
    certificate.write(certificate.make(["relay.test"], 365), *files)
    one = Listener(tls="starttls", certificate_file=str(files[0]), private_key_file=str(files[1]))
    expires = (datetime.now(UTC) + timedelta(days=days)).timestamp()
    found = _listener(one, expires)
    assert (found.level, words in found.text) == (level, True)


@pytest.mark.parametrize(
    ("sections", "level", "words"),
    [
        ({"works": {"client_id": "your-client-id"}}, Level.PROBLEM, "is the example's"),
        ({"works": {"scope": "mail,user.read"}}, Level.WARNING, 'scope = "mail user.read"'),
        ({"account": [ACCOUNT | {"address": "scanner@example.com"}]}, Level.WARNING, "is an example"),
        (
            {"listener": [{"networks": ["192.168.1.10/24"]}]},
            Level.WARNING,
            'for one device write "192.168.1.10", for all of them "192.168.1.0/24"',
        ),
        ({"listener": [{"networks": ["192.168.1.10/32", "10.0.0.0/8", "::1", "fd00::/8"]}]}, None, ""),
        ({"works": {"scope": "mail user.read", "client_id": "8f1x"}}, None, ""),
    ],
    ids=lambda value: "" if not isinstance(value, dict) else next(iter(value)),
)
def test_values_that_are_hardly_meant(tmp_path, sections, level, words):
    path = tmp_path / "relay.toml"
    path.write_text(to_toml(sections))
    found = list(find_suspicions(config_of(**sections), [path]))
    assert [one.level for one in found] == ([level] if level else [])
    assert all(words in one.text + one.remedy for one in found)


def test_secrets_that_everybody_can_read(tmp_path):
    """Only client_secret_file was looked at, which nobody needs under systemd."""
    for name in ("client_secret", "key.pem", "relay.toml"):
        (tmp_path / name).write_text("")
    config = config_of()
    listener = config.listener[0].model_copy(update={"private_key_file": str(tmp_path / "key.pem")})
    config = config.model_copy(update={"listener": (listener,)})
    for mode, count in ((0o644, 2), (0o640, 0)):
        for name in ("client_secret", "key.pem"):
            (tmp_path / name).chmod(mode)
        found = list(find_suspicions(config, [tmp_path / "relay.toml"]))
        assert [one.remedy.split()[:2] for one in found] == [["chmod", "o-r"]] * count


def test_days_are_never_below_none(sandbox_grant):
    """ "consent is needed again in -10 days", as a warning, and "may send"."""
    account = config_of().account[0]
    day = 86400.0
    for left, level, words in ((12.5, Level.WARNING, "again in 12 days"), (-10, Level.PROBLEM, "dead")):
        issued = time.time() - 90 * day + left * day
        grant = replace(sandbox_grant, refresh_issued_at=issued, confirmed_at=time.time(), rotation=False)
        found = _age("account scanner", account, grant, "relay login scanner")
        assert (found.level, words in found.text) == (level, True), found


@pytest.fixture
def sandbox_grant():
    from relay.sandbox import Sandbox

    sandbox = Sandbox()
    yield grant_of(sandbox, "scanner@example.com", time.time())
    sandbox.close()


def test_what_a_check_ends_with():
    """ "Mail cannot be relayed yet" was said of an expired certificate, too."""
    from relay.cli.check import _conclude
    from relay.operator.findings import Finding

    beside = Finding("damage 1LOST", Level.PROBLEM, "x", mail_goes=True)
    everybody = Finding("api_url", Level.PROBLEM, "x")
    assert _conclude([], ["scanner"]).startswith("Ready")
    assert _conclude([beside], ["scanner"]).startswith("Mail can be relayed, and a person is needed")
    assert _conclude([beside, everybody], ["scanner"]) == "Mail cannot be relayed now."


def test_one_of_two_accounts_works(tmp_path, monkeypatch):
    """ "Mail cannot be relayed yet" was said of both."""
    from relay.operator.findings import Finding

    async def found(*_):
        for subject, level, account in (
            ("account scanner", Level.PROBLEM, "scanner"),
            ("account erp", Level.OK, "erp"),
            ("python", Level.OK, ""),
        ):
            yield Finding(subject, level, "x", account=account)

    monkeypatch.setattr("relay.operator.check.check", found)
    accounts = [ACCOUNT, ACCOUNT | {"name": "erp", "address": "erp@tomo.co.jp", "default": False}]
    path = tmp_path / "relay.toml"
    path.write_text(to_toml({"state_dir": str(tmp_path), "account": accounts}))
    done = CliRunner().invoke(group, ["check", "--config", str(path)])
    assert done.exit_code == 69
    assert "Mail of erp can be relayed, that of scanner not yet." in done.output
    answer = json.loads(CliRunner().invoke(group, ["check", "--json", "--config", str(path)]).stdout)
    assert [one["account"] for one in answer["findings"]] == ["scanner", "erp", ""]
