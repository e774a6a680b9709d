"""Every problem of a configuration is reported at once, in words."""

import pytest

from relay.config.load import ConfigError, build, load

ADDRESS = 'ADDRESS:PORT, such as "127.0.0.1:2525" or "[::]:25"'
HIDDEN = "(a secret, not shown)"


def problems(tree, environ=None):
    with pytest.raises(ConfigError) as caught:
        build(tree, environ or {})
    return caught.value.problems


def test_all_problems_at_once_each_with_key_wish_and_find():
    found = problems(
        {
            "works": {"requests_per_minute": True, "api_url": "http://api.example.com"},
            "listener": [{"tls": "ssl", "prot": 1}],
            "delivery": {"wait": "5x", "retry": ["4h*", "1m"]},
            "user": [{"name": "u", "account": "nobody"}],
        }
    )
    text = "\n".join(found)
    assert "works.requests_per_minute: expected a whole number, found True" in text
    assert "works.api_url: expected an https URL" in text
    assert "[[listener]] no. 1, tls: expected 'none', 'starttls' or 'implicit', found 'ssl'" in text
    assert "[[listener]] no. 1, prot: no such key" in text
    assert "delivery.wait: expected a duration" in text
    assert "only the last step can be without end" in text
    assert "[[user]] no. 1 (u): expected password_hash" in text
    assert "[[user]] no. 1 (u), account: expected the name of an account, found 'nobody'" in text
    assert len(found) == 8


def test_a_key_that_is_nearly_right_is_guessed():
    assert problems({"delivery": {"retries": []}}) == ["delivery.retries: no such key; did you mean retry?"]


def test_problems_between_keys():
    text = "\n".join(
        problems(
            {
                "account": [
                    {"name": "a", "address": "a@example.com", "default": True},
                    {"name": "a", "address": "A@example.com", "default": True},
                ],
                "user": [{"name": "u", "password_hash": "$argon2id$x", "account": "nobody"}],
            }
        )
    )
    assert "[[account]] no. 2 (a), name: 'a' is there twice" in text
    assert "[[account]] no. 2 (a), address: 'a@example.com' is there twice" in text
    assert "only one can be the default" in text
    assert "[[user]] no. 1 (u), account: expected the name of an account, found 'nobody'" in text


def test_a_wrong_key_hides_no_problem_across_keys():
    """With one key wrong, what several keys said together was told only when that one was mended."""
    listener = {"address": "25", "tls": "starttls", "networks": ["0.0.0.0/0"]}
    found = problems({"listener": [listener], "user": [{"name": ""}]})
    assert [problem.partition(" (")[0] for problem in found] == [
        f"[[listener]] no. 1, address: expected {ADDRESS}, found '25'",
        "[[listener]] no. 1: anybody in 0.0.0.0/0 could send",
        '[[listener]] no. 1: certificate_file is needed for tls = "starttls"',
        "[[user]] no. 1, name: expected a text that is not empty, found ''",
        "[[user]] no. 1: expected password_hash",
    ]


