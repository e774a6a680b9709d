"""aiosmtpd's own tests of its session, from its source distribution, against ours.

Our class takes the place of aiosmtpd.smtp.SMTP (aiosmtpd_adapter.py); replies are compared by their
codes, because our texts are sentences. Every test that differs needs a row below with its reason; one
without a row, or a run that ends early, fails. docs/aiosmtpd-differences.md is this list for readers.

All of its test modules run, each test for five seconds at most. Wants pytest-mock and pytest-timeout.
"""

import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from tests.long.security.harness import main

VERSION = "1.4.6"
FILES = (
    "test_smtp.py",
    "test_smtps.py",
    "test_smtpsmuggling.py",
    "test_starttls.py",
    "test_proxyprotocol.py",
    "test_lmtp.py",
    "test_handlers.py",
    "test_server.py",
    "test_main.py",
)
_HERE = Path(__file__).parent
# What differs, and why. The first row that matches counts.
REASONS = {
    r"test_proxyprotocol": (
        "a PROXY header is read from the bare socket, with aiosmtpd's own parser, before there is a session"
    ),
    r"TestUnixSocketController|test_unixsocket": "listeners are TCP sockets; a client has an address",
    r"test_lmtp": "there is no LMTP; aiosmtpd's LMTP class inherits HELO, EHLO and HELP from the session",
    r"TestRequireTLS::": "TLS is asked for by MAIL alone (530), where a login is: nothing goes on without it",
    r"test_(failed_handshake|disabled_tls|tls_handshake_failing)": (
        "STARTTLS where it is not offered is 502; after STARTTLS nothing in plain text is heard (RFC 3207 §6)"
    ),
    r"test_starttls.*(eof_received|forget_ehlo)": (
        "looks into inner attributes of the stock class; MAIL without HELO is taken"
    ),
    r"test_starttls.*TestRequireTLSAUTH": (
        "AUTH without a mechanism or without users is answered as the relay does: 504, 503"
    ),
    r"TestTLSContext|TestFactory|test_warn_authreq|test_socket_error": (
        "about aiosmtpd's own log lines and constructor warnings"
    ),
    r"test_handlers": (
        "hooks of aiosmtpd's handlers and its own handlers that print or pass on: the relay has none"
    ),
    r"test_main": "about aiosmtpd's own command line",
    r"TestSMTP::test_help|::test_help_": (
        "HELP gives one fixed text (RFC 5321 §4.1.1.8 leaves it free), also before a login"
    ),
    r"test_(mail|rcpt)_valid_address|bpo27931fix": (
        "addresses that the API would misread are refused: quotes, comments, controls, `;`, no domain"
    ),
    r"test_quit_with_args|test_rset_with_arg": ("arguments that mean nothing are ignored: devices send them"),
    r"test_vrfy": "VRFY answers 252 whatever is asked (RFC 5321 §7.3)",
    r"test_(ehlo|ehlo_no_hostname|helo_no_hostname)$": (
        "an empty HELO or EHLO is taken; EHLO lists our extensions"
    ),
    r"test_no_helo": "MAIL without HELO is taken: some devices never say it",
    r"test_(mail|rcpt)_(e)?smtp_errsyntax": (
        "parameters after HELO are taken, and so are paths without brackets"
    ),
    r"TestSMTPAuth::test_(helo|no_ehlo)": "AUTH is taken after HELO and before any greeting (FRITZ!Box)",
    r"test_close_then_continue|test_default_greeting|test_custom_greeting": "the banner has our own words",
    r"test_way_too_long_command|test_long_line|too_long|line_too_long": (
        "command lines are bounded by 12 KiB and then closed; lines of content have no limit, only "
        "the message has"
    ),
    r"test_esmtp_no_size_limit": "SIZE 0 is said where there is no limit (RFC 1870 §3)",
    r"TestLimits": "commands are limited by their errors and idle chatter, not by a table of verbs",
    r"TestAuthMechanisms::test_(DENYFALSE|DENYMISSING|NONE|custom_mechanism|ehlo)|loginteract_warning": (
        "there are two mechanisms, PLAIN and LOGIN; handlers cannot add others"
    ),
    r"TestAuthArgs|sanitized_log": "about aiosmtpd's own log lines and constructor warnings",
    r"TestAuthenticator": "about aiosmtpd's own AuthResult object",
    r"test_not_enough_values": "AUTH without a mechanism is 504, as any other unknown one",
    r"TestRequiredAuthentication": (
        "only MAIL asks for a login; DATA and RCPT without MAIL are out of order (503)"
    ),
    r"TestClientCrash|TestResetCommands|test_empty_email|honors_mail_delimiters|test_data_354": (
        "looks into inner attributes of the stock class (_writer, envelope), or stops its Controller "
        "in the middle of DATA"
    ),
    r"test_unexpected_errors|test_exception_handler": (
        "there is no handle_exception hook: a fault of ours is always 451 4.3.0 with a fixed text"
    ),
    r"test_dots_escaped": "decode_data does not exist: content stays octets",
    r"test_bad_encodings|TestStrictASCII": (
        "addresses are UTF-8 or refused; SMTPUTF8 is always offered, and 8-bit content always taken"
    ),
    r"test_mail_invalid_body": "an unknown BODY= is 555 (RFC 5321 §4.1.1.11), not 501",
    r"incompatible_smtputf8": "SMTPUTF8=anything is taken as SMTPUTF8",
    r"TestTimeout|TestSleepingHandler": (
        "time limits are kept by the server for all sessions at once, which the adapter has not; "
        "tests/smtp has these"
    ),
}


