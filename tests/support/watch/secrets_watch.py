"""Over the whole suite: no secret and no content in a log at debug, a reply, a page, a metric or a trace.

Every process of the suite, those that tests start included (sitecustomize.py), writes down two things: what
was secret (passwords, client secrets, tokens, and of each message its subject and the beginning of its
body), and what was shown. At the end the one is searched for in the other: as it is, URL-encoded, and in
Base64 at each of its three alignments. tests/conftest.py begins and ends it.
"""

import base64
import importlib.abc
import importlib.machinery
import json
import os
import sys
import time
import traceback
from pathlib import Path
from urllib.parse import quote

FOLDER = "RELAY_SUITE_WATCH"
# Shorter ones are words that stand everywhere.
_SHORTEST, _SHORTEST_TEXT, _LONGEST_TEXT = 8, 16, 60
_BLOCK = 3  # octets that Base64 takes at a time
_GRAM = 8  # octets by which a disguise is looked up
# Hypothesis takes sentences of the code for texts ("account released"): what it invents here is nobody's
# content, and these tests convert and do nothing else.
_INVENTED = "tests/message/test_properties.py"
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


def begin(folder):
    """Write down what is secret and what is shown from now on, here and in processes that are started."""
    os.environ[FOLDER] = str(folder)
    here = str(Path(__file__).parent)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    listen()


def listen():
    """Watch this process's modules as they are imported."""
    _watch["folder"] = os.environ[FOLDER]
    loaded = sorted(set(_TAPS) & set(sys.modules))
    assert not any(name.startswith("relay") for name in loaded), f"imported too early: {loaded}"
    for name in loaded:
        _TAPS[name](sys.modules[name])
    sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        tap = _TAPS.get(name)
        spec = importlib.machinery.PathFinder.find_spec(name, path) if tap else None
        if spec is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                tap(module)

            spec.loader.exec_module = exec_module
        return spec


_watch = {}  # where to write: a test may give a process another environment
_files = {}


def write(kind, text):
    """Add a line: the test that runs, and what there was."""
    key = (os.getpid(), kind)
    line = json.dumps([os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0], text]) + "\n"
    try:
        if key not in _files:
            # A number of a process comes again in a long suite: two never write to one file.
            name = f"{_watch['folder']}/{kind}.{key[0]}.{time.monotonic_ns()}"
            _files[key] = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        os.write(_files[key], line.encode())
    except OSError:
        pass  # another user, a full disk or no descriptor, as a test wants it


def plant(kind, text):
    """This is secret."""
    if len(text.encode("utf-8", "replace")) >= _SHORTEST:
        write(f"planted-{kind}", text)


def _after(owner, name, see):
    """Let `see` have what a function was given and what it gave."""
    function = getattr(owner, name)

    def wrapper(*args, **kwargs):
        result = function(*args, **kwargs)
        see(result, *args)
        return result

    setattr(owner, name, wrapper)


def _tap_logs(structlog):
    configure = structlog.configure

    def tee(_, method, event):
        stack = traceback.format_exc() if event.get("exc_info") else ""
        write("log", f"{event!r} {stack}")
        level = "error" if method == "exception" else method
        if _LEVELS.get(level, 50) < tee.level:
            raise structlog.DropEvent
        return event

    def configure_and_listen(**settings):
        processors = settings.get("processors")
        if processors and not any(getattr(one, "__name__", "") == "tee" for one in processors):
            settings["processors"] = [*processors[:-1], tee, *processors[-1:]]
        wanted = settings.get("wrapper_class")
        if wanted is not None:
            name = wanted.__name__.removeprefix("BoundLoggerFilteringAt").lower()
            tee.level = _LEVELS.get(name, 0)
            if name in _LEVELS:
                settings["wrapper_class"] = structlog.make_filtering_bound_logger(0)
                settings["wrapper_class"].__name__ = wanted.__name__
        configure(**settings)

    tee.level = 0
    structlog.configure = configure_and_listen
    configure_and_listen(**structlog.get_config())


def _tap_replies(module):
    _after(module.Reply, "encode", lambda octets, _: write("reply", octets.decode("ascii")))


def _tap_pages(module):
    _after(module, "page", lambda response, *_: write("page", response.body.decode()))


