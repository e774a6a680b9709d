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
    elsewhere = {"RELAY_SPOOL__URL": "postgresql://relay@127.0.0.1/relay", "RELAY_SPOOL__KEY": "A" * 43 + "="}
    config = load(tmp_path / "relay.toml", elsewhere)
    assert config.device == ()  # they are in the database, for all nodes


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[works]\nauth_url = "http://127.0.0.1:9"', "works: only [[device]] may stand in this file"),
        ('[[user]]\nname = "him"', "user: only [[device]] may stand in this file"),
        ('include = ["x"]', "include: only [[device]] may stand in this file"),
        ("[device]", "device: expected [[device]], with two brackets"),
        (
            '[[device]]\naddress = "10.1.1.1"\nmay_send_as = ["*"]',
            "[[device]] no. 1, may_send_as: only address",
        ),
        ("[[device]]\naddress = 5", "[[device]] no. 1 (line 1), address: expected a text"),
        ("nonsense", "learned.toml:1:1: a line is KEY = VALUE"),
    ],
)
def test_learned_toml_may_hold_adopted_devices_and_nothing_else(tmp_path, text, problem):
    """It is the service's own file: its tables told root's commands where to send the client secret."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "learned.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        write(tmp_path, "[]")
    assert len(caught.value.problems) == 1
    assert problem in caught.value.problems[0]


def test_everything_else_is_read_before_the_state_directory_is_entered(tmp_path):
    """Secrets are read as root; what lies in the state directory is not."""
    (tmp_path / "state").mkdir()
    (tmp_path / "secret").write_text("s")
    (tmp_path / "more.toml").write_text('[works]\nclient_secret_file = "{}"'.format(tmp_path / "secret"))

    def enter(state_dir):
        assert state_dir == tmp_path / "elsewhere"
        (tmp_path / "secret").unlink()
        state_dir.mkdir()
        (state_dir / "learned.toml").write_text('[[device]]\naddress = "192.168.1.5"\n')

    (tmp_path / "relay.toml").write_text(BASE.format(tmp_path, '["more.toml"]'))
    config = load(
        tmp_path / "relay.toml", {"RELAY_STATE_DIR": str(tmp_path / "elsewhere")}, enter_state=enter
    )
    assert config.works.client_secret.get_secret_value() == "s"
    assert len(config.device) == 1


@pytest.mark.parametrize(
    ("include", "files", "words"),
    [
        ('["one.toml"]', {}, "there is no such file"),
        ('["one.toml"]', {"one": "hostname = 'x'"}, "one.toml: hostname: is set in another file already"),
        ('["one.toml"]', {"one": "[works]\nclient_id = 'x'"}, "works.client_id: is set in another"),
        ('["one.toml"]', {"one": "include = ['two.toml']"}, "cannot include others"),
        ('["one.toml"]', {"one": "= nonsense"}, "one.toml:1:1: is not TOML"),
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
