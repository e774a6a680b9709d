"""The recipes of docs/programs.md, word for word but for the port."""

import re
import shlex
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

import pytest
from django.test import override_settings

from relay.django.testing import relay_outbox
from tests.support.django_site import NEW, configure

PAGE = (Path(__file__).parents[2] / "docs/programs.md").read_text(encoding="utf-8")


def recipe(name, port):
    """A block of the page, for a relay at this port."""
    text = re.search(rf"^<!-- {name} -->\n```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[1]
    return re.sub(r"\b25\b", str(port), text)


def run(name, port, **known):
    exec(compile(recipe(name, port), f"docs/programs.md: {name}", "exec"), known)
    return known


@pytest.fixture(scope="module")
def outbox():
    configure()
    with relay_outbox() as outbox:
        yield outbox


@pytest.fixture(autouse=True)
def empty(outbox):
    outbox.clear()


def read_settings(outbox):
    values = run("django-new" if NEW else "django-old", outbox.port, INSTALLED_APPS=[])
    return {name: value for name, value in values.items() if name.isupper()}


def test_django(outbox, capsys):
    settings = read_settings(outbox)
    assert settings.pop("INSTALLED_APPS") == ["relay.django"]
    with override_settings(**settings):
        run("django-send", outbox.port)
    verdict, queue_id = capsys.readouterr().out.split()
    assert verdict == "relayed"
    assert queue_id.isalnum()
    assert outbox[0]["to"] == "customer@example.com"
    assert outbox[0]["userName"] == "Shop"


def test_djangos_options(outbox):
    with override_settings(**read_settings(outbox)):
        run("django-options", outbox.port)
    request = outbox[0]
    assert request["securityLevel"] == "Confidential"
    assert (request["isSendSeparately"], request["isSaveSentMail"], request["isSaveTracking"]) == (
        True,
        False,
        True,
    )
    assert "X-Works" not in request["body"]


def test_django_without_a_relay(capsys):
    """The other branch of the recipe."""
    backend = {"BACKEND": "relay.django.EmailBackend", "OPTIONS": {"host": "127.0.0.1", "port": 9}}
    old = {"EMAIL_BACKEND": backend["BACKEND"], "EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": 9}
    with override_settings(**({"MAILERS": {"default": backend}} if NEW else old)):
        run("django-send", 9)
    said = capsys.readouterr().out
    assert said.startswith("4.4.1 ")
    assert said.endswith("try again later\n")


def test_django_tests():
    known = run("django-test", 25, __name__="site_tests")
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(known["OrderTests"])
    assert suite.countTestCases() == 2
    result = unittest.TestResult()
    suite.run(result)
    assert (result.errors, result.failures) == ([], [])


def test_django_with_pytest(outbox):
    assert "outbox" in run("django-pytest", 25)


def test_flask(outbox):
    pytest.importorskip("flask_mail", reason="NOT TESTED: install Flask-Mail")
    known = run("flask", outbox.port, __name__="shop")
    with known["app"].app_context():
        known["confirm"](17, "customer@example.com")
    assert (outbox[0]["to"], outbox[0]["subject"]) == ("customer@example.com", "Order 17")


def test_plain_python(outbox):
    assert run("plain-python", outbox.port)["refused"] == {}
    assert outbox[0]["userName"] == "Shop"


@pytest.mark.skipif(not shutil.which("update-alternatives"), reason="NOT TESTED: no update-alternatives here")
def test_debians_alternatives(tmp_path):
    """The command of the page, below a folder: what it makes is called, and is the relay."""
    (line,) = re.findall(r"^<!-- alternatives -->\n```sh\nsudo (.*?)\n```", PAGE, re.DOTALL | re.MULTILINE)
    program = tmp_path / "opt/relay/bin/relay"
    for folder in (program.parent, tmp_path / "usr/sbin", tmp_path / "usr/bin", tmp_path / "admin"):
        folder.mkdir(parents=True)
    program.write_text(f"#!{sys.executable}\nfrom relay.cli import main\nmain()\n")
    program.chmod(0o755)
    words = shlex.split(line.replace(" /", f" {tmp_path}/").replace("\\\n", ""))
    own = ("--altdir", tmp_path, "--admindir", tmp_path / "admin", "--log", tmp_path / "log", "--quiet")
    subprocess.run([words[0], *map(str, own), *words[1:]], check=True, capture_output=True)
    for name, arguments in (("usr/bin/newaliases", ()), ("usr/sbin/sendmail", ("-bi",))):
        assert subprocess.run([tmp_path / name, *arguments], check=False).returncode == 0
