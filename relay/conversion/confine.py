"""Takes from this process what a conversion has no use for: files, processes, sockets, others' memory.

What strangers wrote is read here. Whoever finds a fault in that finds himself in a process that can compute
and write to one socket, and whose answers are not believed.

Linux has two means for that, which need no privileges. Landlock leaves no files but the folders of modules,
and those to be read only. A filter of system calls (seccomp) lets a list of them through; all others fail
with EPERM: no other process, no other socket, no signal. Where the kernel has neither, limits are
what there is.
"""

import contextlib
import ctypes
import errno
import os
import platform
import resource
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

# Octets of writable memory: the interpreter's own, and what a hostile message may use. A file that is mapped
# to be read is not counted.
_MOST_MEMORY = 384 * 1024 * 1024
_MOST_ADDRESSES = 2 * 1024 * 1024 * 1024  # octets of address space, the mapped message included
# Of CPU, for all its conversions; the relay has a clock for each. One that reached it is replaced.
_MOST_SECONDS = 600
_MOST_DESCRIPTORS = 16
_LIMITS = {
    resource.RLIMIT_NPROC: 0,
    resource.RLIMIT_FSIZE: 0,
    resource.RLIMIT_CORE: 0,  # it would have mail in it
    resource.RLIMIT_NOFILE: _MOST_DESCRIPTORS,
    resource.RLIMIT_DATA: _MOST_MEMORY,
    resource.RLIMIT_AS: _MOST_ADDRESSES,
    resource.RLIMIT_CPU: _MOST_SECONDS,
}
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _BY_FILTER = 38, 22, 2  # linux/prctl.h, linux/seccomp.h
# linux/landlock.h; the numbers of its calls are the same on every machine.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_EVERYTHING = (1 << 13) - 1  # whatever its first version can forbid: to read, write, execute, make, remove
_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3
_BENEATH_PATH = 1
# The calls that are let through, and their numbers on each machine, whose own stands in linux/audit.h.
# The last two read modules.
_CALLS = (
    *("read", "write", "close", "fstat", "newfstatat", "lseek", "mmap", "mprotect", "munmap", "mremap"),
    *("madvise", "brk", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sendto", "recvfrom", "sendmsg"),
    *(
        "recvmsg",
        "fcntl",
        "futex",
        "clock_gettime",
        "getrandom",
        "exit",
        "exit_group",
        "openat",
        "getdents64",
    ),
)
_READING = 2
_X86_64 = "0 1 3 5 262 8 9 10 11 25 28 12 13 14 15 44 45 46 47 72 202 228 318 60 231 257 217"
_AARCH64 = "63 64 57 80 79 62 222 226 215 216 233 214 134 135 139 206 207 211 212 25 98 113 278 93 94 56 61"
_MACHINES = {"x86_64": (0xC000003E, _X86_64), "aarch64": (0xC00000B7, _AARCH64)}
# What fcntl may be asked (linux/fcntl.h): to copy a descriptor, to look at its flags. By F_SETOWN, F_SETSIG
# the kernel would send any signal to any process of the same user when something arrives on the socket.
_FCNTL = _CALLS.index("fcntl")
_COMMANDS = {"F_DUPFD_CLOEXEC": 1030, "F_GETFD": 1, "F_GETFL": 3}
# Instructions of the filter (linux/bpf_common.h): load a word of the call, compare it, answer.
_LOAD, _IS_EQUAL, _ANSWER = 0x20, 0x15, 0x06
# In linux/seccomp.h's struct seccomp_data; of the second argument its lower half: fcntl reads no more.
_NUMBER_AT, _MACHINE_AT, _SECOND_AT = 0, 4, 24
_ALLOW, _KILL, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM


def leave_files(modules: Iterable[Path], folders: Iterable[Path]) -> bool:
    """Give up all files for good; whether the kernel can do that.

    Args:
        modules: folders beneath which files can still be read.
        folders: those beneath which only names can be read, to look for modules.
    """
    call = getattr(ctypes.CDLL(None), "syscall", None)
    if call is None or not _give_up_privileges():
        return False
    rules = call(_CREATE_RULESET, ctypes.byref(ctypes.c_uint64(_EVERYTHING)), ctypes.c_size_t(8), 0)
    if rules < 0:
        return False
    try:
        for access, paths in ((_READ_FILE | _READ_FOLDER, modules), (_READ_FOLDER, folders)):
            for path in paths:
                _allow(call, rules, access, path)
        return not call(_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _allow(call: Callable[..., int], rules: int, access: int, path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return  # there is no such folder
    try:
        rule = struct.pack("=Qi", access, descriptor)  # struct landlock_path_beneath_attr, packed
        call(_ADD_RULE, rules, _BENEATH_PATH, rule, 0)
    finally:
        os.close(descriptor)


def confine(*, reading: bool) -> bool:
    """Give up everything else for good; whether the kernel can do that.

    Args:
        reading: whether files can be opened, because `leave_files` has left none but modules. If not,
            everything that is needed must have been loaded by now.
    """
    for limit, most in _LIMITS.items():
        # Where it is forbidden to lower a limit (by a filter of systemd's, say), the others still hold.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (most, most))
    machine, numbers = _MACHINES.get(platform.machine(), (0, ""))
    if not machine or not _give_up_privileges():
        return False
    calls = [int(number) for _, number in zip(_CALLS, numbers.split(), strict=True)]
    fcntl = calls.pop(_FCNTL)
    return _filter_calls(_assemble(machine, calls if reading else calls[:-_READING], fcntl))


def _give_up_privileges() -> bool:
    """No program that is run from here on gains rights: without that promise nobody may confine itself."""
    return not _prctl(_NO_NEW_PRIVILEGES, ctypes.c_ulong(1))


def _filter_calls(program: bytes) -> bool:
    instructions = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: how many instructions of eight octets, and where they are.
    head = struct.pack("=H6xQ", len(program) // 8, ctypes.addressof(instructions))
    return not _prctl(_SET_SECCOMP, ctypes.c_ulong(_BY_FILTER), head)


def _prctl(option: int, *values: object) -> int:
    """prctl(2); -1 also where there is none."""
    call = getattr(ctypes.CDLL(None), "prctl", None)
    rest = [ctypes.c_ulong(0)] * (4 - len(values))
    return -1 if call is None else int(call(option, *values, *rest))


def _assemble(machine: int, calls: Iterable[int], fcntl: int) -> bytes:
    """The filter's instructions: each a code, how many to skip if equal or not, and an operand."""
    commands = [*_let_through(_COMMANDS.values()), (_ANSWER, 0, 0, _FAIL)]
    steps = [
        *((_LOAD, 0, 0, _MACHINE_AT), (_IS_EQUAL, 1, 0, machine), (_ANSWER, 0, 0, _KILL)),
        (_LOAD, 0, 0, _NUMBER_AT),
        *_let_through(calls),
        *((_IS_EQUAL, 0, 1 + len(commands), fcntl), (_LOAD, 0, 0, _SECOND_AT), *commands),
        (_ANSWER, 0, 0, _FAIL),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _let_through(values: Iterable[int]) -> Iterator[tuple[int, int, int, int]]:
    """Allow the call if what was loaded is one of these."""
    for value in values:
        yield _IS_EQUAL, 0, 1, value
        yield _ANSWER, 0, 0, _ALLOW
