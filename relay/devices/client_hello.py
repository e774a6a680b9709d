"""What a TLS client says of itself before anything is agreed: its ClientHello (RFC 8446 §4.1.2)."""

from dataclasses import dataclass

_HANDSHAKE, _CLIENT_HELLO = 0x16, 1
_SUPPORTED_VERSIONS = 43  # the extension's number, RFC 8446 §4.2.1
_NAMES = {0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}


@dataclass(frozen=True, slots=True)
class Hello:
    """The versions and cipher suites that a client offers."""

    version: str  # the highest offered, such as "TLS 1.0"
    ciphers: tuple[int, ...]  # as registered with IANA, in the client's order


def read_hello(data: bytes) -> Hello | None:
    """Read a ClientHello from the first octets that a client sent; None if they are none, or cut."""
    try:
        return _read(data)
    except IndexError:
        return None


def _read(data: bytes) -> Hello | None:
    if data[0] != _HANDSHAKE or data[5] != _CLIENT_HELLO:
        return None
    highest = _number(data, 9, 2)  # behind record header (5) and handshake header (4)
    at = 11 + 32  # client_version, random
    at += 1 + data[at]  # session id
    size = _number(data, at, 2)
    ciphers = tuple(_number(data, at + 2 + i, 2) for i in range(0, size, 2))
    at += 2 + size
    at += 1 + data[at]  # compression methods
    offered = _supported_versions(data, at) if at < len(data) else []
    # Values such as 0x2A2A only keep servers flexible (RFC 8701).
    return Hello(_NAMES.get(max([v for v in offered if v in _NAMES], default=highest), "unknown"), ciphers)


def _supported_versions(data: bytes, at: int) -> list[int]:
    end = at + 2 + _number(data, at, 2)
    at += 2
    while at < end:
        kind, size = _number(data, at, 2), _number(data, at + 2, 2)
        at += 4
        if kind == _SUPPORTED_VERSIONS:
            return [_number(data, at + 1 + i, 2) for i in range(0, data[at], 2)]
        at += size
    return []


def _number(data: bytes, at: int, size: int) -> int:
    if at + size > len(data):
        raise IndexError
    return int.from_bytes(data[at : at + size])
