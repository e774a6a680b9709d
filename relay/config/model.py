"""relay.toml: every key declared once, with its type, default, unit and meaning.

The models are the declaration; `relay.toml` at the top of the project is the commented reference,
held to the models by a test. Reading and reporting stand in `load`.
"""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from relay.config.fields import (
    AlertUrl,
    BaseUrl,
    Count,
    DatabaseUrl,
    Domains,
    Duration,
    Flag,
    Hostname,
    HostPort,
    MailAddress,
    MailAddresses,
    Name,
    Networks,
    PasswordHash,
    Priority,
    PrivateAddress,
    ProxyUrl,
    Retries,
    SealKey,
    Senders,
    Size,
    StateDir,
    Url,
    Wait,
    Words,
    split_address,
)
from relay.config.networks import Network, find_wide, names_loopback
from relay.config.units import Schedule, parse_size
from relay.mail import Policy, SecurityLevel

EMBEDDED = "sqlite"  # the spool of one node, in state_dir
_LOOPBACK = ("127.0.0.0/8", "::1/128")
# Base64 with its line ends takes 1.37 times the octets; the rest is for texts and fields.
WIRE_FACTOR, _WIRE_EXTRA = 1.37, 2 * 1024 * 1024


def _across(text: str) -> PydanticCustomError:
    """A problem of several keys of a table.

    Found at the last of them, when those before it that are right are in `info.data`: a check of the whole
    table would be left out where any key is wrong, and its problem be told only when that one is mended.
    """
    return PydanticCustomError("across_keys", "{text}", {"text": text})


