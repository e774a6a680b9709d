"""A service account's assertion: a JWT of its private key, which becomes an access token (Works API §7)."""

import base64
import json
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

_LIFE = 600  # seconds; Works takes at most 60 minutes


class KeyFileError(Exception):
    """The private key cannot be used; says why, and nothing of the key."""


def make_assertion(client_id: str, account: str, key_file: str, now: float) -> str:
    """The assertion (RFC 7519, RFC 7515 §3.1 with RS256).

    Args:
        client_id: the app's.
        account: the service account's ID.
        key_file: a PEM file with its RSA key.
        now: seconds since the epoch.

    Raises:
        KeyFileError: the key cannot be read or used.
    """
    claims = {"iss": client_id, "sub": account, "iat": int(now), "exp": int(now) + _LIFE}
    signed = ".".join(_encode(json.dumps(one).encode()) for one in ({"alg": "RS256", "typ": "JWT"}, claims))
    signature = _read_key(key_file).sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{_encode(signature)}"


def _read_key(path: str) -> rsa.RSAPrivateKey:
    try:
        key = serialization.load_pem_private_key(Path(path).read_bytes(), None)
    except OSError as error:
        raise KeyFileError(f"private_key_file {path}: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyFileError(
            f"private_key_file {path}: expected a PEM file with a key and no password"
        ) from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise KeyFileError(f"private_key_file {path}: expected an RSA key")
    return key


def _encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