@pytest.mark.parametrize(
    ("tree", "key"),
    [
        ({"listener": [{"tls": "ssl", "auth": "required"}]}, "[[listener]] no. 1, tls"),
        ({"listener": [{"auth": "yes", "networks": ["0.0.0.0/0"]}]}, "[[listener]] no. 1, auth"),
        ({"listener": [{"tls": "implicit", "certificate_file": 3}]}, "[[listener]] no. 1, certificate_file"),
        (
            {"listener": [{"auth": "required", "auth_without_tls": "x"}]},
            "[[listener]] no. 1, auth_without_tls",
        ),
        ({"user": [{"name": "u", "password_hash": "x"}]}, "[[user]] no. 1 (u), password_hash"),
        ({"user": [{"name": "u", "certificate": 3}]}, "[[user]] no. 1 (u), certificate"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_follows_from_a_wrong_key_alone_is_no_problem_of_its_own(tree, key):
    (problem,) = problems(tree)
    assert problem.startswith(f"{key}: expected ")


def test_a_password_in_plain_text_needs_its_own_word():
    assert problems({"listener": [{"auth": "required"}]}) == [
        '[[listener]] no. 1: auth = "required" needs tls, or auth_without_tls = true'
    ]
    build({"listener": [{"auth": "required", "auth_without_tls": True}]}, {})


@pytest.mark.parametrize("value", ["yes", "on", "y", "t", "", "tru", 2])
def test_a_flag_is_true_or_false_and_no_other_text(value):
    """ "yes" was true to the accounts and unknown to the check that only one of them is the default."""
    account = {"name": "a", "address": "a@example.com", "default": value}
    assert problems({"account": [account]}) == [
        f"[[account]] no. 1 (a), default: expected true or false, found {value!r}"
    ]


@pytest.mark.parametrize("value", ["true", "True", "1", True, 1])
def test_two_defaults_are_found_however_true_is_written(value):
    """The environment has nothing but texts."""
    accounts = [{"name": n, "address": f"{n}@example.com", "default": value} for n in "ab"]
    assert problems({"account": accounts}) == ["[[account]] no. 2 (b), default: only one can be the default"]
    environ = {"RELAY_ACCOUNT__0__DEFAULT": "1", "RELAY_ACCOUNT__0__TRACKING": "FALSE"}
    (account,) = build({"account": [accounts[0]]}, environ).account
    assert (account.default, account.tracking) == (True, False)


def test_a_key_with_a_hyphen_is_named():
    """It was taken for an inner name of pydantic's, and only the table was named."""
    found = problems({"losses": {"reply-to": "bogus"}, "works": {"client-id": "x"}})
    assert found == [
        "works.client-id: no such key; did you mean client_id?",
        "losses.reply-to: expected 'keep', 'drop', 'reject' or 'attach', found 'bogus'",
    ]


@pytest.mark.parametrize("auth", ["off", "optional"])
@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "8.8.8.0/24", "2001:db8::/16"])
def test_an_open_relay_is_refused(auth, network):
    (problem,) = problems({"listener": [{"auth": auth, "networks": ["10.0.0.0/8", network]}]})
    assert "open relay" in problem
    assert 'auth = "required"' in problem


@pytest.mark.parametrize("auth", ["off", "optional"])
@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "8.8.8.0/24"])
def test_an_open_relay_by_a_balancers_header_is_refused(auth, network):
    """Whoever may send a PROXY header writes an address of the networks into it."""
    (problem,) = problems({"listener": [{"auth": auth, "proxy_networks": ["10.0.0.0/8", network]}]})
    assert f"anybody in {network} could send (an open relay), for whoever is in proxy_networks" in problem
    login = {"auth": "required", "auth_without_tls": True, "proxy_networks": [network]}
    assert build({"listener": [login]}, {})


def test_losses_are_a_closed_list_each_with_its_policies():
    assert problems({"losses": {"replyto": "keep"}}) == [
        "losses.replyto: no such loss; did you mean reply_to?"
    ]
    assert problems({"losses": {"threading": "keep"}}) == [
        "losses.threading: expected one of attach, drop, reject, found 'keep'"
    ]


def test_a_secret_is_never_shown():
    text = "\n".join(problems({"works": {"client_secret": ["hunter2"]}, "user": [{"password_hash": 7}]}))
    assert "hunter2" not in text
    assert "7" not in text


