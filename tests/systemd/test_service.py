"""The relay as systemd starts it: passed sockets, notifications, reload, exit codes. Real processes."""

import fcntl
import os
import signal
import smtplib
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from tests.support.command import run_relay
from tests.support.ports import free_port

CONFIG = """
hostname = "relay.example.com"
state_dir = "{state}"
[works]
client_id = "i"
client_secret = "s"
api_url = "http://127.0.0.1:9"
auth_url = "http://127.0.0.1:9"
[[account]]
name = "scanner"
address = "scanner@example.com"
default = true
[console]
address = ""
[delivery]
wait = 0
{more}
"""
# As systemd does it: descriptors from 3 on, and the variables that name them for this process.
LAUNCH = """
import os, sys
count = int(sys.argv[1])
os.environ["LISTEN_PID"] = str(os.getpid())
os.environ["LISTEN_FDS"] = str(count)
os.environ["LISTEN_FDNAMES"] = ":".join(["smtp"] * count)
os.execv(sys.executable, [sys.executable, "-m", "relay", *sys.argv[2:]])
"""


def listen(host="127.0.0.1", family=socket.AF_INET):
    sock = socket.socket(family)
    sock.bind((host, 0))
    sock.listen(16)
    return sock


class Manager:
    """The service manager's end of sd_notify(3)."""

    def __init__(self, path):
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(60)
        self.heard = []

    def wait_for(self, word):
        while not any(word in message for message in self.heard):
            self.heard.append(self.socket.recv(4096).decode())

    def forget(self):
        self.heard = []


@contextmanager
def started(tmp_path, sockets=(), more="", watchdog=0, files=None):
    manager = Manager(tmp_path / "notify")
    config = tmp_path / "relay.toml"
    config.write_text(CONFIG.format(state=tmp_path / "state", more=more))
    environ = {**os.environ, "NOTIFY_SOCKET": manager.path}
    if watchdog:
        environ["WATCHDOG_USEC"] = str(int(watchdog * 1e6))

    def give():
        # First out of the way, so that none is overwritten before it is passed.
        high = [fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD_CLOEXEC, 100) for sock in sockets]
        for number, descriptor in enumerate(high):
            os.dup2(descriptor, 3 + number, inheritable=True)
        if files:
            import resource

            resource.setrlimit(resource.RLIMIT_NOFILE, files)

    words = [sys.executable, "-c", LAUNCH, str(len(sockets)), "serve", "--config", str(config)]
    process = subprocess.Popen(
        words,
        env=environ,
        preexec_fn=give,  # noqa: PLW1509 - what systemd does between fork and exec; no threads here
        close_fds=False,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, manager, config
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
        manager.socket.close()


def end(process):
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    return said


def greet(port):
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        return client.ehlo()[0]


def listener(address, more=""):
    return f'[[listener]]\naddress = "{address}"\n{more}\n'


def test_passed_sockets_become_listeners(tmp_path):
    """Three ports, as 25, 465 and 587 would be: no port is opened by the relay itself."""
    sockets = [listen() for _ in range(3)]
    ports = [s.getsockname()[1] for s in sockets]
    more = "".join(listener(f"127.0.0.1:{port}") for port in ports)
    with started(tmp_path, sockets, more) as (process, manager, _):
        manager.wait_for("READY=1")
        assert [greet(port) for port in ports] == [250] * 3
        said = end(process)
    assert "socket without a listener" not in said
    for sock in sockets:
        sock.close()


def test_a_wildcard_socket_serves_the_wildcard_listener(tmp_path):
    """ListenStream=25 is [::]:25 with IPv4 in it; the listener is written 0.0.0.0:25."""
    sock = socket.socket(socket.AF_INET6)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", 0))
    sock.listen()
    port = sock.getsockname()[1]
    with started(tmp_path, [sock], listener(f"0.0.0.0:{port}")) as (process, manager, _):
        manager.wait_for("READY=1")
        assert greet(port) == 250
        end(process)
    sock.close()


def test_a_socket_without_a_listener_answers_and_is_named(tmp_path):
    """It took connections and was silent for ever; the doctor said that nothing had come."""
    sock = listen()
    with started(tmp_path, [sock], listener("127.0.0.1:0")) as (process, manager, config):
        manager.wait_for("READY=1")
        with socket.create_connection(sock.getsockname(), timeout=30) as client:
            assert client.makefile("rb").read() == b"421 4.3.2 no listener is configured for this port\r\n"
        seen = run_relay(config, "doctor", "127.0.0.1").stdout
        assert f"it came to port {sock.getsockname()[1]}, which systemd holds open" in seen
        said = end(process)
    assert "socket without a listener" in said
    assert f"127.0.0.1:{sock.getsockname()[1]}" in said
    sock.close()


def test_a_socket_goes_back_and_can_be_had_again(tmp_path):
    """A failed reload closed what its new listener had claimed: the port was silent until a restart.

    So did the reload that takes a listener away. Both answer 421 there now, and the next reload has it.
    """
    sock = listen()
    port = sock.getsockname()[1]
    with (
        started(tmp_path, [sock], listener("127.0.0.1:0")) as (process, manager, config),
        socket.socket() as x,
    ):
        x.bind(("127.0.0.1", 0))
        x.listen()
        without = config.read_text()
        wanted = without + listener(f"127.0.0.1:{port}")
        manager.wait_for("READY=1")
        for text, code in (
            (wanted + listener(f"127.0.0.1:{x.getsockname()[1]}"), 421),  # a program has that one
            (wanted, 220),
            (without, 421),
            (wanted, 220),
        ):
            config.write_text(text)
            manager.forget()
            process.send_signal(signal.SIGHUP)
            manager.wait_for("READY=1")
            with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
                assert client.makefile("rb").readline().startswith(b"%d " % code)
        said = end(process)
    assert "not reloaded" in said
    sock.close()


def test_another_process_variables_are_not_ours(tmp_path):
    """LISTEN_PID of somebody else, as a child inherits it: nothing is taken."""
    from relay.host.systemd import PassedSockets

    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "smtp"}
    assert PassedSockets.take(environ).claim("0.0.0.0", 25) is None
    assert environ == {}


