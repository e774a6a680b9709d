"""A self-signed certificate, made on request, so that a listener can speak TLS today.

RSA with 2,048 bits and SHA-256: what a printer of 2010 and a program of today both understand.
It is no certificate authority: whoever trusts it trusts this relay and nothing else.
"""

import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from relay.config.networks import Address, is_link_local, is_loopback, read_address
from relay.host import safeio

_KEY_BITS = 2048
# A common name holds at most 64 characters (RFC 5280 appendix A, ub-common-name).
_LONGEST_COMMON_NAME = 64
# Clocks of devices are wrong; a certificate of today should not be one of tomorrow to them.
_CLOCK_SKEW = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, in PEM."""

    certificate: bytes
    private_key: bytes
    fingerprint: str  # SHA-256 of the certificate, as browsers and device panels show it
    expires: datetime  # aware, UTC


def make(names: Iterable[str], days: int) -> Pair:
    """Make a certificate for these host names and IP addresses; the first is its common name.

    Raises:
        ValueError: no name, or one that is neither a host name nor an address.
    """
    wanted = list(dict.fromkeys(names))
    if not wanted:
        raise ValueError("a certificate needs at least one name")
    alternatives = [_general_name(name) for name in wanted]
    key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, wanted[0][:_LONGEST_COMMON_NAME])])
    now = datetime.now(UTC).replace(microsecond=0)
    certificate = _signed(key, subject, alternatives, now, now + timedelta(days=days))
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
        certificate.not_valid_after_utc,
    )


def _signed(
    key: rsa.RSAPrivateKey, subject: x509.Name, names: list[x509.GeneralName], start: datetime, end: datetime
) -> x509.Certificate:
    public = key.public_key()
    usage = x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,  # old devices know the RSA key exchange only
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - _CLOCK_SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def _general_name(name: str) -> x509.GeneralName:
    with suppress(ValueError):
        return x509.IPAddress(ip_address(name))
    # A name outside ASCII goes into a certificate in its A-label (RFC 5280 §7.2).
    try:
        label = name.encode("idna").decode("ascii")
    except UnicodeError:
        raise ValueError(f"{name!r} is neither a host name nor an IP address") from None
    if not label or not all(c.isalnum() or c in "-._*" for c in label):
        raise ValueError(f"{name!r} is neither a host name nor an IP address")
    return x509.DNSName(label)


def find_addresses() -> list[str]:
    """This machine's own addresses, as far as its name and its routes tell them; no packet is sent."""
    found: dict[Address | None, None] = {}
    with suppress(OSError):
        for *_, address in socket.getaddrinfo(socket.gethostname(), None):
            found[read_address(str(address[0]))] = None
    # To "connect" UDP only asks the kernel which source address it would choose; the targets are
    # addresses for documentation (RFC 5737, RFC 3849).
    for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            found[read_address(probe.getsockname()[0])] = None
    return [str(a) for a in found if a and not is_loopback(a) and not is_link_local(a)]


def write(pair: Pair, certificate: Path, private_key: Path) -> None:
    """Write both files, mode 0600, each whole or not at all.

    Raises:
        OSError: a file cannot be written.
    """
    # The key first: a certificate without its key stops a listener, a key alone stops nothing.
    safeio.write_file(private_key, pair.private_key)
    safeio.write_file(certificate, pair.certificate)


def read_expiry(pem: bytes) -> datetime:
    """When the first certificate of a chain in PEM stops being valid; aware, UTC.

    Raises:
        ValueError: it holds no certificate.
    """
    return min(one.not_valid_after_utc for one in x509.load_pem_x509_certificates(pem))