def test_the_environment_overrides_by_name_and_index(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    config = build(
        {"account": [{"name": "a", "address": "a@example.com"}]},
        {
            "RELAY_HOSTNAME": "relay.example.com",
            "RELAY_WORKS__CLIENT_ID": "id",
            "RELAY_WORKS__CLIENT_SECRET_FILE": str(secret),
            "RELAY_ACCOUNT__0__USER_ID": "b@example.com",
            "RELAY_ACCOUNT__1__NAME": "c",
            "RELAY_ACCOUNT__1__ADDRESS": "c@example.com",
            "RELAY_LISTENER__0__NETWORKS": "10.0.0.0/8, 127.0.0.0/8",
            "RELAY_DELIVERY__RETRY": "1m, 2m*3, 1h*",
            "RELAY_DELIVERY__WAIT": "0",
        },
    )
    assert config.hostname == "relay.example.com"
    assert config.works.client_secret.get_secret_value() == "s3cret"
    assert [a.user_id for a in config.account] == ["b@example.com", "me"]
    assert [str(n) for n in config.listener[0].networks] == ["10.0.0.0/8", "127.0.0.0/8"]
    assert config.delivery.wait == 0


def secret_of(works, environ):
    return build({"works": works}, environ).works.client_secret.get_secret_value()


def test_the_environment_goes_before_relay_toml_in_both_of_its_forms(tmp_path):
    """A container that is given the secret as a file went on with the one of relay.toml."""
    mounted, named = tmp_path / "mounted", tmp_path / "named"
    mounted.write_text("of a file of the environment")
    named.write_text("of a file of relay.toml")
    by_file, by_value = {"RELAY_WORKS__CLIENT_SECRET_FILE": str(mounted)}, {"RELAY_WORKS__CLIENT_SECRET": "x"}
    for works in ({}, {"client_secret": "of relay.toml"}, {"client_secret_file": str(named)}):
        assert secret_of(dict(works), by_file) == "of a file of the environment"
        assert secret_of(dict(works), by_value) == "x"
        assert secret_of(dict(works), by_file | by_value) == "x"
    assert secret_of({"client_secret": "of relay.toml"}, {}) == "of relay.toml"
    assert secret_of({"client_secret_file": str(named)}, {}) == "of a file of relay.toml"


NO_PASSWORD = "expected a URL without a password, which stands in password_file"
PROXY = "http://relay:p%40ssword@proxy.example:3128"


def test_the_proxy_comes_from_its_file_the_environment_or_a_credential(tmp_path):
    named = tmp_path / "proxy"
    named.write_text(PROXY + "/\n")
    for works, environ in (
        ({"proxy": PROXY}, {}),
        ({"proxy_file": str(named)}, {}),
        ({}, {"RELAY_WORKS__PROXY": PROXY}),
        ({}, {"RELAY_WORKS__PROXY_FILE": str(named)}),
        ({}, {"CREDENTIALS_DIRECTORY": str(tmp_path)}),
    ):
        config = build({"works": works}, environ)
        assert config.works.proxy.get_secret_value() == PROXY
        assert "40ssword" not in repr(config)
    assert build({}, {}).works.proxy.get_secret_value() == ""


@pytest.mark.parametrize(
    "proxy",
    [
        "proxy.example:3128",
        "https://proxy.example:3128",
        "socks5://proxy.example:3128",
        "http://proxy.example",
        "http://proxy.example:3128/path",
        "http://:3128",
        "http://relay:s3cr#t@proxy.example:3128",
        "http://relay:s3cr/t@proxy.example:3128",
    ],
)
def test_a_proxy_that_is_none_is_told_without_its_password(proxy):
    (found,) = problems({"works": {"proxy": proxy}})
    assert found.startswith('works.proxy: expected "http://HOST:PORT"')
    assert found.endswith("found (a secret, not shown)")
    assert "s3cr" not in found


def test_any_key_can_come_from_a_file(tmp_path):
    name = tmp_path / "name"
    name.write_text("relay.example.com\n")
    assert build({}, {"RELAY_HOSTNAME_FILE": str(name)}).hostname == "relay.example.com"


def test_a_misspelt_variable_is_an_error_but_kubernetes_is_left_alone():
    """A service called relay gives every pod RELAY_PORT=tcp://…"""
    build({}, {"RELAY_PORT": "tcp://10.0.0.1:25", "RELAY_SERVICE_HOST": "10.0.0.1"})
    assert problems({}, {"RELAY_WORKS__CLIENT_IT": "x"}) == [
        "$RELAY_WORKS__CLIENT_IT: works.client_it: no such key; did you mean client_id?"
    ]


def test_a_systemd_credential_is_the_secret(tmp_path):
    (tmp_path / "client_secret").write_text("s3cret")
    config = build({}, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert config.works.client_secret.get_secret_value() == "s3cret"


def test_a_file_that_is_not_there_or_not_toml(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.toml", {})
    broken = tmp_path / "broken.toml"
    broken.write_text("[works\n")
    with pytest.raises(ConfigError, match="the brackets do not match"):
        load(broken, {})


def test_the_configuration_is_found_by_option_then_environment(tmp_path):
    path = tmp_path / "relay.toml"
    path.write_text('hostname = "a.example.com"\n')
    assert load(None, {"RELAY_CONFIG": str(path)}).hostname == "a.example.com"
    assert load(path, {"RELAY_CONFIG": "/nowhere"}).hostname == "a.example.com"


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        (
            {"works": [{"client_secret": "hunter2"}]},
            "works: expected [works], with one bracket, found [[works]]",
        ),
        (
            {"user": {"name": "u", "password_hash": "hunter2"}},
            "user: expected [[user]], with two brackets, found [user]",
        ),
        ({"losses": [{"x": "hunter2"}]}, "losses: expected a table, found a list of tables"),
        (
            {"spool": {"url": "postgresql://db/relay?user=relay&password=hunter2"}},
            f"spool.url: {NO_PASSWORD}, found 'postgresql://db/relay?user=relay&password=(not shown)'",
        ),
        (
            {"spool": {"url": "postgresql://relay:hunter2@db/relay"}},
            f"spool.url: {NO_PASSWORD}, found 'postgresql://(not shown)@db/relay'",
        ),
        (
            {"user": [{"name": "u", "password_hash": "hunter2"}]},
            f"[[user]] no. 1 (u), password_hash: expected what `relay passwd` prints, found {HIDDEN}",
        ),
    ],
    ids=lambda value: value.split(":")[0] if isinstance(value, str) else "",
)
def test_a_secret_in_the_wrong_place_is_not_shown_either(tree, said):
    """A table in the wrong brackets came out whole, secrets and all, in the terminal and the journal."""
    assert problems(tree) == [said]


@pytest.mark.parametrize("value", ["8580", "nonsense"])
def test_what_may_be_empty_is_one_problem_and_not_two(value):
    """ "expected '', found" told nobody what to write."""
    assert sorted(problems({"console": {"address": value}, "delivery": {"notify": value}})) == [
        f'console.address: expected ADDRESS:PORT, such as "127.0.0.1:2525" or "[::]:25", found {value!r}',
        f'delivery.notify: expected an address such as "scanner@example.com", found {value!r}',
    ]


@pytest.mark.parametrize("value", ["[::1:25", "::1]:25", "[[::1]]:25", "127.0.0.1]:25", "[:25", "[]:25"])
def test_an_address_with_half_a_bracket_is_refused(value):
    """The bracket was taken off all the same; `[]` listened everywhere."""
    (problem,) = problems({"listener": [{"address": value}]})
    assert problem.startswith("[[listener]] no. 1, address: expected ")
    assert problem.endswith(f"found {value!r}")


@pytest.mark.parametrize("value", ["[::1]:25", "[::]:0", "127.0.0.1:25", "localhost:65535"])
def test_an_address_with_whole_brackets_or_none_is_taken(value):
    assert build({"listener": [{"address": value}]}, {}).listener[0].address == value


@pytest.mark.parametrize(
    "tree", [{"hostname": "relay example"}, {"hostname": "a\r\n220 b"}, {"hostname": "中継"}]
)
def test_a_hostname_that_would_break_the_banner_is_refused(tree):
    """It stands in replies, where a space or a line end begins something else."""
    assert "hostname: expected a host name" in problems(tree)[0]


def test_a_redirect_url_that_is_none_is_refused():
    """It was found out only at `relay login`."""
    assert "works.redirect_url: expected a URL" in problems({"works": {"redirect_url": "localhost"}})[0]


@pytest.mark.parametrize("key", ["api_url", "auth_url", "redirect_url"])
@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:99999/v1.0",
        "http://127.0.0.1:0/v1.0",
        "https://host:abc/v1.0",
        "https://",
        "https:///v1.0",
        "https://:443/v1.0",
        "https://[::1/v1.0",
        "https://a..example/v1.0",
        f"https://{'x' * 64}.example/v1.0",
    ],
)
def test_a_url_that_leads_nowhere_is_refused(key, url):
    """Commands ended in a traceback by it, and what had never left the machine counted as unknown."""
    (problem,) = problems({"works": {key: url}})
    assert problem == (
        f'works.{key}: expected a URL such as "https://host.example", its port, if any, from 1 to 65535, '
        f"found {url!r}"
    )


