"""TLS on listeners: profiles, certificates that change, who a client's certificate stands for."""

import errno
import os
import ssl
import warnings
from pathlib import Path
from typing import Any

import structlog

from relay.config.model import Config, Console, Listener, User

log = structlog.get_logger("smtp")
# The first octet of a TLS record that carries a handshake, and of SSLv2's hello (RFC 5246 §E.2).
_HANDSHAKE, _SSL2 = 0x16, 0x80
# Forward secrecy and authenticated encryption only (RFC 9325 §4.2); TLS 1.3 has its own.
_MODERN_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM"
# OpenSSL 3 allows TLS 1.0's signatures at level 0 only, and printers of 2008 know RSA key exchange.
_LEGACY_CIPHERS = "DEFAULT:@SECLEVEL=0"
# The keys of a listener that name files; and why one cannot be opened, and what to do.
FILE_KEYS = ("certificate_file", "private_key_file", "client_ca_file")
_FILE_REMEDIES: dict[int, str] = {
    errno.ENOENT: "name a file that is there (`relay certificate` makes a certificate and its key)",
    errno.EACCES: "let the relay's user read it: where it is root's: relay help systemd",
}


class TlsError(Exception):
    """The certificate, key or list of authorities cannot be used.

    Args:
        problem: which, and why.
        remedy: what to do, if more can be said.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem}; {remedy}" if remedy else problem)
        self.problem = problem
        self.remedy = remedy


def looks_like_tls(octets: bytes) -> bool:
    """Whether a client that sent these first is starting TLS."""
    return bool(octets) and (octets[0] == _HANDSHAKE or (octets[0] == _SSL2 and octets[2:3] == b"\x01"))


class Certificate:
    """A listener's TLS context, made anew when its files change."""

    def __init__(self, listener: Listener) -> None:
        """Args:
        listener: whose files they are.

        Raises:
            TlsError: a file cannot be read or used.
        """
        self._listener = listener
        self._stamp = self._read_stamp()
        self.context = make_context(listener)
        self.chain = self._read_chain()  # what clients are shown, in PEM
        self.problem = ""  # why what is in the files now is not used

    @property
    def file(self) -> str:
        """Its name on the disk."""
        return self._listener.certificate_file

    def _files(self) -> list[str]:
        return [name for key in FILE_KEYS if (name := getattr(self._listener, key))]

    def _read_stamp(self) -> list[tuple[int, int, int]]:
        stamps = []
        for name in self._files():
            try:
                status = os.stat(name)  # noqa: PTH116 - also called every few seconds
            except OSError:
                stamps.append((0, 0, 0))
            else:
                stamps.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return stamps

    def refresh(self) -> bool:
        """Read the files again if they changed, or could not be used; what cannot be changes nothing."""
        stamp, before = self._read_stamp(), self.problem
        # Who may read a file changes without a trace in the stamp.
        if stamp == self._stamp and not before:
            return False
        try:
            context = make_context(self._listener)
        except TlsError as error:
            self.problem = str(error)
            if stamp != self._stamp:
                log.error("certificate not renewed", listener=self._listener.address, reason=self.problem)
            self._stamp = stamp
            return False
        self._stamp, self.context, self.chain, self.problem = stamp, context, self._read_chain(), ""
        log.info("certificate renewed", listener=self._listener.address)
        return True

    def _read_chain(self) -> bytes:
        try:
            return Path(self._listener.certificate_file).read_bytes()
        except OSError:  # since it was read by OpenSSL
            return b""


def as_listener(console: Console) -> Listener | None:
    """What the console shows by TLS: the rules of a listener that speaks it from the first octet."""
    if not (console.address and console.certificate_file):
        return None
    keys = {"certificate_file": console.certificate_file, "private_key_file": console.private_key_file}
    return Listener(address=console.address, tls="implicit", **keys)


def make_context(listener: Listener) -> ssl.SSLContext:
    """The listener's certificate, protocol versions and ciphers.

    Raises:
        TlsError: a file cannot be read or used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    if listener.tls_profile == "legacy":
        with warnings.catch_warnings():
            # Old versions are what this profile is for.
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
        context.set_ciphers(_LEGACY_CIPHERS)
    else:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_MODERN_CIPHERS)
    _load(context, listener)
    return context


def _load(context: ssl.SSLContext, listener: Listener) -> None:
    for key in FILE_KEYS:
        _try_open(listener, key)
    where = f"certificate_file {listener.certificate_file}"
    if listener.private_key_file:
        where += f" and private_key_file {listener.private_key_file}"
    try:
        # A key that asks for a passphrase would stop the relay at the terminal.
        context.load_cert_chain(listener.certificate_file, listener.private_key_file or None, password="")
        if listener.client_ca_file:
            where = f"client_ca_file {listener.client_ca_file}"
            context.load_verify_locations(listener.client_ca_file)
            context.verify_mode = ssl.CERT_OPTIONAL
            # A device's own certificate may stand in the file, without the one that signed it.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise TlsError(f"{where} cannot be used: {_explain_file(error)}") from error


def _try_open(listener: Listener, key: str) -> None:
    # OpenSSL does not say which of the files it could not open.
    path = getattr(listener, key)
    try:
        if path:
            Path(path).open("rb").close()
    except (OSError, ValueError) as error:
        remedy = _FILE_REMEDIES.get(getattr(error, "errno", 0), "")
        why = _explain_file(error)
        raise TlsError(f"{key} {path} cannot be opened: {why}", remedy) from error


def _explain_file(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        known = {"KEY_VALUES_MISMATCH": "the private key is not this certificate's"}
        return known.get(error.reason or "", "not a certificate and its private key in PEM")
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


# OpenSSL's reasons for a handshake that came to nothing, and what to do about them.
_REMEDIES = {
    "UNSUPPORTED_PROTOCOL": 'the client offers only TLS 1.0 or 1.1: give its listener tls_profile = "legacy"',
    "VERSION_TOO_LOW": 'the client offers only TLS 1.0 or 1.1: give its listener tls_profile = "legacy"',
    "NO_SHARED_CIPHER": 'client and relay share no cipher: give its listener tls_profile = "legacy"',
    "NO_SUITABLE_SIGNATURE_ALGORITHM": 'the client is too old: give its listener tls_profile = "legacy"',
    "TLSV1_ALERT_UNKNOWN_CA": "the client does not trust the certificate: install its authority there",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the client does not like the certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the client does not trust the certificate",
    "CERTIFICATE_VERIFY_FAILED": "the client's certificate is not signed by one in client_ca_file",
    "HTTP_REQUEST": "plain HTTP where TLS was expected",
    "WRONG_VERSION_NUMBER": "what came is not TLS",
}


def name_reason(error: BaseException | None) -> str:
    """OpenSSL's name of the reason, such as NO_SHARED_CIPHER; "timeout", or "" where there is none."""
    if isinstance(error, TimeoutError):
        return "timeout"
    return (error.reason or "") if isinstance(error, ssl.SSLError) else ""


def explain(error: BaseException) -> str:
    """Why a handshake failed, in words that help."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return _REMEDIES.get(error.reason, error.reason)
    if isinstance(error, TimeoutError):
        return "the client did not finish the handshake in time"
    return "the client broke off the handshake"


def find_user(config: Config, certificate: dict[str, Any] | None) -> User | None:
    """The user that a verified client certificate stands for: by its subject's common name."""
    if not certificate:
        return None
    names = {value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"}
    return next((user for user in config.user if user.certificate and user.certificate in names), None)
