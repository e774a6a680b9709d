"""What fixtures need of costly things, where the cost is not what is tested: made once in a process."""

import functools

from argon2 import PasswordHasher

from relay.host import certificate
from relay.host.passwords import verify_password

_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@functools.cache
def hash_password(password):
    """A hash as the relay's own, of which making and verifying take no time."""
    made = _HASHER.hash(password)
    assert verify_password(made, password)  # which also tells the watch over secrets of it
    return made


@functools.cache
def make_certificate():
    """A pair for this machine."""
    return certificate.make(["localhost", "127.0.0.1"], 365)
