"""A certificate and a password hash, made once."""

import pytest

from relay.host.certificate import write
from tests.support.cheap import hash_password, make_certificate
from tests.support.doctor import PASSWORD


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "cert.pem", folder / "key.pem"
    write(make_certificate(), *paths)
    return {"certificate_file": str(paths[0]), "private_key_file": str(paths[1])}


@pytest.fixture(scope="session")
def password_hash():
    return hash_password(PASSWORD)