def _tap_metrics(module):
    _after(module, "generate_latest", lambda octets, *_: write("metrics", octets.decode()))


def _tap_trace(module):
    _after(module, "note", lambda _, c, queue_id, event, detail: write("trace", repr((event, dict(detail)))))


def _tap_outcomes(module):
    _after(module.Outcome, "__init__", lambda _, outcome, *__: write("trace", repr(outcome)))


def _tap_life(module):
    for name in ("describe", "describe_life"):
        _after(module, name, lambda answer, *_: write("trace", repr(answer)))


def _tap_passwords(module):
    _after(module, "hash_password", lambda _, password: plant("password", password))
    _after(module, "verify_password", lambda _, __, password: plant("password", password))


def _tap_grants(module):
    def see(_, grant, *__):
        plant("access token", grant.access_token)
        plant("refresh token", grant.refresh_token)

    _after(module.Grant, "__init__", lambda _, grant, *__: see(_, grant))


def _tap_secrets(module):
    _after(module.SecretStr, "__init__", lambda _, __, value: plant("configured secret", value))


def _tap_mail(module):
    def see(_, mail, *__):
        if os.environ.get("PYTEST_CURRENT_TEST", "").startswith(_INVENTED):
            return
        for kind, text in (("subject", mail.subject), ("body", mail.body)):
            line = text.strip()[:_LONGEST_TEXT].partition("\n")[0].strip()
            if len(line) >= _SHORTEST_TEXT:
                plant(kind, line)

    _after(module.Mail, "__init__", see)


_TAPS = {
    "structlog": _tap_logs,
    "relay.reply": _tap_replies,
    "relay.console.pages": _tap_pages,
    "relay.console.app": _tap_metrics,
    "relay.spool.sqlite.statements": _tap_trace,
    "relay.operator.trace": _tap_life,
    "relay.outcome": _tap_outcomes,
    "relay.host.passwords": _tap_passwords,
    "relay.grants": _tap_grants,
    "relay.mail": _tap_mail,
    "pydantic.types": _tap_secrets,
}


def disguises(secret):
    """The secret as it may appear."""
    octets = secret.encode("utf-8", "replace")
    yield octets
    yield quote(octets, safe="").encode()
    for shift in range(_BLOCK):
        # The middle of the Base64 text, which is the same whatever stands before and behind.
        coded = base64.b64encode(b"\0" * shift + octets)
        yield coded[4 if shift else 0 : len(coded) // 4 * 4 - 4]


def read(folder, planted):
    """The lines of all processes: kind, test, text."""
    for path in sorted(Path(folder).iterdir()):
        kind = path.name.partition(".")[0]
        if kind.startswith("planted-") is planted:
            for line in path.read_text(errors="replace").splitlines():
                try:
                    test, text = json.loads(line)
                except ValueError:
                    # Its process was killed while it wrote: what was shown is searched as it stands.
                    test, text = "a process that was killed", "" if planted else line
                if text:
                    yield kind.removeprefix("planted-"), test, text


def search(folder):
    """Where secrets were shown: what kind of secret of which test, in which kind of text of which test."""
    by_gram = {}
    for kind, test, secret in dict.fromkeys(read(folder, planted=True)):
        for disguise in disguises(secret):
            if len(disguise) >= _GRAM:
                by_gram.setdefault(disguise[:_GRAM], {})[disguise] = (kind, test)
    found = {}
    # Four of five texts are told again and again: each is searched where it came first.
    shown = {text: where for *where, text in reversed(list(read(folder, planted=False)))}
    for text, (kind, test) in shown.items():
        octets = text.encode("utf-8", "replace")
        for at in range(len(octets) - _GRAM + 1):
            for disguise, (what, where) in by_gram.get(octets[at : at + _GRAM], {}).items():
                if octets.startswith(disguise, at):
                    found[what, where, kind, test] = octets[max(0, at - 60) : at]
    return found


def count(folder):
    """How much was planted and shown, by kind."""
    counts = {}
    for planted in (True, False):
        for kind, _, text in read(folder, planted=planted):
            lines, octets = counts.get(kind, (0, 0))
            counts[kind] = (lines + 1, octets + len(text))
    return counts
