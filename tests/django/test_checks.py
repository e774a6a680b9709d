"""The system check of `manage.py check --deploy`."""

import os
import subprocess
import sys

from django.core.checks import ERROR, WARNING
from django.test import override_settings

from relay.django.checks import check_relay
from tests.support.django_site import NEW, at
from tests.support.ports import free_port
from tests.support.smtp_server import fake_server

HELLO, OK, BYE = b"250 fake\r\n", b"250 2.0.0 OK\r\n", b"221 2.0.0 bye\r\n"
SITE = {"DEFAULT_FROM_EMAIL": "Shop <scanner@example.com>", "SERVER_EMAIL": "root@example.net"}
# A site's settings, as a file: a fixture cannot configure a process of its own.
SETTINGS = """
INSTALLED_APPS = ["relay.django"]
SECRET_KEY = "x" * 50
EMAIL_BACKEND, EMAIL_HOST, EMAIL_PORT = "relay.django.EmailBackend", "127.0.0.1", {port}
"""
MAILERS = """
INSTALLED_APPS = ["relay.django"]
SECRET_KEY = "x" * 50
MAILERS = {{
    "default": {{"BACKEND": "relay.django.EmailBackend", "OPTIONS": {{"host": "127.0.0.1", "port": {port}}}}}
}}
"""


def test_a_relay_that_takes_the_sites_mail():
    """It asks, and sends nothing."""
    with at(fake_server(HELLO, OK, OK, OK, OK, OK, OK, BYE)), override_settings(**SITE):
        assert check_relay() == []


def test_an_address_that_no_account_has():
    """The other setting's address is asked about all the same."""
    nobody = b"550 5.7.1 no Works account sends for this address\r\n"
    port = fake_server(HELLO, OK, OK, OK, OK, nobody, OK, BYE)
    with at(port), override_settings(**SITE):
        (problem,) = check_relay()
    assert (problem.id, problem.level) == ("works_relay.W002", WARNING)
    assert "SERVER_EMAIL (root@example.net): 550 5.7.1 no Works account" in problem.msg


def test_a_relay_that_lets_nobody_in():
    with at(fake_server(b"535 5.7.8 wrong\r\n", banner=b"554 5.7.1 not from there\r\n")):
        (problem,) = check_relay()
    assert (problem.id, problem.level) == ("works_relay.E001", ERROR)


def test_another_backend_is_none_of_ours():
    backend = "django.core.mail.backends.locmem.EmailBackend"
    there = {"MAILERS": {"default": {"BACKEND": backend}}} if NEW else {"EMAIL_BACKEND": backend}
    with override_settings(**there):
        assert check_relay() == []


def test_deploy_checks_ask_the_relay(tmp_path):
    """INSTALLED_APPS has it, and an ordinary `check`, which migrate makes too, does not wait for a relay."""
    port = free_port()
    (tmp_path / "site_settings.py").write_text((MAILERS if NEW else SETTINGS).format(port=port))
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "site_settings", "PYTHONPATH": str(tmp_path)}
    said = [
        subprocess.run(
            [sys.executable, "-m", "django", "check", *options],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stderr
        for options in ([], ["--deploy"])
    ]
    assert "works_relay" not in said[0]
    assert "works_relay.W001) The relay cannot be reached" in said[1]
