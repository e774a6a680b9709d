"""The numbers by which the converting process is confined are those of the kernel's own headers.

They are of machines that these tests may not run on: a wrong one would let through another call.
"""

import re
from pathlib import Path

import pytest

from relay.conversion import confine

HEADERS = Path("/usr/include")
CALLS = {
    "x86_64": ("x86_64-linux-gnu/asm/unistd_64.h", "asm/unistd_64.h"),
    "aarch64": ("asm-generic/unistd.h",),  # what new machines have, and 64 bits choose of it
}
_DEFINE = re.compile(r"#define[ \t]+(\w+)[ \t]+(\S+)")
_MACHINES = {"EM_X86_64": 62, "EM_AARCH64": 183}  # linux/elf-em.h
_CONSTANTS = {
    "linux/prctl.h": {
        "PR_SET_NO_NEW_PRIVS": confine._NO_NEW_PRIVILEGES,
        "PR_SET_SECCOMP": confine._SET_SECCOMP,
    },
    "linux/seccomp.h": {
        "SECCOMP_MODE_FILTER": confine._BY_FILTER,
        "SECCOMP_RET_ALLOW": confine._ALLOW,
        "SECCOMP_RET_KILL_PROCESS": confine._KILL,
        "SECCOMP_RET_ERRNO": confine._FAIL & 0xFFFF0000,
    },
    "asm-generic/fcntl.h": {
        "F_GETFD": confine._COMMANDS["F_GETFD"],
        "F_GETFL": confine._COMMANDS["F_GETFL"],
        "F_LINUX_SPECIFIC_BASE": confine._COMMANDS["F_DUPFD_CLOEXEC"] - 6,
    },
    "asm-generic/unistd.h": {
        "__NR_landlock_create_ruleset": confine._CREATE_RULESET,
        "__NR_landlock_add_rule": confine._ADD_RULE,
        "__NR_landlock_restrict_self": confine._RESTRICT_SELF,
    },
}


def read(*names):
    """What one of the headers defines; the first that is there."""
    found = next((path for path in (HEADERS / name for name in names) if path.exists()), None)
    if found is None:
        pytest.skip(f"the kernel's header {names[0]} is not installed (Debian: linux-libc-dev)")
    return dict(_DEFINE.findall(found.read_text()))


@pytest.mark.parametrize("machine", CALLS)
def test_each_call_has_its_number(machine):
    defined = read(*CALLS[machine])
    _, numbers = confine._MACHINES[machine]
    for name, number in zip(confine._CALLS, numbers.split(), strict=True):
        said = defined.get(f"__NR_{name}", "")
        assert defined.get(said, said) == number, name


@pytest.mark.parametrize("machine", CALLS)
def test_each_machine_has_its_number(machine):
    """AUDIT_ARCH_…: the ELF number, and the flags of 64 bits and of little-endian."""
    defined = read("linux/audit.h")
    name = f"EM_{machine.upper()}"
    assert defined[f"AUDIT_ARCH_{machine.upper()}"] == f"({name}|__AUDIT_ARCH_64BIT|__AUDIT_ARCH_LE)"
    flags = int(defined["__AUDIT_ARCH_64BIT"], 16) | int(defined["__AUDIT_ARCH_LE"], 16)
    assert int(read("linux/elf-em.h")[name]) == _MACHINES[name]
    assert confine._MACHINES[machine][0] == _MACHINES[name] | flags


@pytest.mark.parametrize("header", _CONSTANTS)
def test_constants_are_the_kernels(header):
    defined = read(header)
    for name, value in _CONSTANTS[header].items():
        assert int(defined[name].rstrip("U"), 0) == value, name
