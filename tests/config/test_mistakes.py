"""What people write into relay.toml by mistake: each is told with its place, the line, and a guess."""

import pytest

from relay.config.load import ConfigError, load
from tests.support import lists
from tests.support.mistakes import BASE, LISTENER, MISTAKES


def problems(folder, text):
    path = folder / "relay.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load(path, {}, learned=False)
    return [one.removeprefix(f"{path}:") for one in caught.value.problems]


@pytest.mark.parametrize(("text", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_where_it_stands(tmp_path, text, said):
    """ "is not TOML: Invalid value (at line 12, column 11)" sent people to look for an invisible space."""
    found = problems(tmp_path, BASE + text)
    assert [one[: len(wanted)] for one, wanted in zip(found, said, strict=False)] == said
    assert len(found) == len(said)


def test_the_lists_of_mistakes_are_what_is_printed(tmp_path):
    """After a change of a sentence: python -m tests.support.lists, and read what it made of the page."""
    assert lists.list_mistakes(tmp_path) == lists.read("mistakes.md", "mistakes")
    assert lists.list_suspicions(tmp_path) == lists.read("mistakes.md", "suspicions")


def test_the_line_is_shown_with_a_mark_below_the_place(tmp_path):
    """Kanji take two columns on a terminal."""
    (found,) = problems(tmp_path, LISTENER + 'networks = ["複", 3]'.replace("複", "10.0.0.0/8"))
    assert found.splitlines()[1:] == ['    networks = ["10.0.0.0/8", 3]', "    " + " " * 26 + "^"]
    (found,) = problems(tmp_path, 'works = {scope = "複合機", client_i = "x"}')
    assert found.splitlines()[1:] == [
        '    works = {scope = "複合機", client_i = "x"}',
        "    " + " " * 27 + "^",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "[works]\nclient_secret = hunter2",
        "[works]\nclient_secret = “hunter2”",
        '[works]\nclient_secret = "hunter2',
        '[works]\nclient_secret: "hunter2" x',
        '[works]\nclient_secret = """\nhunter2',
        '[works]\nclient_secret = ["hunter2"]',
        'works = { client_secret = "hunter2", scop = "x" }',
        '[spool]\nurl = "postgresql://u:hunter2@h/d"',
        '[[user]]\nname = "a"\npassword_hash = "hunter2"',
    ],
)
def test_no_line_with_a_secret_is_shown(tmp_path, text):
    """What is printed goes to the journal and into letters to the people who are asked for help."""
    assert "hunter2" not in "\n".join(problems(tmp_path, text))


@pytest.mark.parametrize("character", ["\u3000", "\xa0", "\u200b", "\u200e", "\u2028", "\ufeff", "\x1a"])
@pytest.mark.parametrize("line", ["%s", "  %s%s", "%s [delivery]"])
def test_a_line_that_looks_empty(tmp_path, character, line):
    """Python counts most of them among the blanks: the line before was blamed, and then all before that."""
    (found,) = problems(tmp_path, BASE + line.replace("%s", character) + "\n")
    assert f"(U+{ord(character):04X})" in found
    assert found.startswith("7:")


def test_files_that_windows_programs_save(tmp_path):
    """Notepad puts a mark before the file, and old editors end lines with CR: both are read."""
    path = tmp_path / "relay.toml"
    for octets in (b"\xef\xbb\xbf" + BASE.encode(), BASE.replace("\n", "\r").encode()):
        path.write_bytes(octets)
        assert load(path, {}, learned=False).account[0].name == "scanner"
    (found,) = problems(tmp_path, (BASE + "# 複合機\n").encode("cp932"))
    assert found.startswith("7:3: is not UTF-8 (perhaps Shift_JIS): save the file as UTF-8\n    # ")
    for codec in ("utf-16-le", "utf-16-be"):
        assert "UTF-16" in problems(tmp_path, BASE.encode(codec))[0]
    (found,) = problems(tmp_path, BASE.encode("utf-16"))
    assert found.endswith('is in UTF-16 ("Unicode" in Notepad): save the file as UTF-8')


def test_a_secret_file_of_a_windows_program(tmp_path):
    """The mark before it was sent to Works as a part of the secret, and so was a second line."""
    path = tmp_path / "secret"
    (tmp_path / "relay.toml").write_text(f'[works]\nclient_secret_file = "{path}"')
    path.write_bytes(b"\xef\xbb\xbfs3cret\r\n")
    works = load(tmp_path / "relay.toml", {}, learned=False).works
    assert works.client_secret.get_secret_value() == "s3cret"
    path.write_text("s3cret\nhunter2\n")
    (found,) = problems(tmp_path, (tmp_path / "relay.toml").read_text())
    assert "holds several lines; expected the secret alone" in found
    assert "hunter2" not in found
    for mark in ("\u200b", "\u200e", "\u2060"):
        path.write_text(f"hunter2{mark}\n", encoding="utf-8")
        (found,) = problems(tmp_path, (tmp_path / "relay.toml").read_text())
        assert f"cannot be seen (U+{ord(mark):04X})" in found
        assert "hunter2" not in found


def test_the_secret_beside_relay_toml_is_found(tmp_path):
    """systemd hands the service this very file; `sudo relay login` should need no variable for it."""
    (tmp_path / "relay.toml").write_text(BASE)
    (tmp_path / "client_secret").write_text("s3cret\n")
    works = load(tmp_path / "relay.toml", {}, learned=False).works
    assert works.client_secret.get_secret_value() == "s3cret"


def test_a_place_in_an_included_file_and_in_the_environment(tmp_path):
    """A table's number counts over all files, its place is that of its own file."""
    more = tmp_path / "more.toml"
    more.write_text('\n[[account]]\nname = "b"\naddress = "nobody"\n')
    text = f'include = ["{more}"]\n{BASE}'
    (found,) = problems(tmp_path, text)
    assert found.startswith(f"{more}:4:11: [[account]] no. 2 (b, line 2), address: expected an address")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "relay.toml", {"RELAY_ACCOUNT__1__ADDRESS": "x"}, learned=False)
    assert caught.value.problems[0].startswith(
        "$RELAY_ACCOUNT__1__ADDRESS: [[account]] no. 2 (b, line 2), address: "
    )
