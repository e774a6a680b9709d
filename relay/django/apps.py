"""What INSTALLED_APPS loads for "relay.django"."""

from django.apps import AppConfig
from django.core.checks import register
from typing_extensions import override

from relay.django.checks import check_relay


class RelayConfig(AppConfig):
    """Registers the system check."""

    name = "relay.django"
    label = "works_relay"  # "django" by itself, which would say nothing
    verbose_name = "Relay"

    @override
    def ready(self) -> None:
        register(check_relay, deploy=True)
