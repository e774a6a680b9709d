"""relay.toml, the reference, says of every key what the models say."""

import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from relay.config.load import build
from relay.config.model import Account, Config, Device, Listener, User
from relay.mail import KINDS
from tests.support.at_once import at_once

TEXT = (Path(__file__).parents[2] / "relay.toml").read_text(encoding="utf-8")
UNCOMMENTED = re.sub(r"(?m)^#(?=[a-z_]+ = |\[)", "", TEXT)
TREE = tomllib.loads(UNCOMMENTED)
# Keys that have no default, or none that one would write, with what stands in the reference.
SHOWN = {
    "works.client_id",
    "works.client_secret_file",
    "account.name",
    "account.address",
    "account.default",
    "user.name",
    "user.password_hash",
    "user.may_send_as",
    "user.recipient_domains",
    "user.messages_per_hour",
    "listener.recipient_domains",
    "listener.may_send_as",
    "device.may_send_as",
}


def read(text):
    tree = tomllib.loads(text)
    tree["works"].pop("client_secret_file", None)  # there is no such file here
    return build(tree, environ={})


def as_written():
    return read(UNCOMMENTED)


def keys(model, prefix=""):
    for name, field in model.model_fields.items():
        inner = next(
            (t for t in (field.annotation, *get_args(field.annotation)) if _is_model(t)),
            None,
        )
        if inner is not None:
            yield from keys(inner, f"{prefix}{name}.")
        elif field.annotation is not dict and not str(field.annotation).startswith("dict"):
            yield f"{prefix}{name}"


def _is_model(kind):
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def test_the_reference_can_be_used_as_it_is():
    read(TEXT)


def test_the_reference_leaves_the_secret_to_systemds_credential():
    """The file is root's alone: named here, the service could not read it and would not start."""
    assert "client_secret_file" not in tomllib.loads(TEXT)["works"]


def test_every_key_uncommented_is_a_key():
    as_written()


@at_once
@pytest.mark.parametrize("key", sorted(keys(Config)))
def test_every_key_stands_in_the_reference(key):
    *tables, name = key.split(".")
    tree = TREE
    for table in tables:
        tree = tree[table]
        tree = tree[0] if isinstance(tree, list) else tree
    assert name in tree, f"{key} is missing in relay.toml"


def test_every_loss_stands_in_the_reference_with_its_default():
    assert as_written().losses == {
        name.replace("-", "_"): kind.default for name, kind in KINDS.items() if len(kind.policies) > 1
    }


def test_every_default_is_the_models():
    config = as_written()
    pairs = [
        ("", config, Config()),
        ("works", config.works, Config().works),
        ("delivery", config.delivery, Config().delivery),
        ("alert", config.alert, Config().alert),
        ("limits", config.limits, Config().limits),
        ("spool", config.spool, Config().spool),
        ("console", config.console, Config().console),
        ("log", config.log, Config().log),
        ("account", config.account[0], Account(name="a", address="a@example.com")),
        ("listener", config.listener[0], Listener()),
        ("user", config.user[0], User(name="u", password_hash="$argon2id$x")),
        ("device", config.device[0], Device(address="192.168.1.50")),
    ]
    for table, written, default in pairs:
        for name in type(default).model_fields:
            if f"{table}.{name}" in SHOWN or _is_model(type(getattr(default, name))):
                continue
            if table or name == "state_dir":
                assert getattr(written, name) == getattr(default, name), f"{table}.{name}"
