"""The types of relay.toml's keys: how a value is read, and what is said of a wrong one."""

import base64
import binascii
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, parse_qs, urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
)

from relay.config.networks import Network, is_private, names_loopback, read_address
from relay.config.units import Schedule, parse_duration, parse_size

# As the environment gives them, which has nothing but texts.
TRUE_WORDS, _FALSE_WORDS = ("true", "1"), ("false", "0")
_SEAL_KEY = 32  # octets: AES-256
_HIGHEST_PORT = 65535
# A Unix socket's path has 107 octets and a NUL (unix(7)): state_dir, a slash and control.sock.
_LONGEST_STATE_DIR = 107 - len("/control.sock")
_HOSTNAME = re.compile(r"[A-Za-z0-9._:\[\]-]*")

_SEPARATORS = re.compile(r"[,;\s]")


def _not_bool(value: object) -> object:
    # bool is an int to Python, not to whoever wrote the file.
    if isinstance(value, bool):
        raise ValueError("expected a whole number")  # noqa: TRY004 - pydantic wants ValueError
    return value


def _read_flag(value: object) -> object:
    # pydantic takes "yes" and "on" for true as well, which TOML does not.
    if isinstance(value, str) and value.lower() not in TRUE_WORDS + _FALSE_WORDS:
        raise ValueError("expected true or false")
    return value


def _sender(text: str) -> str:
    """A pattern of may_send_as. One that no address fits would let nobody send, and nothing would say why."""
    if _SEPARATORS.search(text):
        raise ValueError('expected one pattern in each pair of quotes, such as "*@example.com"')
    if "@" not in text and "*" not in text:
        wish = f'"*@{text}"' if "." in text else '"*@example.com"'
        raise ValueError(f"expected an address, or a pattern such as {wish}")
    return text


def _domain(text: str) -> str:
    """A pattern of recipient_domains."""
    if _SEPARATORS.search(text):
        raise ValueError('expected one domain in each pair of quotes, such as "*.example.com"')
    if "@" in text:
        raise ValueError(f'expected a domain without @, such as "{text.rpartition("@")[2]}"')
    return text


def _split(value: object) -> object:
    # The environment has no lists.
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def _network(value: object) -> Network:
    try:
        return ip_network(str(value), strict=False)
    except ValueError:
        raise ValueError('expected a network such as "192.168.0.0/16" or "::1/128"') from None


