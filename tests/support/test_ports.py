"""Ports of tests: no two callers are given the same one."""

import subprocess
import sys

from tests.support import ROOT

_ASKS = (
    "import sys\nfrom tests.support.ports import free_port\n"
    "print(*[free_port() for _ in range(200)], flush=True)\nsys.stdin.read()"
)


def test_no_port_is_given_twice():
    """Twenty random ports of one configuration were once one port twice, and that run of the suite red."""
    pipe = subprocess.PIPE
    callers = [
        subprocess.Popen([sys.executable, "-c", _ASKS], cwd=ROOT, stdin=pipe, stdout=pipe) for _ in range(5)
    ]
    given = []
    for one in callers:
        given += map(int, one.stdout.readline().split())
    for one in callers:
        one.communicate()
    assert len(set(given)) == len(given) == 1000
