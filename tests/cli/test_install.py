"""`relay install`: what it writes, that systemd understands it, and that a second run changes nothing."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from relay.config.load import build
from relay.host import units
from tests.support import warm

LISTENERS = """
[[listener]]
address = "0.0.0.0:25"
networks = ["127.0.0.0/8"]
[[listener]]
address = "[::]:2587"
[[listener]]
address = "192.0.2.1:465"
"""
WORKS = '[works]\nclient_id = "i"\n'


@pytest.fixture
def root(tmp_path):
    """A system without anything of the relay but its configuration."""
    folder = tmp_path / "root" / "etc" / "relay"
    folder.mkdir(parents=True)
    (folder / "relay.toml").write_text(WORKS + LISTENERS)
    return tmp_path / "root"


def install(root, *more):
    done = subprocess.run(
        [*warm.relay(), "install", "--root", str(root), *more],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


def files(root):
    return {
        str(path.relative_to(root)): (path.lstat().st_mtime_ns, path.readlink() if path.is_symlink() else "")
        for path in root.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def test_it_installs_once_and_changes_nothing_again(root):
    assert install(root).returncode == 0
    program = Path(sys.executable).parent / "relay"
    assert (root / "usr/local/bin/relay").readlink() == program
    service = (root / "etc/systemd/system/relay.service").read_text()
    assert f"ExecStart={program} serve --config /etc/relay/relay.toml\n" in service
    assert "LoadCredential=" not in service
    socket = (root / "etc/systemd/system/relay.socket").read_text()
    streams = [line.partition("=")[2] for line in socket.splitlines() if line.startswith("ListenStream=")]
    assert streams == ["0.0.0.0:25", "2587", "192.0.2.1:465"]
    assert (root / "etc/sysusers.d/relay.conf").read_text().endswith("/usr/sbin/nologin\n")
    for name in (
        "share/man/man1/relay.1",
        "share/man/man1/relay-install.1",
        "share/bash-completion/completions/relay",
        "share/zsh/site-functions/_relay",
        "share/fish/vendor_completions.d/relay.fish",
    ):
        assert (root / "usr/local" / name).is_file(), name
    before = files(root)
    again = install(root)
    assert (again.returncode, "everything is installed already" in again.stdout) == (0, True)
    assert files(root) == before


def test_a_dry_run_says_what_and_does_nothing(root):
    before = files(root)
    done = install(root, "--dry-run")
    assert done.returncode == 0
    for words in ("etc/systemd/system/relay.socket", "+ListenStream=2587", "→ "):
        assert words in done.stdout
    assert files(root) == before


def test_only_what_has_changed_is_written(root):
    install(root)
    (root / "etc/relay/relay.toml").write_text(WORKS + '[[listener]]\naddress = "0.0.0.0:25"\n')
    (root / "etc/relay/client_secret").write_text("s")
    done = install(root)
    assert [line for line in done.stdout.splitlines() if line.startswith("/")] == [
        str(root / "etc/systemd/system" / name) for name in ("relay.socket", "relay.service")
    ]
    assert "  -ListenStream=2587\n" in done.stdout
    assert "  +LoadCredential=client_secret:/etc/relay/client_secret\n" in done.stdout


def test_without_a_port_the_socket_unit_goes(root):
    """Enabled, it would hold ports that nobody listens on."""
    install(root)
    (root / "etc/relay/relay.toml").write_text(WORKS + '[[listener]]\naddress = "127.0.0.1:0"\n')
    install(root)
    assert not (root / "etc/systemd/system/relay.socket").exists()
    service = (root / "etc/systemd/system/relay.service").read_text()
    assert "relay.socket" not in service


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("[[listener]]\naddress = 1\n", 78, "listener"),
        (None, 78, "cannot be read"),
    ],
)
def test_without_a_configuration_nothing_is_written(root, text, code, said):
    path = root / "etc/relay/relay.toml"
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    done = install(root)
    assert (done.returncode, said in done.stderr) == (code, True)
    assert not (root / "etc/systemd").exists()


def test_a_program_that_is_in_the_way_is_left_alone(root):
    other = root / "usr/local/bin/relay"
    other.parent.mkdir(parents=True)
    other.write_text("#!/bin/sh\n")
    done = install(root)
    assert (done.returncode, done.stderr) == (73, f"relay: {other}: is no link; move it away first\n")
    assert other.read_text() == "#!/bin/sh\n"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="Debian's package systemd is not installed")
@pytest.mark.parametrize(
    "config",
    [
        LISTENERS,
        '[[listener]]\naddress = "127.0.0.1:0"\n',
        f'state_dir = "/srv/mail/relay"\n{WORKS}{LISTENERS}',
        f'state_dir = "/var/lib/second"\n{WORKS}{LISTENERS}',
    ],
    ids=["ports", "no port", "another state directory", "another name of it"],
)
def test_systemd_understands_what_it_writes(root, config):
    (root / "etc/relay/relay.toml").write_text(config)
    (root / "etc/relay/client_secret").write_text("s")
    assert install(root).returncode == 0
    written = sorted((root / "etc/systemd/system").iterdir())
    words = ["systemd-analyze", "verify", "--man=no", *map(str, written)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    service = (root / "etc/systemd/system/relay.service").read_text()
    assert ("Sockets=" in service) == ("relay.socket" in [path.name for path in written])
    assert ("ReadWritePaths=/srv/mail/relay" in service) == ("/srv" in config)


@pytest.mark.parametrize(
    ("address", "stream"),
    [
        ("[::]:25", "25"),
        ("0.0.0.0:25", "0.0.0.0:25"),
        ("[::1]:25", "[::1]:25"),
        ("192.0.2.1:465", "192.0.2.1:465"),
        ("127.0.0.1:0", None),
    ],
)
def test_streams(address, stream):
    config = build({"listener": [{"address": address}]}, {})
    assert units.find_streams(config) == ([stream] if stream else [])


def test_where_the_service_cannot_look():
    assert units.is_hidden(Path("/root/relay/bin/relay"))
    assert not units.is_hidden(Path("/opt/relay/bin/relay"))
