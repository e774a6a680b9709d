"""A Django site's settings for a relay: those of Django 6.1, and those before."""

import django
from django.conf import settings
from django.core import mail
from django.test import override_settings

NEW = django.VERSION >= (6, 1)  # MAILERS in place of EMAIL_…


def configure():
    """What manage.py does; once for a process."""
    if not settings.configured:
        # Django 6.1 calls the settings before MAILERS deprecated, and warnings are errors.
        nobody = {"MAILERS": {"default": {"BACKEND": "django.core.mail.backends.dummy.EmailBackend"}}}
        settings.configure(SECRET_KEY="x" * 50, **(nobody if NEW else {}))
        django.setup()


def at(port, **options):
    """A site's settings for a relay at this port."""
    backend = "relay.django.EmailBackend"
    if NEW:
        options = {"host": "127.0.0.1", "port": port, **options}
        return override_settings(MAILERS={"default": {"BACKEND": backend, "OPTIONS": options}})
    before = {"username": "host_user", "password": "host_password"}
    more = {f"EMAIL_{before.get(name, name).upper()}": value for name, value in options.items()}
    return override_settings(EMAIL_BACKEND=backend, EMAIL_HOST="127.0.0.1", EMAIL_PORT=port, **more)


def connect(**options):
    """The backend as a program holds it."""
    return mail.mailers["default"] if NEW else mail.get_connection(**options)