def fetch(folder):
    """The source distribution's tests, unpacked."""
    words = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--no-binary",
        ":all:",
        "-d",
        str(folder),
    ]
    subprocess.run([*words, f"aiosmtpd=={VERSION}"], check=True, capture_output=True, timeout=200)
    with tarfile.open(folder / f"aiosmtpd-{VERSION}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    # A package of another name: `aiosmtpd` itself is the installed one.
    suite = folder / "suite"
    suite.mkdir()
    (folder / f"aiosmtpd-{VERSION}" / "aiosmtpd" / "tests").rename(suite / "tests")
    return suite


def run(suite, names, *choice, seconds=5):
    """The verdict of each test, in a pytest that has only the plug-ins that these tests want.

    Asserts stay as written, and no plug-in is loaded that imports more at the end: both read source text
    with `ast`, which on CPython before 3.11.9 and 3.12.3 fails now and then ("recursion depth mismatch")
    while one of the suite's own threads prints a traceback, which reads source text as well.
    """
    words = [
        sys.executable,
        "-m",
        "pytest",
        "--assert=plain",
        "-p",
        "pytest_mock",
        "-p",
        "pytest_timeout",
        "-p",
        "aiosmtpd_adapter",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore",
    ]
    words += [
        "--timeout",
        str(seconds),
        "--tb=no",
        "-q",
        "-rA",
        *(f"tests/{name}" for name in names),
        *choice,
    ]
    done = subprocess.run(
        words,
        cwd=suite,
        env={**os.environ, "PYTHONPATH": str(_HERE), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    found = re.findall(r"^(PASSED|FAILED|ERROR) tests/(\S+)", done.stdout, re.MULTILINE)
    if not re.search(r"\d (passed|failed|error)", done.stdout[-200:]):
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    return found


def find_reason(test):
    return next((why for pattern, why in REASONS.items() if re.search(pattern, test)), None)


def run_alone(suite, found):
    """Those that differ without a reason, and pass when nothing runs before them.

    A test that is cut off after its five seconds leaves its controller behind, and on a busy machine takes
    the next one along: that one's own controller is then not ready in time. Alone it has a minute.
    """
    doubtful = {test for verdict, test in found if verdict != "PASSED" and find_reason(test) is None}
    return {test for test in doubtful if passes_alone(suite, test)}


def passes_alone(suite, test):
    return {verdict for verdict, _ in run(suite, [test], seconds=60)} == {"PASSED"}


def measure(*, short=False):
    missing = [name for name in ("pytest_mock", "pytest_timeout") if find_spec(name) is None]
    if missing:
        return {"not installed": missing, "reached": False}
    with tempfile.TemporaryDirectory() as name:
        try:
            suite = fetch(Path(name))
        except (OSError, subprocess.SubprocessError):
            return {"not installed": [f"aiosmtpd's source distribution, release {VERSION}"], "reached": False}
        # The commands themselves take three seconds; others wait for what never comes.
        found = run(suite, FILES, *(("-k", "TestProtocol or TestSMTP or smuggling") if short else ()))
        alone = run_alone(suite, found)
    passed = {test for verdict, test in found if verdict == "PASSED"}
    differing = {test for verdict, test in found if verdict != "PASSED"}
    by_reason, unexplained, modules = {}, [], Counter()
    for test in passed | differing:
        modules[test.partition("::")[0]] += 1
    for test in sorted(differing - alone):
        reason = find_reason(test)
        if reason is None:
            unexplained.append(test)
        else:
            by_reason[reason] = by_reason.get(reason, 0) + 1
    return {
        "tests of each module": dict(modules),
        "passed": len(passed - differing),
        "passed alone": sorted(alone),
        "differ, with a reason": sum(by_reason.values()),
        "reasons": by_reason,
        "differ without a reason": unexplained,
        "reached": len(passed) > (50 if short else 250) and not unexplained,
    }


if __name__ == "__main__":
    main(measure, __doc__.partition("\n")[0])
