"""Passwords of [[user]], hashed with argon2id (RFC 9106) in the PHC string format."""

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# OWASP's minimum for argon2id: 19 MiB and two passes. A guess costs about 20 ms of one core, and a
# few at once do not exhaust the smallest machine in the building.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Verified against when there is no such user, so that the answer takes as long as for one: the hash of
# 32 random octets that nobody kept, by the same parameters. Made anew it would cost each start 20 ms.
_NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$YLBJHmwZFvmD06MmBGHZgw$TkvDMuI8THKAyMhpMRrDD3cDB2SZxqDLYNMgjPejX5o"


def hash_password(password: str) -> str:
    """The PHC string for `password_hash`."""
    return _HASHER.hash(password)


def verify_password(password_hash: str | None, password: str) -> bool:
    """Whether the password is right; None is a user that does not exist and takes as long.

    Blocks for tens of milliseconds: call it in a thread.
    """
    try:
        return _HASHER.verify(password_hash or _NOBODY, password) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False
