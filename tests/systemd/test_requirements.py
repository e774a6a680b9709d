"""systemd/requirements.txt holds everything that a production install wants, with hashes."""

import re
import tomllib
from importlib.metadata import requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support import ROOT

LOCKED = {
    canonicalize_name(name): (version, re.findall(r"--hash=sha256:([0-9a-f]{64})\b", rest))
    for name, version, rest in re.findall(
        r"^([\w.-]+)==([\w.]+)((?: \\\n    --hash=\S+)+)$",
        (ROOT / "systemd" / "requirements.txt").read_text(),
        re.MULTILINE,
    )
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_line_is_a_release_with_hashes():
    lines = (ROOT / "systemd" / "requirements.txt").read_text().splitlines()
    assert len(LOCKED) == len([line for line in lines if "==" in line])
    assert all(hashes for _, hashes in LOCKED.values())


def test_what_the_relay_wants_is_in_it():
    """A dependency that was added or raised without .ci/lock would end the README's install."""
    for text in (*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"]):
        wanted = Requirement(text)
        version, _ = LOCKED[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(version), text


def test_what_those_want_is_in_it():
    left = [canonicalize_name(Requirement(text).name) for text in PROJECT["project"]["dependencies"]]
    seen = set()
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        assert name in LOCKED
        for text in requires(name) or ():
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                left.append(canonicalize_name(wanted.name))
