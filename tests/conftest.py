"""What all tests share."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import hypothesis
import pytest
import structlog

from tests.support.watch import secrets_watch

# The suite's examples do not depend on chance, so that what is red is red again (only on the modules that are
# loaded, whose constants are drawn too). Others are looked for by tests/long/fuzz, and by
# `pytest --hypothesis-profile=default`.
hypothesis.settings.register_profile("suite", derandomize=True, database=None)
hypothesis.settings.load_profile("suite")

# Hundreds of processes start in a run: each would compile the relay anew where this is set, as in containers.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Before anything of the relay is imported, by the conftest.py of a folder for instance.
# A worker of pytest-xdist listens already, as every process that is started here does; the process that
# started it searches, when all of them have ended.
_IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
if _IS_WORKER:
    _WATCH = Path(os.environ[secrets_watch.FOLDER])
else:
    _WATCH = Path(tempfile.mkdtemp(prefix="relay-suite-"))
    secrets_watch.begin(_WATCH)
_LEAKS = pytest.StashKey()

# What logs without being set up draws a traceback in frames and colours: a second of the processor for each.
_PLAIN = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], _PLAIN])


def pytest_addoption(parser):
    parser.addoption(
        "--bless", action="store_true", help="rewrite tests/golden/*.json from what the code does now"
    )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    if _IS_WORKER:
        return
    session.config.stash[_LEAKS] = leaks = secrets_watch.search(_WATCH)
    if leaks:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    if _IS_WORKER:
        return
    counts = secrets_watch.count(_WATCH)
    terminalreporter.section("secrets")
    octets = sum(size for _, size in counts.values())
    lines = ", ".join(f"{kind}: {number}" for kind, (number, _) in sorted(counts.items()))
    terminalreporter.line(f"{octets / 1e6:.1f} MB in lines of {lines}")
    for (what, owner, kind, test), before in config.stash.get(_LEAKS, {}).items():
        terminalreporter.line(f"LEAKED: {what} of {owner} in a {kind} of {test}, behind {before!r}", red=True)
    shutil.rmtree(_WATCH, ignore_errors=True)