def _split_url(value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        # A port that is none is found by looking at it, a name that is none by its encoding (RFC 3490 §4).
        good = bool(parts.hostname and parts.hostname.encode("idna")) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ValueError('expected a URL such as "https://host.example", its port, if any, from 1 to 65535')
    return parts


def _base_url(value: str) -> str:
    parts = _split_url(value)
    if parts.scheme != "https" and not (parts.scheme == "http" and names_loopback(parts.hostname or "")):
        raise ValueError("expected an https URL (http only to a loopback address)")
    return value.rstrip("/")


def _host_port(value: str) -> str:
    host, colon, port = value.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or "[" in bare or "]" in bare or not port.isdecimal() or int(port) > _HIGHEST_PORT:
        raise ValueError('expected ADDRESS:PORT, such as "127.0.0.1:2525" or "[::]:25"')
    if not bare:
        raise ValueError('expected an address before the port; "0.0.0.0:25" means every one')
    return value


def split_address(value: str) -> tuple[str, int]:
    """Host and port of ADDRESS:PORT, brackets of IPv6 taken off."""
    host, _, port = value.rpartition(":")
    return host.strip("[]"), int(port)


def join_address(host: str, port: int) -> str:
    """ADDRESS:PORT of host and port, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _url(value: str) -> str:
    if _split_url(value).scheme not in ("http", "https"):
        raise ValueError('expected a URL such as "http://localhost:8484/callback"')
    return value


def _proxy(value: SecretStr) -> SecretStr:
    url = value.get_secret_value()
    if not url:
        return value
    try:
        parts = urlsplit(url)
        good = parts.scheme == "http" and bool(parts.hostname and parts.port) and parts.path in ("", "/")
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment:
        raise ValueError(
            'expected "http://HOST:PORT" or "http://USER:PASSWORD@HOST:PORT"; in user and password write '
            "@ as %40, : as %3A, / as %2F, # as %23, % as %25"
        )
    return SecretStr(url.rstrip("/"))


def _alert_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value()
    try:
        parts = urlsplit(url)
        good = not url or (parts.scheme in ("http", "https") and bool(parts.hostname))
    except ValueError:
        good = False
    if not good:
        raise ValueError('expected a URL such as "https://hooks.example.com/…"')
    return value


def _hostname(value: str) -> str:
    # Said in replies, where a space or a line end would begin something else (RFC 5321 §4.1.2).
    if not _HOSTNAME.fullmatch(value):
        raise ValueError('expected a host name such as "relay.example.com"')
    return value


def _database_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("postgresql", "postgres") and len(parts.path) > 1
        secret = parts.password is not None or "password" in parse_qs(parts.query)
    except ValueError:
        good = secret = False
    if secret:
        raise ValueError("expected a URL without a password, which stands in password_file")
    if not good:
        raise ValueError('expected "postgresql://USER@HOST/DATABASE"')
    return value


def _seal_key(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    try:
        good = not text or len(base64.b64decode(text, validate=True)) == _SEAL_KEY
    except binascii.Error:
        good = False
    if not good:
        raise ValueError("expected 32 octets in Base64, made by: openssl rand -base64 32")
    return value


def _state_dir(value: Path) -> Path:
    # Every command has to find the same one, from wherever it is called.
    if not value.is_absolute():
        raise ValueError('expected an absolute path such as "/var/lib/relay"')
    if len(bytes(value)) > _LONGEST_STATE_DIR:
        raise ValueError(f"expected a path of at most {_LONGEST_STATE_DIR} octets, for it has a socket in it")
    return value


def _hash(value: str) -> str:
    # A password itself would stand in the file for all to read, and nobody could log in by it.
    if value and not value.startswith("$argon2"):
        raise ValueError("expected what `relay passwd` prints")
    return value


def _address(value: str) -> str:
    local, at, domain = value.rpartition("@")
    if not local or not at or not domain or any(c.isspace() or c in "<>;," for c in value):
        raise ValueError('expected an address such as "scanner@example.com"')
    return value


def _device(value: str) -> str:
    address = read_address(value)
    if address is None:
        raise ValueError('expected an IP address such as "192.168.1.50"')
    # Anybody behind a public address could send without a login: an open relay.
    if not is_private(address):
        raise ValueError("expected a private address; a device with a public one has to log in")
    return str(address)


Count = Annotated[int, BeforeValidator(_not_bool), Field(ge=0)]
Flag = Annotated[bool, BeforeValidator(_read_flag)]
Duration = Annotated[float, BeforeValidator(parse_duration)]
Size = Annotated[int, BeforeValidator(parse_size)]
Wait = Duration | Literal[""]
Networks = Annotated[
    tuple[Annotated[Network, BeforeValidator(_network)], ...],
    BeforeValidator(_split),
]
Words = Annotated[tuple[str, ...], BeforeValidator(_split)]
Senders = Annotated[tuple[Annotated[str, AfterValidator(_sender)], ...], BeforeValidator(_split)]
Domains = Annotated[tuple[Annotated[str, AfterValidator(_domain)], ...], BeforeValidator(_split)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
HostPort = Annotated[str, AfterValidator(_host_port)]
Url = Annotated[str, AfterValidator(_url)]
AlertUrl = Annotated[SecretStr, AfterValidator(_alert_url)]
ProxyUrl = Annotated[SecretStr, AfterValidator(_proxy)]
Hostname = Annotated[str, AfterValidator(_hostname)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
SealKey = Annotated[SecretStr, AfterValidator(_seal_key)]
StateDir = Annotated[Path, AfterValidator(_state_dir)]
PasswordHash = Annotated[str, AfterValidator(_hash)]
PrivateAddress = Annotated[str, AfterValidator(_device)]
MailAddress = Annotated[str, AfterValidator(_address)]
MailAddresses = Annotated[tuple[MailAddress, ...], BeforeValidator(_split)]
Retries = Annotated[Schedule, BeforeValidator(Schedule.parse)]
Priority = Literal["urgent", "normal", "bulk"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
