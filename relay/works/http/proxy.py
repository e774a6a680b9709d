"""The proxy on the way out ([works] proxy), in the forms in which httpcore and httpx take one.

Only https goes through it, by CONNECT (RFC 9110 §9.3.6): what a proxy answers is then never mistaken for an
answer of the host. http is spoken to this machine alone, which no proxy reaches.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

if TYPE_CHECKING:
    import httpcore2 as httpcore
    import httpx2 as httpx


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where a proxy is, and as whom we use it."""

    place: str  # HOST:PORT
    login: tuple[str, SecretStr] | None  # user and password

    @classmethod
    def to(cls, url: str, proxy: SecretStr) -> Self | None:
        """The proxy for what is asked of `url`, of [works] proxy; None: none, or it is not used for that."""
        parts = urlsplit(proxy.get_secret_value())
        if not parts.netloc or urlsplit(url).scheme != "https":
            return None
        place = parts.netloc.rpartition("@")[2]
        if parts.username is None:
            return cls(place, None)
        return cls(place, (unquote(parts.username), SecretStr(unquote(parts.password or ""))))

    def for_httpcore(self) -> "httpcore.Proxy":
        """As httpcore takes it."""
        import httpcore2 as httpcore  # late: it takes a tenth of a second

        login = self._login()
        return httpcore.Proxy(f"http://{self.place}", auth=login and (login[0].encode(), login[1].encode()))

    def for_httpx(self) -> "httpx.Proxy":
        """As httpx takes it."""
        import httpx2 as httpx  # late, likewise

        return httpx.Proxy(f"http://{self.place}", auth=self._login())

    def _login(self) -> tuple[str, str] | None:
        return self.login and (self.login[0], self.login[1].get_secret_value())
