"""What people write into relay.toml by mistake: each is told with its place, the line, and a guess."""

import pytest

from relay.config.load import ConfigError, load

BASE = '[works]\nclient_id = "i"\n\n[[account]]\nname = "scanner"\naddress = "scanner@example.com"\n'
LISTENER = BASE + "[[listener]]\n"
ACCOUNT = "[[account]] no. 1 (scanner, line 4)"
NETWORK = 'expected a network such as "192.168.0.0/16" or "::1/128"'


def problems(folder, text):
    path = folder / "relay.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load(path, {}, learned=False)
    return [one.removeprefix(f"{path}:") for one in caught.value.problems]


# After the base, whose six lines are right: what is written, and all that is said of it.
MISTAKES = {
    "yes": ("default = yes", ["7:11: a flag is true or false, small and without quotes: true"]),
    "capital": ("default = True # x", ["7:11: a flag is true or false, small and without quotes: true"]),
    "flag in quotes": (
        'default = "yes"',
        ["7:11: [[account]] no. 1 (scanner, line 4), default: expected true or false, found 'yes'"],
    ),
    "no quotes": ("user_name = Scan to mail", ['7:13: a text is in quotes: "Scan to mail"']),
    "curly quotes": ("user_name = “複合機”", ['7:13: a curly quote (U+201C): write the straight one, "']),
    "one quote": ('user_name = "Scan', ['7:13: the quote is not closed: "Scan"']),
    "one quote above": ("user_name = 'Scan\ndefault = true", ["7:13: the quote is not closed: 'Scan'"]),
    "full-width space": (
        "default　= true",
        ["7:8: a full-width space (U+3000): write an ordinary space"],
    ),
    "full-width space alone": (
        "　default = true",
        ["7:1: a full-width space (U+3000): write an ordinary space"],
    ),
    "no-break space": ("default\xa0= true", ["7:8: a no-break space (U+00A0): write an ordinary space"]),
    "full-width sign": ('user_name ＝ "x"', ["7:11: a full-width ＝ (U+FF1D): write ="]),
    "unseen": (
        "default\u200b = true",
        ["7:8: a character that cannot be seen (U+200B): remove it"],
    ),
    "no value": ("user_name =", ['7:12: there is no value after =; "" is an empty text']),
    "no equals": ("default", ["7:1: a line is KEY = VALUE, a [table] or a # comment"]),
    "colon": ("default: yes", ["7:8: a key and its value have = between them: default = true"]),
    "JSON": ('"default": true,', ["7:10: a key and its value have = between them: default = true"]),
    "comma": ("default = true,", ["7:11: nothing stands behind the value, so take out the ,: true"]),
    "comments": (
        "// a\n; b",
        ["7:1: a comment begins with #, not with //", "8:1: a comment begins with #, not with ;"],
    ),
    "twice": ('name = "again"', ["7:1: name stands in line 5 already"]),
    "a table twice": ("[works]\n", ["7:1: [works] begins in line 1 already"]),
    "one bracket for several": (
        '[account]\nname = "x"',
        ["7:1: [account] begins in line 4 already; for several write [[account]] each time"],
    ),
    "half a bracket": ("[[listener]\n", ["7:11: the brackets do not match: [[listener]]"]),
    "duration": ("[delivery]\nwait = 10s", ['8:8: a text is in quotes: "10s"']),
    "commas in a number": ("[limits]\nsessions = 10,000", ["8:12: a number has no commas: 10000"]),
    "zeros before a number": ("[limits]\nrecipients = 0100", ["8:14: a number does not begin with 0: 100"]),
    "backslash": (
        '[delivery]\nno_subject = "C:\\scan"',
        ["8:14: between double quotes a backslash has a meaning; use single ones: 'C:\\scan'"],
    ),
    "list without quotes": (
        '[[listener]]\nnetworks = [192.168.1.0/24, "10.0.0.0/8"]',
        ['8:12: each text of a list is in quotes, with commas between: ["192.168.1.0/24", "10.0.0.0/8"]'],
    ),
    "list without commas": (
        '[delivery]\nretry = ["1m" "5m"]',
        ['8:9: each text of a list is in quotes, with commas between: ["1m", "5m"]'],
    ),
    "list that is not closed": (
        '[[listener]]\nnetworks = ["10.0.0.0/8"\naddress = "0.0.0.0:25"',
        ["8:25: the list that begins in line 8 is not closed by ]"],
    ),
    "list of several lines": (
        '[[listener]]\nnetworks = [\n  192.168.1.0/24,\n  "10.0.0.0/8"\n  "127.0.0.0/8",\n]',
        ['9:10: a text is in quotes: "192.168.1.0/24"', "10:15: a comma is missing between two items"],
    ),
    "a text that is not closed": (
        '[delivery]\nno_subject = """\nx',
        ['9:1: the text that begins in line 8 is not closed by """'],
    ),
    "unknown key": (
        "user-name = 'x'",
        ["7:1: [[account]] no. 1 (scanner, line 4), user-name: no such key; "],
    ),
    "key of another table": (
        'notify = "x"',
        ["7:1: [[account]] no. 1 (scanner, line 4), notify: no such key; it is a key of [delivery]"],
    ),
    "key of the top": (
        'state_dir = "/x"',
        [f"7:1: {ACCOUNT}, state_dir: no such key; it stands at the top of the file, before the first table"],
    ),
    "table in capitals": ("[[Listener]]", ["7:1: Listener: no such key; did you mean listener?"]),
    "the second of a kind": (
        '[[listener]]\n[[listener]]\naddress = "25"\nnetworks = ["10.0.0.0/8", "x"]',
        [
            "9:11: [[listener]] no. 2 (line 8), address: expected ADDRESS:PORT",
            f"10:27: [[listener]] no. 2 (line 8), networks no. 2: {NETWORK}, found 'x'",
        ],
    ),
    "an unknown account": (
        '[[listener]]\naccount = "scaner"',
        ["8:11: [[listener]] no. 1 (line 7), account: expected the name of an account, found 'scaner'"],
    ),
    "several at once": (
        'default = yes\n[limits]\nsession = 1\nlogin_failures = 0\n[losses]\nreplyto = "keep"',
        [
            "7:11: a flag is true or false",
            "12:1: losses.replyto: no such loss; did you mean reply_to?",
            "10:18: limits.login_failures: expected 1 or more, found 0",
            "9:1: limits.session: no such key; did you mean sessions?",
        ],
    ),
    "nothing that anybody could guess": ("x = = 1", ["7:5: is not TOML: Invalid value"]),
}


@pytest.mark.parametrize(("text", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_where_it_stands(tmp_path, text, said):
    """ "is not TOML: Invalid value (at line 12, column 11)" sent people to look for an invisible space."""
    found = problems(tmp_path, BASE + text)
    assert [one[: len(wanted)] for one, wanted in zip(found, said, strict=False)] == said
    assert len(found) == len(said)


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


def test_files_that_windows_programs_save(tmp_path):
    """Notepad puts a mark before the file, and old editors end lines with CR: both are read."""
    path = tmp_path / "relay.toml"
    for octets in (b"\xef\xbb\xbf" + BASE.encode(), BASE.replace("\n", "\r").encode()):
        path.write_bytes(octets)
        assert load(path, {}, learned=False).account[0].name == "scanner"
    (found,) = problems(tmp_path, (BASE + "# 複合機\n").encode("cp932"))
    assert found.startswith("7:3: is not UTF-8 (perhaps Shift_JIS): save the file as UTF-8\n    # ")
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
