"""Django's door to the relay: an e-mail backend over SMTP that tells what became of each message.

Settings name it as `relay.django.EmailBackend`; `"relay.django"` in INSTALLED_APPS adds the system check.
`relay.django.testing` runs a relay against a simulated Works for tests. The room knows nothing of the
service, which is often on another host: all that they have in common are SMTP and the form of its replies.
"""

from relay.django.backend import EmailBackend
from relay.django.errors import RelayError, Verdict

__all__ = ["EmailBackend", "RelayError", "Verdict"]
