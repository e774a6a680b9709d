"""What a guess costs, and what it tells."""

from relay.host import passwords


def test_who_does_not_exist_takes_as_long_as_who_does():
    """Argon2's time is in the parameters, and these must be the ones that `relay passwd` uses."""
    parameters = passwords.hash_password("secret").split("$")[1:4]
    assert passwords._NOBODY.split("$")[1:4] == parameters
    assert not passwords.verify_password(None, "nobody")
    assert passwords.verify_password(passwords.hash_password("secret"), "secret")
