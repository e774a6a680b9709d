"""What tests need that run the relay as root beside another user's files."""

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click

import relay

SOMEBODY, ANOTHER = 65534, 54321  # users that are not root and own nothing


def is_public(path):
    """Whether every user may read it."""
    path = Path(path).resolve()
    return all(folder.stat().st_mode & 0o001 for folder in path.parents) and bool(path.stat().st_mode & 0o004)


@functools.cache
def public_python():
    """A Python with the relay that every user can run: the command's first words, and its environment.

    The one that runs the tests may lie in a home directory of root's. Then it is linked to a place that is
    everybody's: a program that gives root's rights up goes on loading its modules as the other user.
    """
    program, environment = Path(sys.executable).resolve(), {}
    if not is_public(program):
        base = _link(Path(sys.base_prefix), "site-packages", "test", "tests", "share", "include")
        program = base / "bin" / program.name
        environment["LD_LIBRARY_PATH"] = str(base / "lib")
    folders = []
    for module in (relay, click):
        folder = Path(module.__file__).parents[1]
        folders.append(str(folder if is_public(module.__file__) else _link(folder, "tests", ".git")))
    environment["PYTHONPATH"] = os.pathsep.join(folders)
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    return [str(program)], environment


def run_relay(*words, user=0, timeout=60):
    """Run a command of the relay as this user, whom root may have to become on the way."""
    python, environment = public_python()
    return subprocess.run(
        [*python, "-m", "relay", *map(str, words)],
        env=environment,
        cwd="/",
        user=user,
        group=user,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def _link(source, *without):
    folder = Path(tempfile.mkdtemp(prefix="relay-public-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    ignore = shutil.ignore_patterns(*without)
    try:
        shutil.copytree(source, folder / "it", symlinks=True, ignore=ignore, copy_function=os.link)
    except shutil.Error:  # another file system
        shutil.rmtree(folder / "it")
        shutil.copytree(source, folder / "it", symlinks=True, ignore=ignore)
    return folder / "it"
