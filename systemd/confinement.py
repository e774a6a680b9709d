#!/usr/bin/env python3
"""Run a command under a unit's restrictions where systemd does not: prctl(2), seccomp(2), mounts.

Used by self_test.py. Seccomp filters are built by libseccomp, which systemd itself uses, from the
very lists that `systemd-analyze syscall-filter` prints.
"""

import ctypes
import ctypes.util
import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38  # linux/prctl.h
_CLONE_NEWNS = 0x00020000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x1, 0x20, 0x1000, 0x4000, 0x40000
_PROT_WRITE, _PROT_EXEC, _SHM_EXEC = 2, 4, 0o100000
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000  # seccomp.h: SCMP_ACT_ALLOW, SCMP_ACT_ERRNO
_NOT_EQUAL, _EQUAL, _MASKED_EQUAL = 1, 4, 7  # enum scmp_compare
_FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}
_NOBODY = 65534
_LIMITS = {"LimitNOFILE": resource.RLIMIT_NOFILE, "LimitCORE": resource.RLIMIT_CORE}
# These need systemd's own set-up, or are implied by others that are applied.
_NEEDS_SYSTEMD = {
    "PrivateUsers": "a user namespace, set up by systemd",
    "PrivateDevices": "a /dev of its own, set up by systemd",
    "PrivateMounts": "a mount namespace, set up by systemd",
    "RemoveIPC": "done by systemd after the service",
    "ProtectControlGroups": "read-only with the rest of the file system, not tested by itself",
    "ProtectKernelTunables": "read-only with the rest of the file system, not tested by itself",
    "ProtectHostname": "a namespace, set up by systemd; the calls are outside the filter anyway",
    "ProtectClock": "the calls are outside the filter",
    "ProtectKernelLogs": "the calls are outside the filter",
    "ProtectKernelModules": "the calls are outside the filter",
    "LockPersonality": "a filter of its own, not built here",
    "RestrictRealtime": "the calls are outside the filter (~@resources)",
    "RestrictNamespaces": "a filter of its own, not built here",
    "RestrictSUIDSGID": "a filter of its own, not built here",
}


class _Compare(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


@dataclass(slots=True)
class Plan:
    """What will be applied to the command, and what cannot be."""

    state: str
    limits: dict[str, int] = field(default_factory=dict)
    umask: int | None = None
    calls: list[str] = field(default_factory=list)  # allowed system calls; empty: no filter
    families: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)  # directives that are only on or off
    uid: int = 0
    applied: list[str] = field(default_factory=list)
    not_applied: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, directives: list[tuple[str, str]], state: Path, program: str) -> "Plan":
        """Sort a unit's directives into what can be applied here and what cannot."""
        plan = cls(str(state))
        filters = [value for name, value in directives if name == "SystemCallFilter"]
        for name, value in directives:
            why = plan._take(name, value, program)
            if why:
                plan.not_applied[f"{name}={value}"] = why
            else:
                plan.applied.append(f"{name}={value}")
        if filters and not (plan.not_applied.keys() & {f"SystemCallFilter={x}" for x in filters}):
            plan.calls = sorted(_allowed_calls(filters))
        return plan

    def _take(self, name: str, value: str, program: str) -> str:
        if name in _LIMITS:
            self.limits[name] = int(value)
        elif name == "UMask":
            self.umask = int(value, 8)
        elif name == "RestrictAddressFamilies":
            self.families = value.split()
            return "" if _libseccomp() else "libseccomp is not installed"
        elif name in ("SystemCallFilter", "SystemCallArchitectures", "SystemCallErrorNumber"):
            return "" if _libseccomp() and shutil.which("systemd-analyze") else "no systemd-analyze here"
        elif name == "User":
            return self._take_user(program)
        elif name in ("NoNewPrivileges", "MemoryDenyWriteExecute"):
            self.flags.append(name)
        else:
            return self._take_for_root(name, value, program)
        return ""

    def _take_user(self, program: str) -> str:
        if os.geteuid() != 0:
            return "only root can become another user"
        if not all(folder.stat().st_mode & 0o001 for path in _places(program) for folder in path.parents):
            return f"{program}, or the Python behind it, lies in a folder that other users cannot enter"
        self.uid = _NOBODY
        return ""

    def _take_for_root(self, name: str, value: str, program: str) -> str:
        if name in _NEEDS_SYSTEMD:
            return _NEEDS_SYSTEMD[name]
        if os.geteuid() != 0:
            return "only root can do it"
        homes = ("/root", "/home")
        if name == "ProtectHome" and any(p.is_relative_to(h) for p in _places(program) for h in homes):
            return f"{program} lies there"
        if name not in ("CapabilityBoundingSet", "ProtectSystem", "PrivateTmp", "ProcSubset", "ProtectProc",
                        "ProtectHome") or (name == "CapabilityBoundingSet" and value):  # fmt: skip
            return "not known to this script"
        self.flags.append(name)
        return ""

    def to_json(self) -> str:
        """For the command line of the confined process."""
        return json.dumps(asdict(self))


def _places(program: str) -> set[Path]:
    # The program, and the Python that it is a link to or names in its first line.
    path = Path(shutil.which(program) or program).absolute()
    first = path.open("rb").readline().decode(errors="replace")
    interpreter = Path(first[2:].strip()) if first.startswith("#!/") else path
    return {path, interpreter.resolve()}