def test_ready_watchdog_and_stopping_are_told(tmp_path):
    with started(tmp_path, more=listener("127.0.0.1:0"), watchdog=0.4) as (process, manager, _):
        manager.wait_for("READY=1")
        for _ in range(3):
            manager.forget()
            manager.wait_for("WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        manager.wait_for("STOPPING=1")
        assert process.wait(20) == 0


def drain(manager):
    while True:
        manager.socket.recv(4096)


def test_a_stopped_event_loop_misses_the_watchdog(tmp_path):
    """The watchdog hears the event loop, not a thread: a frozen relay is silent."""
    with started(tmp_path, more=listener("127.0.0.1:0"), watchdog=0.2) as (process, manager, _):
        manager.wait_for("WATCHDOG=1")
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.3)
        manager.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            drain(manager)
        process.send_signal(signal.SIGCONT)


def test_a_reload_takes_listeners_and_users(tmp_path):
    """SIGHUP: RELOADING=1 with its time, then READY=1; the new listener is open, mail was not interrupted."""
    with started(tmp_path, more=listener("127.0.0.1:0")) as (process, manager, config):
        manager.wait_for("READY=1")
        manager.forget()
        port = free_port()
        config.write_text(config.read_text() + listener(f"127.0.0.1:{port}"))
        process.send_signal(signal.SIGHUP)
        manager.wait_for("RELOADING=1\nMONOTONIC_USEC=")
        manager.wait_for("READY=1")
        assert greet(port) == 250
        end(process)


def test_a_reload_of_nonsense_changes_nothing(tmp_path):
    sock = listen()
    port = sock.getsockname()[1]
    with started(tmp_path, [sock], listener(f"127.0.0.1:{port}")) as (process, manager, config):
        manager.wait_for("READY=1")
        manager.forget()
        config.write_text("hostnam = 3")
        process.send_signal(signal.SIGHUP)
        manager.wait_for("READY=1")
        assert greet(port) == 250
        said = end(process)
    assert "not reloaded" in said
    assert "hostnam" in said
    sock.close()


def test_a_bad_configuration_exits_with_78(tmp_path):
    """RestartPreventExitStatus=78 in the unit: starting again would not help."""
    with started(tmp_path, more='nonsense = "x"') as (process, *_):
        assert process.wait(20) == 78


def test_the_soft_file_limit_is_raised(tmp_path):
    """1,024 by tradition; each session takes one or two."""
    with started(tmp_path, more=listener("127.0.0.1:0"), files=(512, 4096)) as (process, manager, _):
        manager.wait_for("READY=1")
        with open(f"/proc/{process.pid}/limits") as file:  # noqa: PTH123
            (line,) = [x for x in file if x.startswith("Max open files")]
        assert line.split()[3] == "4096"
        end(process)


def test_a_deaf_service_manager_stops_nobodys_mail(tmp_path, capsys):
    from relay.host import systemd

    systemd.notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "nobody")})