class Section(BaseModel):
    """A table of relay.toml: unknown keys are errors, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Works(Section):
    """The app, as the Works Developer Console shows it."""

    client_id: str = Field("", description="the app's client ID")
    client_secret: SecretStr = Field(SecretStr(""), description="the app's client secret")
    client_secret_file: str = Field("", description="a file that holds the client secret")
    api_url: BaseUrl = Field("https://www.worksapis.com/v1.0", description="where the API is")
    auth_url: BaseUrl = Field("https://auth.worksmobile.com/oauth2/v2.0", description="where OAuth is")
    redirect_url: Url = Field("http://localhost:8484/callback", description="registered with the app")
    scope: str = Field("mail", description="what consent is asked for")
    proxy: ProxyUrl = Field(SecretStr(""), description="http://[USER:PASSWORD@]HOST:PORT, on the way out")
    proxy_file: str = Field("", description="a file that holds the proxy's URL")
    requests_per_minute: Count = Field(240, description="the plan's limit for the domain; 0: no limit")
    recipients_per_mail: Count = Field(500, description="in one request; 0: no limit")
    attachment_limit: Size = Field(parse_size("20MB"), description="decoded, all together; 0: no limit")
    concurrency: Annotated[Count, Field(ge=1, le=1000)] = Field(20, description="requests under way at once")
    connect_timeout: Duration = Field(10.0, description="to reach the API")
    read_timeout: Duration = Field(180.0, description="for the answer, after the body; short ones duplicate")


class Account(Section):
    """A Works mailbox that consented, or will."""

    name: Name = Field(description="what the relay calls it")
    address: MailAddress = Field(description="the mailbox's address")
    default: Flag = Field(default=False, description="sends what no other account matches")
    user_id: str = Field("me", min_length=1, description='"me", or the member\'s ID or login ID')
    user_name: str = Field("", description="the sender's display name; empty: the From's")
    save_sent: Flag = Field(default=True, description="keep a copy in Sent")
    tracking: Flag = Field(default=False, description="read tracking")
    send_separately: Flag = Field(default=False, description="one message for each recipient")
    security_level: SecurityLevel = ""
    mails_per_minute: Count = Field(60, description="the mailbox's limit; 0: no limit")
    recipients_per_day: Count = Field(20_000, description="in 24 hours; 0: no limit")


_CLOSE_IT = 'set auth = "required", or name only loopback or private networks'


class Listener(Section):
    """An address where clients may speak SMTP."""

    address: HostPort = Field("127.0.0.1:2525", description="ADDRESS:PORT")
    tls: Literal["none", "starttls", "implicit"] = "none"
    tls_profile: Literal["modern", "legacy"] = "modern"
    auth: Literal["off", "optional", "required"] = "off"
    networks: Networks = Field(tuple(ip_network(n) for n in _LOOPBACK), description="who may connect")
    # The defaults that `validate_default` looks at are right or wrong by what stands before them.
    certificate_file: str = Field("", validate_default=True, description="PEM, for starttls and implicit")
    private_key_file: str = Field("", description="PEM; empty: in certificate_file")
    auth_without_tls: Flag = Field(
        default=False, validate_default=True, description="AUTH in plain text, for these networks"
    )
    message_limit: Size | Literal[""] = Field("", description="the SIZE advertised")
    priority: Priority = Field("normal", description="of its mail, among sources that wait")
    recipient_domains: Domains | None = Field(None, description='such as "*.example.com"; absent: any')
    proxy_networks: Networks = Field((), description="balancers whose PROXY header names the client")
    client_ca_file: str = Field("", description="PEM; certificates of these may stand for a user")
    account: str = Field("", description="the account that sends; empty: chosen by address")
    may_send_as: Senders | None = Field(None, description='patterns such as "*@example.com"; absent: any')
    require_tls: Flag = Field(default=False, description="530 before TLS, with or without a login")
    wait: Wait = Field("", description="as in [delivery], for whoever comes here; empty: as there")
    options_by_field: Flag = Field(default=False, description="X-Works fields choose a message's options")

    @field_validator("networks", "proxy_networks")
    @classmethod
    def _check_open(cls, networks: tuple[Network, ...], info: ValidationInfo) -> tuple[Network, ...]:
        wide = find_wide(networks)
        if wide and info.data.get("auth", "required") != "required":
            # By a PROXY header its sender is whoever it says it is, within `networks` too.
            proxied = ", for whoever is in proxy_networks chooses the client address"
            why = proxied if info.field_name == "proxy_networks" else ""
            raise _across(f"anybody in {wide} could send (an open relay){why}: {_CLOSE_IT}")
        return networks

    @field_validator("certificate_file")
    @classmethod
    def _check_certificate(cls, certificate_file: str, info: ValidationInfo) -> str:
        tls = info.data.get("tls", "none")
        if tls != "none" and not certificate_file:
            raise _across(f'certificate_file is needed for tls = "{tls}"')
        return certificate_file

    @field_validator("require_tls")
    @classmethod
    def _check_tls(cls, require_tls: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic's
        if require_tls and info.data.get("tls") == "none":
            raise _across('require_tls needs tls = "starttls" or "implicit"')
        return require_tls

    @field_validator("auth_without_tls")
    @classmethod
    def _check_secrecy(cls, auth_without_tls: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic's
        if not auth_without_tls and (info.data.get("tls"), info.data.get("auth")) == ("none", "required"):
            raise _across('auth = "required" needs tls, or auth_without_tls = true')
        return auth_without_tls


class User(Section):
    """Somebody who logs in by SMTP AUTH."""

    name: str = Field(min_length=1, max_length=255)
    password_hash: PasswordHash = Field("", description="made by `relay passwd`")
    certificate: str = Field(
        "", validate_default=True, description="the common name of a client certificate that stands for it"
    )
    account: str = Field("", description="the account that sends; empty: chosen by address")
    may_send_as: Senders | None = Field(None, description='patterns such as "*@example.com"; absent: any')
    priority: Literal["", Priority] = Field("", description="of its mail; empty: the listener's")
    recipient_domains: Domains | None = Field(None, description='such as "*.example.com"; absent: any')
    messages_per_hour: Count | None = Field(None, description="absent: as in [limits]; 0: no limit")
    user_name: str = Field("", description="the sender's display name; empty: the account's, or the From's")
    wait: Wait = Field("", description="as in [delivery]; empty: the device's, or the listener's")
    options_by_field: Flag = Field(default=False, description="X-Works fields choose a message's options")

    @field_validator("certificate")
    @classmethod
    def _check_proof(cls, certificate: str, info: ValidationInfo) -> str:
        if not certificate and info.data.get("password_hash") == "":
            raise _across("expected password_hash (made by `relay passwd`) or certificate")
        return certificate


class Device(Section):
    """A device that may connect and send without a login; `relay learn --adopt` writes these."""

    address: PrivateAddress = Field(description="its IP address")
    listener: str = Field("", description="the listener's address that it may use; empty: every one")
    note: str = Field("", description="whose it is, for people")
    account: str = Field("", description="the account that sends; empty: the listener's, or by address")
    may_send_as: Senders | None = Field(None, description='patterns such as "*@example.com"; absent: any')
    require_tls: Flag = Field(default=False, description="530 before TLS")
    user_name: str = Field("", description="the sender's display name; empty: the account's, or the From's")
    wait: Wait = Field("", description="as in [delivery]; empty: the listener's")
    options_by_field: Flag = Field(default=False, description="X-Works fields choose a message's options")


class Delivery(Section):
    """How long, how often, and who is told."""

    wait: Duration = Field(10.0, description="the session waits so long for the outcome; 0: never")
    retry: Retries = Field(Schedule.parse(["1m", "5m*2", "30m", "1h*6", "4h*"]), description="± 10 %")
    give_up_after: Duration = Field(5 * 86400.0, description="from the arrival")
    on_unknown: Literal["retry", "hold"] = "retry"
    notify: Literal[""] | MailAddress = Field("", description="who hears of failures and of trouble")
    notify_every: Duration = Field(
        12 * 3600.0, description="mail about one trouble at most once in this time"
    )
    notice_domains: Words = Field((), description="senders who may be told; empty: the accounts' domains")
    notice_language: Literal["auto", "en", "ja", "ko"] = Field("auto", description="auto: the message's own")
    notice_original: Size = Field(1024 * 1024, description="a larger original is not attached to a notice")
    fallback: Literal[""] | HostPort = Field("", description="an SMTP host for mail about our own trouble")
    no_subject: str = Field("(no subject)", min_length=1, max_length=180)
    always_bcc: MailAddresses = Field((), description="who gets an unseen copy of every message")
    redirect_all: MailAddresses = Field((), description="who gets every message, in place of its recipients")


class Alert(Section):
    """How trouble reaches a person, beside mail to `delivery.notify`."""

    url: AlertUrl = Field(SecretStr(""), description="JSON is POSTed here")
    url_file: str = Field("", description="a file that holds it")
    command: tuple[str, ...] = Field((), description="or run: no shell, 30 s, JSON on its standard input")
    urls: tuple[SecretStr, ...] = Field((), description="of Apprise, with the extra [alert]")
    urls_file: str = Field("", description="a file that holds them, one a line")
    bot_id: str = Field("", description="a LINE WORKS Bot, which works when every grant is dead")
    channel: str = Field("", description="the talk room's channel ID, for the Bot")
    service_account: str = Field("", description="of the app, for the Bot")
    private_key_file: str = Field(
        "", validate_default=True, description="PEM, of the service account, for the Bot"
    )

    @field_validator("private_key_file")
    @classmethod
    def _check_bot(cls, private_key_file: str, info: ValidationInfo) -> str:
        values = {key: info.data.get(key, "") for key in ("bot_id", "channel", "service_account")}
        values["private_key_file"] = private_key_file
        missing = [key for key, value in values.items() if not value]
        if 0 < len(missing) < len(values):
            raise _across(f"a Bot needs {', '.join(values)}; missing: {', '.join(missing)}")
        return private_key_file


class Limits(Section):
    """How much clients may ask of the relay; what is over it is told to come back later."""

    sessions: Count = Field(10_000, description="open at once; 0: no limit but file descriptors")
    sessions_per_address: Count = Field(1_000, description="of one IPv4 address or IPv6 /64; 0: no limit")
    recipients: Annotated[Count, Field(ge=1, le=20_000)] = Field(1_000, description="of one message")
    messages_per_hour: Count = Field(0, description="of one user, or address without login; 0: no limit")
    errors: Annotated[Count, Field(ge=1)] = Field(
        20, description="refused commands since the last message, before 421"
    )
    login_failures: Annotated[Count, Field(ge=1, le=60)] = Field(20, description="an hour, by address")
    login_delay: Duration = Field(1.0, description="before the first refusal; doubles with each")
    idle: Duration = Field(300.0, description="without a step forward, before 421")
    content: Size = Field(parse_size("2GB"), description="of messages that are arriving; 0: no limit")
    memory: Size = Field(parse_size("128MB"), description="of what sessions hold; 0: no limit")


class Spool(Section):
    """Where messages wait."""

    url: Literal["sqlite"] | DatabaseUrl = Field(
        EMBEDDED, description='the engine: "sqlite", or postgresql://USER@HOST/DATABASE'
    )
    password: SecretStr = Field(SecretStr(""), description="the database user's password")
    password_file: str = Field("", description="a file that holds the database user's password")
    key: SealKey = Field(SecretStr(""), validate_default=True, description="seals the grants in the database")
    key_file: str = Field("", description="a file that holds the key")
    listen_url: Literal[""] | DatabaseUrl = Field(
        "", description="the server itself, where url is a pooler in transaction mode"
    )
    patience: Duration = Field(
        20.0, description="for a message of which the database does not say if it is kept"
    )
    most: Size = Field(0, description="of content in the database; with more, new mail gets 452; 0: no limit")
    keep_free: Size = Field(parse_size("50MB"), description="of its disk; with less, new mail gets 452")
    keep_failed: Duration = Field(30 * 86400.0, description="what was given up, with its content")
    keep_history: Duration = Field(30 * 86400.0, description="for `relay trace`, without content")

    @property
    def is_embedded(self) -> bool:
        """Whether it lies in `state_dir`, and no other node uses it."""
        return self.url == EMBEDDED

    @field_validator("key")
    @classmethod
    def _check_key(cls, key: SecretStr, info: ValidationInfo) -> SecretStr:
        if not key.get_secret_value() and info.data.get("url", EMBEDDED) != EMBEDDED:
            raise _across("key_file is needed with a database: openssl rand -base64 32 > KEY_FILE")
        return key


class Console(Section):
    """The web page for the operator, /metrics, /healthz and /readyz."""

    address: Literal[""] | HostPort = Field("127.0.0.1:8580", description="empty: no console")
    hosts: Words = Field((), description="further names the page may be asked by")
    url: Literal[""] | Url = Field("", description="how browsers reach it; URL/consent is a redirect URL")
    certificate_file: str = Field("", description="PEM; the console speaks https")
    private_key_file: str = Field("", description="PEM; empty: in certificate_file")

    @property
    def is_encrypted(self) -> bool:
        """Whether browsers reach it by TLS: its own, or that of a proxy before it."""
        return bool(self.certificate_file) or self.url.lower().startswith("https:")

    @property
    def is_reachable(self) -> bool:
        """Whether other machines reach it: it listens beyond loopback, or has a name by which they do."""
        hosts = [split_address(self.address)[0]] if self.address else []
        hosts += [urlsplit(self.url).hostname or ""] if self.url else []
        return not all(names_loopback(host) for host in hosts)


class ConsoleUser(Section):
    """Somebody who logs in at the console."""

    name: str = Field(min_length=1, max_length=255)
    password_hash: PasswordHash = Field(min_length=1, description="made by `relay passwd`")
    role: Literal["operator", "viewer"] = Field("viewer", description="an operator acts, a viewer looks")


class Log(Section):
    """What is written to standard error."""

    format: Literal["auto", "json", "console"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(Section):
    """The whole of relay.toml."""

    hostname: Hostname = Field("", description="said in the banner; empty: the machine's name")
    include: Words = Field((), description="files that add to this one; * matches names")
    state_dir: StateDir = Field(Path("/var/lib/relay"), description="spool, grants, control socket")
    works: Works = Works()
    account: tuple[Account, ...] = ()
    listener: tuple[Listener, ...] = (Listener(),)
    user: tuple[User, ...] = ()
    device: tuple[Device, ...] = ()
    delivery: Delivery = Delivery()
    alert: Alert = Alert()
    limits: Limits = Limits()
    losses: dict[str, Policy] = Field(
        {}, description="what to do about each loss: keep, drop, reject, attach"
    )
    spool: Spool = Spool()
    console: Console = Console()
    console_user: tuple[ConsoleUser, ...] = ()
    log: Log = Log()

    @property
    def control_socket(self) -> Path:
        """Where commands ask the running relay."""
        return self.state_dir / "control.sock"

    def message_limit(self, listener: Listener) -> int:
        """The SIZE that a listener advertises, in octets (RFC 1870)."""
        if listener.message_limit != "":
            return listener.message_limit
        return int(self.works.attachment_limit * WIRE_FACTOR) + _WIRE_EXTRA

    def files_limit(self, listener: Listener) -> int:
        """How large the files of one message may be together, in octets as they lie on a disk."""
        return min(int(self.message_limit(listener) / WIRE_FACTOR), self.works.attachment_limit)

    def find_account(self, name: str) -> Account | None:
        """The account of that name, if there is one."""
        return next((a for a in self.account if a.name == name), None)
