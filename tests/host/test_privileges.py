"""Root's commands in a directory that belongs to somebody else: nothing there is more than its owner's."""

import os
import subprocess
import time

import pytest

from relay.host import privileges
from tests.long.security.planted import COMMANDS, KINDS, Scene, attempt_all, public_folder
from tests.support.other_user import SOMEBODY, public_python

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root has privileges to give up")
PATIENCE = 60  # seconds for a command
# The commands that come to each kind, as planted.py tries all with all.
REACHING = {
    "link at grants": ["login", "sandbox"],
    "link at grants/.scanner.lock": ["login", "check"],
    "link at grants/scanner.json": ["accounts"],
    "link at spool": ["send"],
    "link at spool/lock": ["queue list"],
    "link at spool/reserve": ["send"],
    "link at spool/spool.db": ["check"],
    "link at spool/incoming": ["queue list"],
    "link at spool/content": ["send"],
    "link at control.sock": ["queue list"],
    "link at told.json": ["send"],
    "link at learned.toml": ["check"],
    "link at relay-key.pem": ["certificate"],
    "link at works": ["sandbox"],
    "second name at spool/spool.db": ["queue list"],
    "table works": ["check", "serve"],
    "table include": ["send"],
}


@pytest.fixture
def public_path():
    """A folder that every user may look into; pytest's own are the caller's alone."""
    with public_folder() as folder:
        yield folder


def test_no_command_of_roots_touches_what_is_planted():
    """`grants/.scanner.lock` → a file of root's was given to the service's user, `spool/incoming` emptied."""
    wrong, codes = attempt_all([(kind, name) for kind, names in REACHING.items() for name in names])
    assert wrong == {}
    assert codes["table works", "check"] == 78
    assert codes["table works", "serve"] == 77
    assert KINDS.keys() >= REACHING.keys()


def test_a_state_directory_that_somebody_made_a_link(public_path):
    """Whoever owns a folder on the way decides where the way ends: his link makes nobody work as root."""
    scene = Scene(public_path)
    try:
        scene.state.symlink_to(scene.outside / "folder")
        os.chown(scene.state, SOMEBODY, SOMEBODY, follow_symlinks=False)
        before = scene.snapshot()
        for name in ("check", "queue list", "send", "certificate", "serve"):
            code, output = scene.run(COMMANDS[name])
            assert code != 0, output
            assert "Traceback" not in output
        assert scene.snapshot() == before
    finally:
        scene.close()


def test_root_works_on_in_what_is_its_own(public_path):
    """A container's root has no other user, and its state directory is its own."""
    scene = Scene(public_path)
    try:
        for name, code in (("serve", 0), ("send", 0), ("queue list", 0), ("certificate", 0)):
            if name == "serve":
                _serve_until(scene, scene.state / "control.sock")
                continue
            found, output = scene.run(COMMANDS[name])
            assert found == code, output
        assert {path.lstat().st_uid for path in scene.state.rglob("*")} == {0}
    finally:
        scene.close()


def _serve_until(scene, path):
    python, environment = public_python()
    process = subprocess.Popen(
        [*python, "-m", "relay", "serve", "--config", str(scene.config)],
        env=environment,
        cwd="/",
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + PATIENCE
    while not path.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    assert path.exists()
    process.terminate()
    assert process.wait(timeout=PATIENCE) == 0


def test_what_root_makes_is_the_owners(public_path):
    """A `sudo relay send` beside a stopped service made the spool root's, and no service could start."""
    scene = Scene(public_path)
    try:
        scene.state.mkdir(mode=0o700)
        os.chown(scene.state, SOMEBODY, SOMEBODY)
        for name in ("send", "queue list", "certificate"):
            code, output = scene.run(COMMANDS[name])
            assert code == 0, output
        made = list(scene.state.rglob("*"))
        assert any(path.parent.name == "content" for path in made)
        assert {path.lstat().st_uid for path in made} == {SOMEBODY}
    finally:
        scene.close()


def test_a_state_directory_that_its_owner_cannot_reach(public_path):
    """As DynamicUser= of systemd keeps it in /var/lib/private: the way out is named."""
    scene = Scene(public_path)
    try:
        scene.state = public_path / "private" / "state"
        scene.write_config()
        scene.state.mkdir(parents=True)
        scene.state.parent.chmod(0o700)
        os.chown(scene.state, SOMEBODY, SOMEBODY)
        code, output = scene.run(COMMANDS["queue list"])
        assert code == 77
        assert "who cannot reach it" in output
        assert "relay help systemd" in output
    finally:
        scene.close()


def test_everything_of_root_is_given_up(public_path):
    """Groups, saved ids and capabilities: what is left of one of them leads back to root."""
    (public_path / "his").mkdir()
    os.chown(public_path / "his", 54321, 54322)
    python, environment = public_python()
    program = (
        "import sys; from pathlib import Path; from relay.host.privileges import become_owner;"
        "become_owner(Path(sys.argv[1]));"
        "import os; print(os.getresuid(), os.getresgid(), os.getgroups());"
        "print([x for x in open('/proc/self/status') if x.startswith('Cap') and 'Bnd' not in x])"
    )
    done = subprocess.run(
        [*python, "-c", program, str(public_path / "his" / "not" / "there")],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    ids, capabilities = done.stdout.splitlines()
    assert ids == f"{(54321,) * 3} {(54322,) * 3} []"
    assert capabilities.count("0000000000000000") == 4


@pytest.mark.parametrize(
    ("made", "asked", "owner"),
    [
        (["a", "a/his*", "a/his/b"], "a/his/b", "a/his"),  # he can put another b there
        (["a*"], "a/not/there", "a"),
        (["a"], "a/not/there", ""),
        (["a", "a/link>b*", "b"], "a/link", "a/link"),  # the link is his, where it leads to is not
        (["a", "a/link>b", "b*"], "a/link", "b"),
        (["a", "a/link>../b", "b", "b/c*"], "a/link/c", "b/c"),
        (["loop>loop"], "loop", ""),
    ],
)
def test_whose_a_path_is(tmp_path, made, asked, owner):
    for line in made:
        name, _, target = line.rstrip("*").partition(">")
        path = tmp_path / name
        path.symlink_to(target if target.startswith(".") or target == name else tmp_path / target) if (
            target
        ) else path.mkdir()
        if line.endswith("*"):
            os.chown(path, SOMEBODY, SOMEBODY, follow_symlinks=False)
    found = privileges.find_owner(tmp_path / asked)
    assert found.uid == (SOMEBODY if owner else 0)
    assert found.path == (tmp_path / owner if owner else tmp_path / asked)
