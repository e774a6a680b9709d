"""Run the tests of `relay.django` on each release of Django that is supported, and time mail in masses.

    .venv/bin/python -m tests.long.clients.django_matrix [--folder FOLDER] [RELEASE …]

Each release gets an environment of its own in FOLDER, which is kept: a second run is quick, unless
pyproject.toml has changed. It is made by the newest Python that is installed and that the release takes. A
release that no Python here takes is named, and the run is red. Mail in masses: a hundred messages by
`send_mass_mail`, over one connection, against the limits that Works has (60 mails a minute for a mailbox).
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

RELEASES = {"5.2": ("3.11", "3.12", "3.13"), "6.0": ("3.12", "3.13"), "6.1": ("3.12", "3.13")}
TESTS = ("tests/django", "tests/e2e/test_django.py")
MOST_SECONDS = 2.0  # for a hundred messages
_MASS = """
import sys, time
import django
from django.conf import settings
port = int(sys.argv[1])
options = {"host": "127.0.0.1", "port": port}
backend = "relay.django.EmailBackend"
if django.VERSION >= (6, 1):
    settings.configure(MAILERS={"default": {"BACKEND": backend, "OPTIONS": options}})
else:
    settings.configure(EMAIL_BACKEND=backend, EMAIL_HOST="127.0.0.1", EMAIL_PORT=port)
django.setup()
from django.core.mail import send_mass_mail
letters = [(f"letter {n}", "text", "scanner@example.com", [f"{n}@example.com"]) for n in range(100)]
began = time.monotonic()
assert send_mass_mail(letters) == 100
print(time.monotonic() - began)
"""


def find_python(releases):
    """The newest of these Pythons, on the path or among pyenv's; None if none is installed."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    for release in reversed(releases):
        known = [
            *sorted(root.glob(f"{release}.*/bin/python"), reverse=True),
            shutil.which(f"python{release}"),
        ]
        for python in filter(None, known):
            if (
                subprocess.run([python, "-c", "import venv"], capture_output=True, check=False).returncode
                == 0
            ):
                return str(python)
    return None


def make_environment(folder, release):
    """An environment with this release of Django; its python."""
    own = folder / f"django-{release}"
    python, made = own / "bin/python", own / "made"
    wanted = hashlib.sha256(Path("pyproject.toml").read_bytes()).hexdigest()
    if not made.exists() or made.read_text() != wanted:
        base = find_python(RELEASES[release])
        if base is None:
            return None
        subprocess.run([base, "-m", "venv", "--clear", own], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", ".[test]", f"django=={release}.*"], check=True)
        made.write_text(wanted)
    return python


def time_mass_mail(python):
    """Seconds that a hundred messages take, with the pacing that Works asks for."""
    command = [python, "-m", "relay", "sandbox", "--json", "--smtp-port=0", "--http-port=0"]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said) as relay,
    ):
        try:
            line = relay.stdout.readline()
            said.seek(0)
            assert line, said.read().decode()
            words = [python, "-c", _MASS, json.loads(line)["smtp"].rpartition(":")[2]]
            done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True)
            return float(done.stdout)
        finally:
            relay.terminate()
            relay.communicate()


def run(release, folder):
    """Whether all is well on one release."""
    python = make_environment(folder, release)
    if python is None:
        print(f"Django {release}: NOT TESTED, no Python of {', '.join(RELEASES[release])} is installed")
        return False
    code = "import django, sys; print(django.__version__, 'on Python', sys.version.split()[0])"
    name = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    tests = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS],
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time_mass_mail(python)
    green = tests.returncode == 0
    print(f"Django {name}: {tests.stdout.strip().splitlines()[-1]}; 100 mails in {seconds:.2f} s", flush=True)
    if not green:
        print(tests.stdout)
    return green and seconds < MOST_SECONDS


def main():
    """0 if every release is green."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir(), "relay-django-matrix"))
    parser.add_argument("releases", nargs="*", default=list(RELEASES), metavar="RELEASE")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    green = [run(release, options.folder) for release in options.releases]
    return 0 if all(green) else 1


if __name__ == "__main__":
    sys.exit(main())