@pytest.mark.parametrize(
    "url", ["https://works.example:65535/v1.0", "http://[::1]:1", "https://例え.example"]
)
def test_a_url_that_leads_somewhere_is_taken(url):
    works = build({"works": {"api_url": url, "redirect_url": url}}, {}).works
    assert (works.api_url, works.redirect_url) == (url, url)


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        (
            {"delivery": {"no_subject": ""}},
            "delivery.no_subject: expected a text that is not empty, found ''",
        ),
        (
            {"delivery": {"no_subject": "x" * 181}},
            f"delivery.no_subject: expected at most 180 characters, found '{'x' * 181}'",
        ),
        ({"works": {"concurrency": 0}}, "works.concurrency: expected 1 or more, found 0"),
        ({"works": {"concurrency": 1001}}, "works.concurrency: expected 1000 or less, found 1001"),
        (
            {"limits": {"sessions": "9" * 5000}},
            f"limits.sessions: expected a whole number, found '{'9' * 199}",
        ),
        (
            {"user": [{"name": "u", "certificate": "u", "priority": "high"}]},
            "[[user]] no. 1 (u), priority: expected '', 'urgent', 'normal' or 'bulk', found 'high'",
        ),
        ({"state_dir": 3}, "state_dir: expected a text in quotes, found 3"),
    ],
    ids=lambda value: value.partition(",")[0] if isinstance(value, str) else "",
)
def test_what_is_said_is_never_pydantics_own_wording(tree, said):
    """ "String should have at least 1 character" is no sentence for whoever wrote the file."""
    assert problems(tree) == [said]


