"""What all tests share."""

import shutil
import tempfile
from pathlib import Path

import pytest
import secrets_watch

# Before anything of the relay is imported, by the conftest.py of a folder for instance.
_WATCH = Path(tempfile.mkdtemp(prefix="relay-suite-"))
secrets_watch.begin(_WATCH)
_LEAKS = pytest.StashKey()


def pytest_addoption(parser):
    parser.addoption(
        "--bless", action="store_true", help="rewrite tests/golden/*.json from what the code does now"
    )


def pytest_sessionfinish(session):
    session.config.stash[_LEAKS] = leaks = secrets_watch.search(_WATCH)
    if leaks:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    counts = secrets_watch.count(_WATCH)
    terminalreporter.section("secrets")
    octets = sum(size for _, size in counts.values())
    lines = ", ".join(f"{kind}: {number}" for kind, (number, _) in sorted(counts.items()))
    terminalreporter.line(f"{octets / 1e6:.1f} MB in lines of {lines}")
    for (what, owner, kind, test), before in config.stash.get(_LEAKS, {}).items():
        terminalreporter.line(f"LEAKED: {what} of {owner} in a {kind} of {test}, behind {before!r}", red=True)
    shutil.rmtree(_WATCH, ignore_errors=True)
