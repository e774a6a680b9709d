"""A certificate and a password hash, made once."""

import pytest

from relay.host.certificate import make, write
from relay.host.passwords import hash_password
from tests.support.doctor import PASSWORD


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "cert.pem", folder / "key.pem"
    write(make(["localhost", "127.0.0.1"], 30), *paths)
    return {"certificate_file": str(paths[0]), "private_key_file": str(paths[1])}


@pytest.fixture(scope="session")
def password_hash():
    return hash_password(PASSWORD)