@pytest.mark.parametrize("value", ["abc", ["1m", "abc"], ["1m", 5], [""], [], 5, ["5m\n"]])
def test_a_schedule_that_is_none_asks_for_a_list_of_steps(value):
    """It asked for a duration, and a duration alone would have been a schedule of one step."""
    assert problems({"delivery": {"retry": value}}) == [
        f'delivery.retry: expected a list of steps such as ["1m", "5m*2", "4h*"], found {value!r}'
    ]


def test_a_loss_that_does_not_exist_is_reported_with_everything_else():
    """All problems at once: it was told only when everything else was mended."""
    text = "\n".join(problems({"losses": {"replyto": "keep"}, "delivery": {"wait": "soon"}}))
    assert "losses.replyto: no such loss; did you mean reply_to?" in text
    assert "delivery.wait: expected a duration" in text


def test_an_unreadable_secret_file_says_what_systemd_wants(tmp_path):
    """The unit hands the secret over as a credential; the file itself is root's alone."""
    missing = tmp_path / "client_secret"
    found = problems({"works": {"client_secret_file": str(missing)}})
    assert len(found) == 1
    assert f"works.client_secret_file: {missing}: cannot be read (No such file or directory)" in found[0]
    assert "under systemd leave the key out" in found[0]


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read"), (b"\xff", "not UTF-8"), (b"", "empty")]
)
def test_a_secret_file_is_reported_with_everything_else(tmp_path, content, said):
    """It was told only when everything else was mended."""
    path = tmp_path / "client_secret"
    if content is not None:
        path.write_bytes(content)
    works = {"client_secret_file": str(path), "requests_per_minute": "many"}
    found = problems({"works": works, "delivery": {"wait": "soon"}})
    assert len(found) == 3
    assert said in found[0]


@pytest.mark.parametrize(
    ("state_dir", "said"),
    [
        ("", "an absolute path"),
        ("state", "an absolute path"),
        ("/" + "x" * 93, None),
        ("/" + "x" * 94, "at most"),
    ],
)
def test_a_state_directory_that_commands_could_not_share(state_dir, said):
    """A relative one is another in each folder, and a long one has no room for its socket: a traceback."""
    if said is None:
        build({"state_dir": state_dir}, {})
    else:
        assert said in problems({"state_dir": state_dir})[0]
