"""`include`: other files add to relay.toml, and never override it in silence."""

import pytest

from relay.config.load import ConfigError, load

BASE = """
hostname = "relay.example.com"
state_dir = "{0}/state"
include = {1}
[works]
client_id = "i"
"""


def write(folder, include, **files):
    (folder / "state").mkdir(exist_ok=True)
    (folder / "relay.toml").write_text(BASE.format(folder, include))
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)
    return load(folder / "relay.toml", {})


USER = '[[user]]\nname = "{}"\npassword_hash = "$argon2id$x"\n'


def test_tables_are_joined_and_arrays_lengthened(tmp_path):
    (tmp_path / "more.d").mkdir()
    (tmp_path / "more.d" / "b.toml").write_text(USER.format("b"))
    (tmp_path / "more.d" / "a.toml").write_text(USER.format("a"))
    config = write(
        tmp_path, '["more.d/*.toml", "one.toml"]', one='[works]\nscope = "mail.read"\n' + USER.format("c")
    )
    assert [u.name for u in config.user] == ["a", "b", "c"]
    assert (config.works.client_id, config.works.scope) == ("i", "mail.read")


def test_adopted_devices_are_always_included(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "learned.toml").write_text('[[device]]\naddress = "192.168.1.5"\n')
    assert [d.address for d in write(tmp_path, "[]").device] == ["192.168.1.5"]


@pytest.mark.parametrize(
    ("include", "files", "words"),
    [
        ('["one.toml"]', {}, "there is no such file"),
        ('["one.toml"]', {"one": "hostname = 'x'"}, "one.toml: hostname: is set in another file already"),
        ('["one.toml"]', {"one": "[works]\nclient_id = 'x'"}, "works.client_id: is set in another"),
        ('["one.toml"]', {"one": "include = ['two.toml']"}, "cannot include others"),
        ('["one.toml"]', {"one": "= nonsense"}, "one.toml: is not TOML"),
        ('["one.toml"]', {"one": "hostnam = 'x'"}, "hostnam: no such key"),
        ("3", {}, "include: "),
    ],
)
def test_what_is_wrong_is_said(tmp_path, include, files, words):
    with pytest.raises(ConfigError) as caught:
        write(tmp_path, include, **files)
    assert words in str(caught.value)


def test_a_pattern_may_match_nothing(tmp_path):
    assert write(tmp_path, '["none.d/*.toml"]').user == ()