def _libseccomp() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError:
        return None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(_Compare),
    )  # fmt: skip
    library.seccomp_load.argtypes = (ctypes.c_void_p,)
    return library


def _allowed_calls(filters: list[str]) -> set[str]:
    allowed: set[str] = set()
    for value in filters:
        named = {call for word in value.lstrip("~").split() for call in _expand(word)}
        allowed = allowed - named if value.startswith("~") else allowed | named
    return allowed | _expand("@default")  # always allowed, systemd.exec(5)


def _expand(word: str) -> set[str]:
    if not word.startswith("@"):
        return {word}
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager", word], capture_output=True, text=True, check=True
    ).stdout
    words = {line.strip() for line in listed.splitlines()[1:] if line.strip() and "#" not in line}
    return {call for inner in words for call in _expand(inner)}


def confine(plan: Plan) -> None:
    """Apply the plan to this process, for good."""
    c = ctypes.CDLL(None, use_errno=True)
    for name, value in plan.limits.items():
        # Containers often forbid even root to go above the limit they were given.
        hard = min(value, _endless(resource.getrlimit(_LIMITS[name])[1]))
        resource.setrlimit(_LIMITS[name], (hard, hard))
    if plan.umask is not None:
        os.umask(plan.umask)
    _mount(c, plan)
    if "CapabilityBoundingSet" in plan.flags:
        for capability in range(64):  # more than there are; the rest fails
            c.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    if plan.uid:
        os.chown(plan.state, plan.uid, plan.uid)
        os.setgroups([])
        os.setresgid(plan.uid, plan.uid, plan.uid)
        os.setresuid(plan.uid, plan.uid, plan.uid)
    elif "CapabilityBoundingSet" in plan.flags and os.geteuid() == 0:
        _drop_capabilities(c)
    _check(c.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _filter(plan)


def _endless(limit: int) -> int:
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def _mount(c: ctypes.CDLL, plan: Plan) -> None:
    if not {"ProtectSystem", "PrivateTmp", "ProcSubset", "ProtectProc", "ProtectHome"} & set(plan.flags):
        return
    _check(c.unshare(_CLONE_NEWNS), "unshare")
    _check(c.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None), "private mounts")
    state = plan.state.encode()
    if "ProtectSystem" in plan.flags:
        _check(c.mount(state, state, None, _MS_BIND, None), "state directory")
        _check(c.mount(None, b"/", None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY, None), "read-only /")
    if "PrivateTmp" in plan.flags:
        _check(c.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, b"mode=1777"), "private /tmp")
    if "ProcSubset" in plan.flags:
        options = b"subset=pid,hidepid=2"
        _check(c.mount(b"proc", b"/proc", b"proc", 0, options), "/proc")
    if "ProtectHome" in plan.flags:
        for folder in (b"/root", b"/home"):
            _check(c.mount(b"tmpfs", folder, b"tmpfs", _MS_RDONLY, b"mode=000"), "homes")


def _drop_capabilities(c: ctypes.CDLL) -> None:
    # Root without a capability: capset(2), version 3, both halves empty.
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _check(c.capset(header, (ctypes.c_uint32 * 6)()), "capset")


def _filter(plan: Plan) -> None:
    library = _libseccomp()
    if library is None:
        return
    context = library.seccomp_init(_ALLOW)
    if plan.families:
        unwanted = [_Compare(0, _NOT_EQUAL, _FAMILIES[name], 0) for name in plan.families]
        _deny(library, context, "socket", errno.EAFNOSUPPORT, unwanted)
    if "MemoryDenyWriteExecute" in plan.flags:
        both = _PROT_WRITE | _PROT_EXEC
        # The four rules of systemd's own filter (seccomp_memory_deny_write_execute).
        _deny(library, context, "mmap", errno.EPERM, [_Compare(2, _MASKED_EQUAL, both, both)])
        for call in ("mprotect", "pkey_mprotect"):
            _deny(library, context, call, errno.EPERM, [_Compare(2, _MASKED_EQUAL, _PROT_EXEC, _PROT_EXEC)])
        _deny(library, context, "shmat", errno.EPERM, [_Compare(2, _MASKED_EQUAL, _SHM_EXEC, _SHM_EXEC)])
    _check(library.seccomp_load(context), "argument filter")
    if plan.calls:  # last, because seccomp(2) itself is outside of it
        context = library.seccomp_init(_ERRNO | errno.EPERM)
        for call in plan.calls:
            number = library.seccomp_syscall_resolve_name(call.encode())
            if number != -1:  # a call of another architecture
                library.seccomp_rule_add_array(context, _ALLOW, number, 0, None)
        _check(library.seccomp_load(context), "system-call filter")


def _deny(library: ctypes.CDLL, context: int, call: str, error: int, when: list[_Compare]) -> None:
    number = library.seccomp_syscall_resolve_name(call.encode())
    # One rule cannot compare an argument twice; so families are allowed by excluding all others below.
    if len(when) > 1:
        for family in range(46):  # AF_MAX
            if family not in {int(compare.a) for compare in when}:
                _deny(library, context, call, error, [_Compare(0, _EQUAL, family, 0)])
        return
    rules = (_Compare * 1)(*when)
    _check(library.seccomp_rule_add_array(context, _ERRNO | error, number, 1, rules), call)


def _check(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno() or abs(result), f"{what} cannot be applied")


if __name__ == "__main__":
    confine(Plan(**json.loads(sys.argv[1])))
    os.execvp(sys.argv[2], sys.argv[2:])
