"""What people write into relay.toml by mistake, and what is said of it.

`tests.support.lists` makes docs/mistakes.md of them.
"""

BASE = '[works]\nclient_id = "i"\n\n[[account]]\nname = "scanner"\naddress = "scanner@example.com"\n'
LISTENER = BASE + "[[listener]]\n"
ACCOUNT = "[[account]] no. 1 (scanner, line 4)"
NETWORK = 'expected a network such as "192.168.0.0/16" or "::1/128"'

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
# After the same base. What is said of them stands in docs/mistakes.md alone.
MORE = {
    "an address without its port": '[[listener]]\naddress = "0.0.0.0"',
    "a port without its address": "[[listener]]\naddress = 25",
    "an address and port twice": '[[listener]]\naddress = "0.0.0.0:25"\n[[listener]]\naddress = "0.0.0.0:25"',
    "a range for a network": '[[listener]]\nnetworks = ["192.168.1.1-50"]',
    "an open relay": '[[listener]]\nnetworks = ["0.0.0.0/0"]',
    "SSL": '[[listener]]\ntls = "ssl"',
    "STARTTLS in capitals": '[[listener]]\ntls = "STARTTLS"',
    "TLS without a certificate": '[[listener]]\ntls = "implicit"',
    "a login by yes": '[[listener]]\nauth = "yes"',
    "a login without TLS": '[[listener]]\nauth = "required"',
    "several patterns in one text": '[[listener]]\nmay_send_as = ["*@example.com, *@example.net"]',
    "a domain for a sender": '[[listener]]\nmay_send_as = ["example.com"]',
    "an @ before a domain": '[[listener]]\nrecipient_domains = ["@example.com"]',
    "a size in words": '[[listener]]\nmessage_limit = "20 megabytes"',
    "a share of the disk": '[spool]\nkeep_free = "10%"',
    "a duration in words": '[delivery]\nwait = "10 seconds"',
    "a key of another name": '[delivery]\nexpire_after = "5d"',
    "a list for a text": '[delivery]\nnotify = ["admin@example.com"]',
    "a name for an address": '[delivery]\nnotify = "admin"',
    "a country for a language": '[delivery]\nnotice_language = "jp"',
    "a policy that a loss has not": '[losses]\nreply_to = "yes"',
    "a password where its hash belongs": '[[user]]\nname = "scanner"\npassword_hash = "hunter2"',
    "a password": '[[user]]\nname = "scanner"\npassword = "hunter2"',
    "two accounts of one name": '[[account]]\nname = "scanner"\naddress = "b@example.com"',
    "two defaults": 'default = true\n[[account]]\nname = "b"\naddress = "b@example.com"\ndefault = true',
    "an account without its address": '[[account]]\nname = "b"',
    "a name in kanji": '[[account]]\nname = "複合機"\naddress = "b@example.com"',
    "a name before an address": '[[account]]\nname = "b"\naddress = "Taro <b@example.com>"',
    "a network for a device": '[[device]]\naddress = "192.168.1.0/24"',
    "a MAC address": '[[device]]\naddress = "00:11:22:33:44:55"',
    "a public device": '[[device]]\naddress = "8.8.8.8"',
    "a role of another program": '[[console_user]]\nname = "me"\npassword_hash = "x"\nrole = "admin"',
    "a Bot by halves": '[alert]\nbot_id = "1"',
    "a command with its words in one text": '[alert]\ncommand = "/usr/local/bin/tell --loud"',
    "another database": '[spool]\nurl = "mysql://relay@db/relay"',
    "no number": '[limits]\nsessions = "many"',
    "a limit below its least": "[limits]\nlogin_failures = 0",
}
# In these nothing has to be wrong, and `relay check` asks whether they are meant.
SUSPICIOUS = {
    "an address of a network": '[[listener]]\nnetworks = ["192.168.1.10/24"]',
    "scopes with a comma": '[works]\nscope = "mail,user.read"',
    "the example's client_id": '[works]\nclient_id = "your-client-id"',
    "an example's mailbox": '[[account]]\nname = "b"\naddress = "b@example.com"',
}
